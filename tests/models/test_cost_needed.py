"""Products that floors are made of: one too many, and a good engine is 'below the floor'.

A convolution of ones with ones adds up the products it makes with values that are there, so the sum over all
its answers, worked out by the reference evaluator, is the number that is looked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.build import build
from models.cost import cost
from models.facts import zoo

CASES: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("Conv", (1, 4, 8), (5, 4, 3), {"pads": [1, 1]}),
    ("Conv", (2, 4, 8), (5, 4, 3), {"pads": [2, 0]}),
    ("Conv", (1, 4, 9), (5, 4, 3), {"pads": [4, 4], "dilations": [4]}),
    ("Conv", (1, 3, 3), (2, 3, 9), {"pads": [8, 0]}),
    ("Conv", (1, 6, 9, 7), (6, 1, 3, 3), {"group": 6, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("Conv", (1, 2, 6, 5), (4, 2, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 1]}),
    ("Conv", (1, 2, 6, 5), (4, 2, 3, 2), {"auto_pad": "SAME_LOWER"}),
    ("Conv", (1, 2, 6, 5), (4, 2, 3, 2), {"auto_pad": "VALID"}),
    ("ConvTranspose", (1, 4, 5), (4, 3, 4), {"strides": [2], "pads": [1, 1]}),
    ("ConvTranspose", (1, 4, 5, 5), (4, 2, 3, 3), {"strides": [2, 2], "pads": [1, 0, 1, 2]}),
    ("ConvTranspose", (1, 2, 5), (2, 2, 3), {"strides": [2], "output_padding": [1]}),
]


def graph(nodes: list[onnx.NodeProto], shape: tuple[int, ...], weights: dict[str, Any]) -> onnx.ModelProto:
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    body = helper.make_graph(nodes, "ones", ports, [helper.make_empty_tensor_value_info("y")], stored)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def products_that_count(model: onnx.ModelProto, shape: tuple[int, ...]) -> int:
    (answer,) = ReferenceEvaluator(model).run(None, {"x": np.ones(shape, np.float32)})
    return round(float(np.asarray(answer, np.float64).sum()))


@pytest.mark.parametrize(("operator", "shape", "kernel", "attributes"), CASES)
def test_products_with_padding_do_not_count(
    operator: str, shape: tuple[int, ...], kernel: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    model = graph(
        [helper.make_node(operator, ["x", "w"], ["y"], **attributes)], shape, {"w": np.ones(kernel, np.float32)}
    )
    assert cost(model).needed_multiply_adds == products_that_count(model, shape)


@pytest.mark.parametrize(("mode", "fill", "counts"), [("constant", 0.0, True), ("constant", 1.0, False)])
def test_zeros_written_by_a_pad_do_not_count_and_other_values_do(mode: str, fill: float, *, counts: bool) -> None:
    model = graph(
        [
            helper.make_node("Pad", ["x", "widths", "fill"], ["padded"], mode=mode),
            helper.make_node("Conv", ["padded", "w"], ["y"], pads=[1, 1]),
        ],
        (1, 2, 6),
        {
            "w": np.ones((3, 2, 5), np.float32),
            "widths": np.array([0, 0, 4, 0, 0, 1]),
            "fill": np.array(fill, np.float32),
        },
    )
    found = cost(model)
    assert found.needed_multiply_adds == products_that_count(model, (1, 2, 6))
    # Nine places of five taps, of which the convolution's own two paddings are always left out.
    assert (found.needed_multiply_adds < 3 * 2 * (9 * 5 - 2)) is counts


def test_a_reflected_edge_counts() -> None:
    nodes = [
        helper.make_node("Pad", ["x", "widths"], ["padded"], mode="reflect"),
        helper.make_node("Conv", ["padded", "w"], ["y"]),
    ]
    weights = {"w": np.ones((3, 2, 3), np.float32), "widths": np.array([0, 0, 2, 0, 0, 0])}
    found = cost(graph(nodes, (1, 2, 6), weights))
    assert found.needed_multiply_adds == found.multiply_adds == 3 * 2 * 6 * 3


@pytest.mark.parametrize("name", sorted(zoo()))
def test_no_model_needs_more_than_it_has(name: str) -> None:
    found = cost(build(name, 1))
    assert 0 <= found.needed_multiply_adds <= found.multiply_adds
    # Padding is the rim of a signal, never most of it.
    assert found.needed_multiply_adds >= 0.8 * found.multiply_adds
