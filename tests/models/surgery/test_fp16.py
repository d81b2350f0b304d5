"""float16: right to its own precision, and float32 exactly where it was asked to stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.build import build
from models.errors import ModelError
from models.inputs import initial_state, make_inputs
from models.prepare import prepare_zoo

node = helper.make_node
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
VARIANTS = ("fp16", "fp16_io32", "fp16_ln32", "fp16_io32_ln32")


def value(name: str, shape: Any, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def kinds(values: Any) -> set[int]:
    return {entry.type.tensor_type.elem_type for entry in values}


def stored(model: onnx.ModelProto) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def kinds_of_values(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    return {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_zoo_says_the_same(name: str, form: Any, same: Any, ort_answer: Any, tmp_path: Any) -> None:
    feeds = make_inputs(prepare_zoo("rt8", "raw", 1, tmp_path), 1, 1)[0][0]
    model = build("rt8")
    half = form(model, name)
    same(model, half, feeds, name)
    outside = FLOAT if "io32" in name else HALF
    assert kinds(half.graph.input) | kinds(half.graph.output) == {outside}
    assert half.ByteSize() < 0.6 * model.ByteSize()
    # An engine takes it, too.
    given = {key: array.astype(np.float32 if outside == FLOAT else np.float16) for key, array in feeds.items()}
    assert np.isfinite(ort_answer(half, given)[0]).all()


@pytest.mark.parametrize("name", ["fp16", "fp16_io32"])
@pytest.mark.parametrize("model", ["rnnoise", "fx_student_8"])
def test_states_follow_the_other_inputs(model: str, name: str, form: Any, same: Any, tmp_path: Any) -> None:
    card = prepare_zoo(model, "raw", 1, tmp_path)
    feeds = {**make_inputs(card, 1, 1)[0][0], **initial_state(card)}
    half = form(build(model), name)
    same(build(model), half, feeds, name)
    assert kinds(half.graph.input) == kinds(half.graph.output) == {FLOAT if "io32" in name else HALF}


def test_a_written_out_norm_stays_in_float32(form: Any) -> None:
    types = kinds_of_values(form(build("rt8"), "fp16_ln32"))
    inside = {name: kind for name, kind in types.items() if ".norm." in name and "half" not in name}
    assert len(inside) >= 9 * 9
    assert set(inside.values()) == {FLOAT}
    assert types["enc0.0.depthwise"] == HALF


def test_squares_beyond_its_range_need_the_norm_in_float32(graph: Any, form: Any, same: Any) -> None:
    nodes = [node("LayerNormalization", ["a", "gain"], ["b"], axis=-1), node("MatMul", ["b", "w"], ["y"])]
    nodes = [node("Mul", ["x", "loud"], ["a"]), *nodes]
    constants = {"loud": np.float32(1000), "gain": np.ones(8, "f"), "w": np.eye(8, dtype="f")}
    model = graph(nodes, [("x", [1, 8])], [("y", [1, 8])], constants)
    same(model, form(model, "fp16_ln32"), {"x": np.linspace(-9, 9, 8).reshape(1, 8)}, "fp16_ln32")


def test_the_same_norm_in_other_words(graph: Any, form: Any) -> None:
    # By the root of the mean square, times a reciprocal root.
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Mul", ["a", "a"], ["squared"]),
        node("ReduceMean", ["squared", "axes"], ["mean"]),
        node("Add", ["mean", "epsilon"], ["safe"]),
        node("Sqrt", ["safe"], ["root"]),
        node("Reciprocal", ["root"], ["inverse"]),
        node("Mul", ["a", "inverse"], ["scaled"]),
        node("Mul", ["scaled", "gain"], ["n"]),
        node("MatMul", ["n", "w"], ["y"]),
    ]
    constants = {"w": np.eye(4, dtype="f"), "axes": [-1], "epsilon": np.float32(1e-12), "gain": np.ones(4, "f")}
    types = kinds_of_values(form(graph(nodes, [("x", [1, 4])], [("y", [1, 4])], constants), "fp16_ln32"))
    assert {types[name] for name in ("squared", "mean", "safe", "root", "inverse", "scaled", "n")} == {FLOAT}
    assert {types["a"], types["y"]} == {HALF}


def test_an_output_that_is_read_inside(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [node("MatMul", ["x", "w"], ["y"]), node("Relu", ["y"], ["a"]), node("MatMul", ["a", "w"], ["z"])]
    model = graph(
        nodes, [("x", [1, 4])], [("y", [1, 4]), ("z", [1, 4]), ("x", [1, 4]), ("w", [4, 4])], {"w": draw(4, 4)}
    )
    for name in ("fp16", "fp16_io32"):
        same(model, form(model, name), {"x": draw(1, 4)}, name)


def test_branches_and_loops_are_followed(graph: Any, form: Any, ort_answer: Any, draw: Any) -> None:
    yes = helper.make_graph(
        [node("MatMul", ["x", "w"], ["t0"]), node("Add", ["t0", "bias"], ["t"])],
        "yes",
        [],
        [value("t", [1, 4])],
        [numpy_helper.from_array(draw(4), "bias")],
    )
    constant = numpy_helper.from_array(draw(1, 4))
    no = helper.make_graph([node("Constant", [], ["e"], value=constant)], "no", [], [value("e", [1, 4])])
    body = helper.make_graph(
        [
            node("MatMul", ["v", "w"], ["m"]),
            node("Tanh", ["m"], ["next"]),
            node("Identity", ["go"], ["on"]),
            node("ReduceMax", ["next"], ["peak"], keepdims=0),
        ],
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("v", [1, 4])],
        [value("on", [], TensorProto.BOOL), value("next", [1, 4]), value("peak", [])],
    )
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["c"]),
        node("If", ["c"], ["a"], then_branch=yes, else_branch=no),
        node("Loop", ["times", "", "a"], ["y", "peaks"], body=body),
    ]
    constants = {"w": draw(4, 4), "zero": np.float32(0), "times": np.array(3)}
    model = graph(nodes, [("x", [1, 4])], [("y", [1, 4]), ("peaks", [3])], constants)
    for name in ("fp16", "fp16_io32"):
        half = form(model, name)
        for sign in (1, -1):
            feeds = {"x": np.full((1, 4), sign, "f")}
            kind = helper.tensor_dtype_to_np_dtype(half.graph.input[0].type.tensor_type.elem_type)
            got = ort_answer(half, {"x": feeds["x"].astype(kind)})
            for one, expected in zip(got, ort_answer(model, feeds), strict=True):
                assert one.dtype == kind
                np.testing.assert_allclose(one, expected, atol=5e-3)


def test_what_makes_numbers_of_its_own_makes_them_in_float16(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [
        node("Cast", ["count"], ["n"], to=FLOAT),
        node("Shape", ["x"], ["size"]),
        node("ConstantOfShape", ["size"], ["two"], value=numpy_helper.from_array(np.array([2], "f"))),
        node("ConstantOfShape", ["size"], ["nil"]),
        node("Constant", [], ["half"], value_float=0.5),
        node("Sum", ["x", "two", "nil", "n"], ["a"]),
        node("Mul", ["a", "half"], ["y"]),
    ]
    model = graph(nodes, [("x", [1, 4]), ("count", [1], TensorProto.INT64)], [("y", [1, 4])])
    half = form(model, "fp16")
    assert set(kinds_of_values(half).values()) <= {HALF, TensorProto.INT64}
    same(model, half, {"x": draw(1, 4), "count": np.array([3])}, "fp16")


def test_scales_and_sizes_stay_in_float32(graph: Any, form: Any, ort_answer: Any) -> None:
    nodes = [
        node("Shape", ["x"], ["size"]),
        node("Cast", ["size"], ["sizes"], to=FLOAT),
        node("Mul", ["sizes", "factors"], ["wanted"]),
        node("Div", ["wanted", "sizes"], ["scales"]),
        node("Resize", ["x", "", "scales"], ["r"], mode="nearest"),
        node("ReduceProd", ["sizes"], ["all"], keepdims=0),
        node("ReduceSum", ["r"], ["sum"], keepdims=0),
        node("Div", ["sum", "all"], ["y"]),
    ]
    # More values than float16 can count.
    model = graph(nodes, [("x", [1, 1, 30, 3000])], [("y", [])], {"factors": np.array([1, 1, 2, 1], "f")})
    half = form(model, "fp16")
    assert kinds_of_values(half)["scales"] == FLOAT
    got = ort_answer(half, {"x": np.full((1, 1, 30, 3000), 0.3, np.float16)})[0]
    np.testing.assert_allclose(got, 0.6, rtol=2e-3)


def test_what_does_not_fit_is_said(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [
        node("Where", ["mask", "x", "never"], ["a"]),
        node("Softmax", ["a"], ["b"]),
        node("Add", ["b", "tiny"], ["c"]),
        node("MatMul", ["c", "w"], ["y"]),
    ]
    weights = np.eye(4, dtype="f")
    weights[0, 1] = 1e-9
    constants = {"mask": [True, True, False, True], "never": np.float32(-1e9), "tiny": np.float32(1e-12), "w": weights}
    done: list[Any] = []
    model = graph(nodes, [("x", [1, 4])], [("y", [1, 4])], constants)
    half = form(model, "fp16", done)
    said = " ".join(done[0].notes)
    assert "1 constants beyond float16's range became ±65504 (never)" in said
    assert "smallest became 6e-08 (tiny)" in said
    assert "1 weights below float16's smallest, 6e-08, became 0 (w)" in said
    # 0 there could become a division by 0.
    assert stored(half)["tiny"] > 0
    same(model, half, {"x": draw(1, 4)}, "fp16")


def test_scaling_by_what_does_not_fit_is_done_in_float32(graph: Any, form: Any, same: Any) -> None:
    # Full scale of 32-bit PCM.
    nodes = [node("Div", ["x", "full"], ["a"]), node("Mul", ["a", "full"], ["b"]), node("Mul", ["b", "inverse"], ["y"])]
    constants = {"full": np.float32(2**31), "inverse": np.float32(2**-31)}
    done: list[Any] = []
    model = graph([*nodes[:2], nodes[2]], [("x", [1, 4])], [("y", [1, 4])], constants)
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "fp16_io32", done)


def test_quantised_values_keep_their_scales(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [node("DequantizeLinear", ["q", "scale"], ["w"]), node("MatMul", ["x", "w"], ["y"])]
    constants = {"q": np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "scale": np.float32(3e-8)}
    model = graph(nodes, [("x", [1, 4])], [("y", [1, 4])], constants)
    assert stored(form(model, "fp16"))["scale"] == np.float32(3e-8)


def test_foreign_operators_get_the_float32_they_were_made_for(
    graph: Any, form: Any, ort_answer: Any, draw: Any
) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("FusedMatMul", ["a", "w"], ["b"], domain="com.microsoft", alpha=0.5),
        node("Relu", ["b"], ["y"]),
    ]
    done: list[Any] = []
    model = graph(nodes, [("x", [1, 4])], [("y", [1, 4])], {"w": draw(4, 4)}, domains=["com.microsoft"])
    half, feeds = form(model, "fp16_io32", done), {"x": draw(1, 4)}
    assert "1 of com.microsoft::FusedMatMul" in done[0].notes[0]
    assert {array.dtype.name for array in stored(half).values()} == {"float16", "float32"}
    np.testing.assert_allclose(ort_answer(half, feeds)[0], ort_answer(model, feeds)[0], atol=1e-2)


def test_names_that_look_like_ours_do_not_collide(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["x.half"]),
        node("Relu", ["x.half"], ["w.half"]),
        node("Add", ["w.half", "x"], ["y"]),
    ]
    model = graph(nodes, [("x", [1, 4])], [("y", [1, 4])], {"w": draw(4, 4)})
    same(model, form(model, "fp16_io32"), {"x": draw(1, 4)}, "fp16_io32")


def test_weights_keep_their_names(form: Any) -> None:
    before, after = stored(build("rt8")), stored(form(build("rt8"), "fp16"))
    assert before.keys() == after.keys()


def test_twice_is_once(form: Any) -> None:
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(build("null"), "fp16+fp16")


def test_whole_numbers_have_nothing_to_halve(graph: Any, form: Any) -> None:
    model = graph([node("Neg", ["x"], ["y"])], [("x", [4], TensorProto.INT64)], [("y", [4], TensorProto.INT64)])
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "fp16")


def test_a_known_crash_is_warned_of(graph: Any, form: Any, draw: Any) -> None:
    nodes = [node("Transpose", ["x"], ["t"], perm=[1, 0, 2]), node("MatMul", ["t", "w"], ["y"])]
    model = graph(nodes, [("x", [2, 3, 4])], [("y", [3, 2, 4])], {"w": draw(4, 4)})
    done: list[Any] = []
    form(model, "fp16", done)
    assert "issue 28392" in done[0].notes[-1]
