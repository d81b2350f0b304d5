"""Several passes in a row: each must leave what the next can use, and own up to what it did."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.build import build
from models.errors import ModelError
from models.surgery import chain
from models.surgery.base import Change

node = helper.make_node
FORMS = ["opset13+fp16", "fp16_io32+opset21", "batch2+fp16_ln32", "static+batch2", "opset21+int4", "fp16+batch2"]


@pytest.fixture
def awkward(graph: Any, draw: Any) -> onnx.ModelProto:
    """What exporters of another decade leave: weights among the inputs, nothing named, twice the same name."""
    nodes = [
        node("Relu", ["a"], ["b"], name="twin"),  # before the node that makes what it reads
        node("MatMul", ["x", "w"], ["a"]),
        node("Constant", [], ["c"], value_float=0.5),
        node("Mul", ["b", "c"], ["y"], name="twin"),
        node("MatMul", ["y", "w"], ["z"]),
    ]
    model: onnx.ModelProto = graph(
        nodes, [("x", ["b", 40]), ("w", [40, 40])], [("y", ["b", 40]), ("z", None)], {"w": draw(40, 40)}, opset=12, ir=3
    )
    model.opset_import[0].domain = "ai.onnx"
    return model


@pytest.mark.parametrize("name", FORMS)
def test_awkward_files_go_through(name: str, awkward: onnx.ModelProto, form: Any, ort_answer: Any, draw: Any) -> None:
    result = form(awkward, name)
    assert [value.name for value in result.graph.input] == ["x"]
    assert [value.name for value in result.graph.output] == ["y", "z"]
    count = 2 if "batch2" in name else 1
    kind = helper.tensor_dtype_to_np_dtype(result.graph.input[0].type.tensor_type.elem_type)
    x = draw(count, 40)
    w = numpy_helper.to_array(awkward.graph.initializer[0])
    y = np.maximum(x @ w, 0) * 0.5
    got = ort_answer(result, {"x": x.astype(kind)})
    # 4 bits miss by some tenths of a step.
    np.testing.assert_allclose(got[0], y, atol=0.2 if "int4" in name else 0.01)
    np.testing.assert_allclose(got[1], y @ w, atol=0.3 if "int4" in name else 0.02)


def test_functions_are_written_out(graph: Any, form: Any, same: Any, draw: Any) -> None:
    body = [node("Relu", ["p"], ["r"]), node("Add", ["r", "p"], ["q"])]
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Twice", ["a"], ["y"], domain="own")]
    model = graph(nodes, [("x", ["b", 4])], [("y", ["b", 4])], {"w": draw(4, 4)}, domains=["own"])
    model.functions.append(helper.make_function("own", "Twice", ["p"], ["q"], body, [helper.make_opsetid("", 18)]))
    for name in ("fp16", "opset21", "static"):
        result = form(model, name)
        assert not result.functions
        same(model, result, {"x": draw(1, 4)}, name)


def test_sparse_weights_become_dense(graph: Any, form: Any, draw: Any, ort_answer: Any) -> None:
    model = graph([node("Add", ["x", "w"], ["y"])], [("x", [1, 2, 2])], [("y", [1, 2, 2])])
    sparse = model.graph.sparse_initializer.add(dims=[2, 2])
    sparse.values.CopyFrom(numpy_helper.from_array(np.array([5], "f"), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([[1, 0]]), "places"))
    got = ort_answer(form(model, "opset21"), {"x": np.zeros((1, 2, 2), "f")})
    np.testing.assert_array_equal(got[0], [[[0, 0], [5, 0]]])


def test_the_steps_are_told_one_by_one(form: Any) -> None:
    done: list[Any] = []
    model = build("rt8")
    result = form(model, "opset21+fp16_io32", done)
    assert [step.step for step in done] == ["opset21", "fp16_io32"]
    assert done[0].bytes_before == model.ByteSize()
    assert done[0].bytes_after == done[1].bytes_before
    assert (done[1].nodes_after, done[1].bytes_after) == (len(result.graph.node), result.ByteSize())


def test_a_pass_that_finds_nothing_is_refused_by_name(form: Any) -> None:
    with pytest.raises(ModelError, match=r"form opset18 of net: there is nothing in this graph to change"):
        form(build("null"), "fp16+opset18")


@pytest.mark.parametrize("fault", ["inputs", "outputs", "broken"])
def test_a_pass_with_a_fault_is_found_out(fault: str, form: Any, monkeypatch: Any) -> None:
    def apply(model: onnx.ModelProto, *_: Any) -> Change:
        result = onnx.ModelProto()
        result.CopyFrom(model)
        if fault == "broken":
            result.graph.node[0].op_type = "Conv"
        else:
            getattr(result.graph, fault[:-1])[0].name = "other"
        return Change(result, 1)

    model = build("null")
    monkeypatch.setattr(chain.importlib, "import_module", lambda _: SimpleNamespace(apply=apply))
    with pytest.raises(ModelError, match=fault if fault != "broken" else "left a broken graph"):
        form(model, "static")


def test_a_file_that_onnx_dislikes_is_no_fault_of_the_pass(graph: Any, form: Any) -> None:
    # An attribute of nobody's: engines shrug, the checker does not.
    model = graph([node("Relu", ["x"], ["y"], note="hello")], [("x", ["b", 4])], [("y", ["b", 4], TensorProto.FLOAT)])
    assert form(model, "static").graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
