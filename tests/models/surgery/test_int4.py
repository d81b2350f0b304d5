"""4-bit weights: rounded in blocks, standard, and understood by whoever reads the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.build import build
from models.errors import ModelError
from models.surgery.int4 import pack, quantise

node = helper.make_node


def blocks(model: onnx.ModelProto) -> list[tuple[str, tuple[int, ...]]]:
    return [(t.name, tuple(t.dims)) for t in model.graph.initializer if t.data_type == TensorProto.INT4]


@pytest.mark.parametrize("rows", [32, 40, 64])
def test_a_product_with_a_constant_matrix(
    rows: int, graph: Any, form: Any, same: Any, ort_answer: Any, draw: Any
) -> None:
    model = graph([node("MatMul", ["x", "w"], ["y"])], [("x", [2, rows])], [("y", [2, 6])], {"w": draw(rows, 6)})
    done: list[Any] = []
    small, feeds = form(model, "int4", done), {"x": draw(2, rows)}
    assert (small.ir_version, small.opset_import[0].version, done[0].places) == (10, 21, 1)
    assert "from 18 to 21" in done[0].notes[0]
    same(model, small, feeds, "int4")
    # ONNX Runtime agrees with the reference about what the file says, up to rounding values to 8 bits.
    assert blocks(small) == [("w.int4", (rows, 6))]
    wanted = ort_answer(model, feeds)[0]
    assert np.abs(ort_answer(small, feeds)[0] - wanted).max() < 0.3 * np.abs(wanted).max()


def test_every_value_is_within_half_a_step(draw: Any) -> None:
    matrix = draw(50, 3)
    values, scales = quantise(matrix)
    assert values.shape == (50, 3)
    assert scales.shape == (2, 3)
    assert abs(values).max() == 7
    steps = np.repeat(scales, 32, axis=0)[:50]
    assert (np.abs(values * steps - matrix) <= steps * 0.5001).all()


def test_a_block_of_zeros_stays_zero() -> None:
    values, scales = quantise(np.zeros((33, 1), "f"))
    assert not values.any()
    assert (scales == 1).all()


def test_two_to_a_byte_the_first_below() -> None:
    assert pack(np.array([[1, -1], [7, -7]], np.int8)) == bytes([0xF1, 0x97])
    assert pack(np.array([-7], np.int8)) == bytes([0x09])


def test_gemms_become_products_and_sums(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [
        node("Gemm", ["x", "w", "b"], ["a"], transB=1, alpha=0.5, beta=2.0),
        node("Gemm", ["a", "w"], ["c"]),
        node("Gemm", ["c", "w", "b"], ["d"]),
        node("Gemm", ["w", "d"], ["e"], transB=1),  # the matrix stands on the left
        node("Transpose", ["e"], ["y"]),
    ]
    model = graph(nodes, [("x", [2, 40])], [("y", [2, 40])], {"w": draw(40, 40), "b": draw(40)})
    done: list[Any] = []
    small = form(model, "int4", done)
    assert [n.op_type for n in small.graph.node].count("Gemm") == 1
    assert done[0].places == 2  # the one that two read, and its transpose times a half
    same(model, small, {"x": draw(2, 40)}, "int4")


def test_a_weight_that_is_looked_up_as_well_stays_whole_there(graph: Any, form: Any, answer: Any, draw: Any) -> None:
    nodes = [node("Gather", ["w", "i"], ["row"]), node("MatMul", ["row", "w"], ["y"])]
    model = graph(nodes, [("i", [1], TensorProto.INT64)], [("row", [1, 32]), ("y", [1, 32])], {"w": draw(32, 32)})
    feeds = {"i": np.array([3])}
    np.testing.assert_array_equal(answer(form(model, "int4"), feeds)[0], answer(model, feeds)[0])


@pytest.mark.parametrize("name", ["fp16+int4", "opset21+int4", "int4+fp16", "batch2+int4", "opset22+int4"])
def test_in_a_chain(name: str, form: Any, ort_answer: Any) -> None:
    model = form(build("rnnoise"), name)
    assert len(blocks(model)) == 2
    feeds = {
        v.name: np.zeros(
            [d.dim_value for d in v.type.tensor_type.shape.dim],
            helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type),
        )
        for v in model.graph.input
    }
    assert np.isfinite(ort_answer(model, feeds)[0]).all()


@pytest.mark.parametrize(
    "nodes",
    [
        [node("MatMul", ["x", "few"], ["y"])],
        [node("MatMul", ["x", "t"], ["y"])],
        [node("Relu", ["x"], ["y"])],
        [node("Gemm", ["x", "w", "t"], ["y"], beta=0.5)],
    ],
)
def test_where_no_weight_is_worth_it_there_is_nothing_to_change(nodes: Any, graph: Any, form: Any, draw: Any) -> None:
    constants = {"few": draw(31, 4), "w": draw(31, 4)}
    model = graph(nodes, [("x", [4, 31]), ("t", [31, 4])], [("y", None)], constants)
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "int4")


def test_twice_is_once(graph: Any, form: Any, draw: Any) -> None:
    model = graph([node("MatMul", ["x", "w"], ["y"])], [("x", [1, 32])], [("y", [1, 8])], {"w": draw(32, 8)})
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "int4+int4")
