"""Operator sets: the same graph said in another version must mean the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.build import build
from models.errors import ModelError
from models.inputs import make_inputs
from models.prepare import prepare_zoo
from models.surgery.opset import convert

node = helper.make_node


def version(model: onnx.ModelProto) -> int:
    return int(model.opset_import[0].version)


@pytest.mark.parametrize("name", ["opset13", "opset15", "opset17", "opset19", "opset21", "ln+opset13", "ln+opset21"])
def test_the_zoo_goes_up_and_down(name: str, form: Any, same: Any, tmp_path: Any) -> None:
    feeds = make_inputs(prepare_zoo("rt8", "raw", 1, tmp_path), 1, 1)[0][0]
    model = form(build("rt8"), name)
    assert version(model) == int(name.rpartition("opset")[2])
    assert model.ir_version == 10
    same(build("rt8"), model, feeds, name)


@pytest.mark.skipif(onnx.defs.onnx_opset_version() < 23, reason="this onnx does not know operator set 23")
def test_the_newest_sets_raise_the_file_version_and_no_other_does(form: Any) -> None:
    newer = {number: form(build("rt48"), f"opset{number}").ir_version for number in (22, 23)}
    assert newer == {22: 10, 23: 11}


def test_an_old_file_version_is_raised_as_needed(graph: Any, form: Any) -> None:
    model = graph([node("Relu", ["x"], ["y"])], [("x", [1, 4])], [("y", [1, 4])], opset=9, ir=4)
    assert form(model, "opset13").ir_version >= 7
    assert form(model, "opset21").ir_version == 10


OLD = {
    9: (
        [
            node("Upsample", ["x", "scales"], ["u"], mode="linear"),
            node("Slice", ["u"], ["s"], starts=[0], ends=[3], axes=[2]),
            node("Clip", ["s"], ["c"], min=-0.5, max=0.5),
            node("Pad", ["c"], ["p"], pads=[0, 0, 1, 0, 0, 0, 0, 1]),
            node("Dropout", ["p"], ["d"]),
            node("ReduceSum", ["d"], ["y"], axes=[3]),
        ],
        {"scales": np.array([1, 1, 2.5, 2], "f")},
    ),
    10: (
        [
            node("Resize", ["x", "up"], ["a"], mode="linear"),
            node("Resize", ["a", "up"], ["b"], mode="nearest"),
            node("Resize", ["b", "down"], ["y"], mode="nearest"),
        ],
        {"up": np.array([1, 1, 2.5, 2], "f"), "down": np.array([1, 1, 0.6, 0.5], "f")},
    ),
    11: ([node("Softmax", ["x"], ["a"], axis=1), node("LogSoftmax", ["a"], ["y"], axis=3)], {}),
    17: ([node("ReduceMean", ["x"], ["a"], axes=[1, 2]), node("Split", ["a"], ["y", "b"], axis=3)], {}),
    18: (
        [node("GroupNormalization", ["x", "g", "b"], ["y"], num_groups=2)],
        {"g": np.array([0.5, 2], "f"), "b": np.array([0, 1], "f")},
    ),
}


@pytest.mark.parametrize("target", [13, 17, 21])
@pytest.mark.parametrize("source", OLD)
def test_old_exports_mean_the_same_today(
    source: int, target: int, graph: Any, form: Any, ort_answer: Any, draw: Any
) -> None:
    if source >= target:
        pytest.skip("upwards only")
    nodes, constants = OLD[source]
    model = graph(nodes, [("x", [1, 4, 4, 4])], [("y", None)], constants, opset=source)
    feeds = {"x": draw(1, 4, 4, 4)}
    got = ort_answer(form(model, f"opset{target}"), feeds)
    np.testing.assert_allclose(got[0], ort_answer(model, feeds)[0], atol=1e-5)


NEW = {
    "axes of a reduction": (18, [node("ReduceMax", ["x", "axes"], ["y"], keepdims=0)]),
    "a split without sizes": (
        18,
        [
            node("Concat", ["x", "x"], ["d"], axis=2),
            node("Split", ["d"], ["a", "b", "y"], axis=2, num_outputs=3),
        ],
    ),
    "padding along some axes": (18, [node("Pad", ["x", "pads", "", "axes"], ["y"])]),
    "resizing along some axes": (18, [node("Resize", ["x", "", "scales"], ["y"], axes=[2, 3], mode="linear")]),
    "a part of a shape": (
        18,
        [
            node("Shape", ["x"], ["s"], start=1, end=3),
            node("Cast", ["s"], ["f"], to=1),
            node("Add", ["f", "two"], ["y"]),
        ],
    ),
    "a target without zeros": (18, [node("Reshape", ["x", "flat"], ["y"], allowzero=1)]),
    "activations": (
        20,
        [
            node("Gelu", ["x"], ["a"]),
            node("Gelu", ["a"], ["b"], approximate="tanh"),
            node("Mish", ["b"], ["c"]),
            node("HardSwish", ["c"], ["y"]),
        ],
    ),
    "a norm with its statistics": (
        17,
        [
            node("LayerNormalization", ["x", "gain", "shift"], ["n", "m", "d"], axis=2, epsilon=1e-3),
            node("Mul", ["n", "d"], ["e"]),
            node("Add", ["e", "m"], ["y"]),
        ],
    ),
    "a norm by groups": (21, [node("GroupNormalization", ["x", "g", "b4"], ["y"], num_groups=2)]),
}
CONSTANTS = {
    "axes": np.array([-1]),
    "pads": np.array([1, 2]),
    "scales": np.array([1.5, 2], "f"),
    "two": np.array([2, 2], "f"),
    "flat": np.array([1, -1]),
    "gain": np.linspace(0.5, 1, 16, dtype="f").reshape(4, 4),
    "shift": np.linspace(0, 1, 16, dtype="f").reshape(4, 4),
    "g": np.array([0.5, 1, 2, 3], "f"),
    "b4": np.array([0, 1, 2, 3], "f"),
}


@pytest.mark.parametrize("what", NEW)
def test_newer_operators_are_said_in_set_13(what: str, graph: Any, form: Any, ort_answer: Any, draw: Any) -> None:
    source, nodes = NEW[what]
    used = {name: value for name, value in CONSTANTS.items() if any(name in n.input for n in nodes)}
    model = graph(nodes, [("x", [1, 4, 4, 4])], [("y", None)], used, opset=source, ir=10)
    feeds = {"x": draw(1, 4, 4, 4)}
    lowered = form(model, "opset13")
    assert version(lowered) == 13
    np.testing.assert_allclose(ort_answer(lowered, feeds)[0], ort_answer(model, feeds)[0], atol=1e-4)


def test_half_precision_is_normalised_in_float32_all_the_same(graph: Any, form: Any, draw: Any) -> None:
    half = {"gain": np.ones(4, np.float16)}
    model = graph(
        [node("LayerNormalization", ["x", "gain"], ["y"])],
        [("x", [1, 4], TensorProto.FLOAT16)],
        [("y", [1, 4], TensorProto.FLOAT16)],
        half,
    )
    casts = [
        helper.get_attribute_value(n.attribute[0]) for n in form(model, "opset13").graph.node if n.op_type == "Cast"
    ]
    assert casts == [TensorProto.FLOAT, TensorProto.FLOAT16]


def test_branches_are_converted_inside(graph: Any, form: Any, ort_answer: Any, draw: Any) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(op, TensorProto.FLOAT, [1, 1])
        axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
        return helper.make_graph([node(op, ["x", "axes"], [op])], op, [], [out], [axes])

    nodes = [node("If", ["c"], ["y"], then_branch=branch("ReduceMean"), else_branch=branch("ReduceMax"))]
    model = graph(nodes, [("x", [1, 4]), ("c", [], TensorProto.BOOL)], [("y", [1, 1])])
    for name in ("opset13", "opset13+opset21"):
        converted = form(model, name)
        for taken in (True, False):
            feeds = {"x": draw(1, 4), "c": np.array(taken)}
            np.testing.assert_allclose(ort_answer(converted, feeds)[0], ort_answer(model, feeds)[0])


@pytest.mark.parametrize(
    ("name", "source", "nodes", "reason"),
    [
        ("opset12", 18, [node("Relu", ["x"], ["y"])], "can be taken down to 13"),
        ("opset99", 18, [node("Relu", ["x"], ["y"])], "there is no operator set 99"),
        ("opset13", 18, [node("Trilu", ["x"], ["y"])], "came with operator set 14"),
        ("opset17", 18, [node("Resize", ["x", "", "s"], ["y"], antialias=1, mode="linear")], "antialias"),
        ("opset17", 19, [node("Pad", ["x", "p"], ["y"], mode="wrap")], "mode"),
        ("opset13", 11, [node("Hardmax", ["x"], ["y"], axis=1)], "several axes"),
    ],
)
def test_what_cannot_be_said_is_refused(name: str, source: int, nodes: Any, reason: str, graph: Any, form: Any) -> None:
    constants = {"s": np.ones(4, "f"), "p": np.zeros(8, np.int64)}
    model = graph(nodes, [("x", [1, 4, 4, 4])], [("y", None)], constants, opset=source)
    with pytest.raises(ModelError, match=reason):
        form(model, name)


def test_foreign_operators_stay_as_they_are(graph: Any, form: Any) -> None:
    nodes = [node("Odd", ["x"], ["a"], domain="my", name="odd"), node("Relu", ["a"], ["y"])]
    model = graph(nodes, [("x", [1, 4])], [("y", [1, 4])], domains=["my"], opset=13)
    assert form(model, "opset17").graph.node[0] == model.graph.node[0]


def test_the_same_set_is_nothing_new(graph: Any, form: Any) -> None:
    model = graph([node("Relu", ["x"], ["y"])], [("x", [1, 4])], [("y", [1, 4])])
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "opset18")


def test_a_conversion_to_the_same_set_is_a_copy(graph: Any) -> None:
    model = graph([node("Relu", ["x"], ["y"])], [("x", [1, 4])], [("y", [1, 4])])
    assert convert(model, 18) is not model
