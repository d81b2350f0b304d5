"""8 bits: who computes in them, who does not, and that the answer survives it."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.build import build
from models.errors import ModelError
from models.inputs import make_inputs
from models.prepare import prepare_zoo

pytest.importorskip("onnxruntime")

from runtimes.ort_tools import OrtTools  # only where ONNX Runtime is installed

node = helper.make_node


def operators(model: onnx.ModelProto) -> set[str]:
    return {n.op_type for n in model.graph.node}


@pytest.fixture
def dense(graph: Any, draw: Any) -> onnx.ModelProto:
    """Products with named and nameless nodes, shared and computed weights, factors, and a norm of two axes."""
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Transpose", ["w"], ["t"], perm=[1, 0], name="turn"),
        node("MatMul", ["a", "t"], ["b"]),
        node("LayerNormalization", ["b", "gain"], ["n"], axis=0),
        node("Gemm", ["n", "w", "bias"], ["c"], alpha=0.5, beta=2.0, name="turn"),
        node("Relu", ["c"], ["y"]),
    ]
    constants = {"w": draw(16, 16), "bias": draw(16), "gain": np.ones((2, 16), "f")}
    model: onnx.ModelProto = graph(nodes, [("x", [2, 16])], [("y", [2, 16])], constants)
    return model


@pytest.mark.parametrize("name", ["int8", "int8_dynamic"])
def test_every_product_is_done_in_8_bits(name: str, dense: Any, form: Any, same: Any, draw: Any) -> None:
    calls, done = [{"x": draw(2, 16)} for _ in range(4)], []
    small = form(dense, name, done, ort=OrtTools(), calibration=lambda: calls)
    assert done[0].places == 3
    assert {entry.domain for entry in small.opset_import} == {""}
    if name == "int8":
        assert {"QuantizeLinear", "DequantizeLinear", "LayerNormalization"} <= operators(small)
    else:
        assert "MatMulInteger" in operators(small)
    same(dense, small, {"x": draw(2, 16)}, name)


@pytest.mark.parametrize("form_name", ["int8", "ln+int8", "int8_dynamic"])
def test_the_zoo_says_about_the_same(form_name: str, form: Any, same: Any, tmp_path: Any) -> None:
    card = prepare_zoo("rt8", "raw", 1, tmp_path)
    turns = make_inputs(card, 4, 1)[0]
    small = form(build("rt8"), form_name, ort=OrtTools(), calibration=lambda: turns[1:])
    same(build("rt8"), small, turns[0], form_name)
    assert small.ByteSize() < build("rt8").ByteSize() * (2 if "ln" in form_name else 0.5)


def test_an_lstm_becomes_onnx_runtimes_own_and_it_is_said(form: Any, ort_answer: Any) -> None:
    model, done, generator = build("fx_student_8"), [], np.random.default_rng(1)
    small = form(model, "int8_dynamic", done, ort=OrtTools())
    assert "com.microsoft::DynamicQuantizeLSTM" in done[0].notes[0]
    feeds = {
        v.name: generator.standard_normal([d.dim_value for d in v.type.tensor_type.shape.dim]).astype("f")
        for v in model.graph.input
    }
    for got, expected in zip(ort_answer(small, feeds), ort_answer(model, feeds), strict=True):
        np.testing.assert_allclose(got, expected, atol=0.1)


def test_an_old_export_is_raised_to_scales_per_channel(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("ReduceSum", ["a"], ["y"], axes=[1])]
    model, done = graph(nodes, [("x", [1, 8])], [("y", [1, 1])], {"w": draw(8, 8)}, opset=9, ir=4), []
    calls = [{"x": draw(1, 8)} for _ in range(3)]
    small = form(model, "int8", done, ort=OrtTools(), calibration=lambda: calls)
    assert small.opset_import[0].version == 13
    assert "from 9 to 13" in done[0].notes[0]


def test_what_a_branch_reads_is_made_before_it(graph: Any, form: Any, ort_answer: Any, draw: Any) -> None:
    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(op, TensorProto.FLOAT, [1, 8])
        return helper.make_graph([node(op, ["a"], [op])], op, [], [out])

    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg")),
    ]
    model = graph(nodes, [("x", [1, 8]), ("c", [], TensorProto.BOOL)], [("y", [1, 8])], {"w": draw(8, 8)})
    feeds = {"x": draw(1, 8), "c": np.array(True)}
    small = form(model, "int8", ort=OrtTools(), calibration=lambda: [feeds])
    np.testing.assert_allclose(ort_answer(small, feeds)[0], ort_answer(model, feeds)[0], atol=0.1)


def test_calls_fit_a_graph_that_was_resized_before(dense: Any, graph: Any, form: Any, draw: Any) -> None:
    model = graph([node("MatMul", ["x", "w"], ["y"])], [("x", [1, 8])], [("y", [1, 8])], {"w": draw(8, 8)})
    form(model, "batch3+int8", ort=OrtTools(), calibration=lambda: [{"x": draw(1, 8)}])
    with pytest.raises(ModelError, match=r"a call to calibrate with \(3, 3\)"):
        form(model, "int8", ort=OrtTools(), calibration=lambda: [{"x": draw(3, 3)}])
    with pytest.raises(ModelError, match="have no input 'x'"):
        form(model, "int8", ort=OrtTools(), calibration=lambda: [{}])


@pytest.mark.parametrize("name", ["int8+int8", "int8+int8_dynamic", "int4+int8"])
def test_what_is_quantised_is_not_quantised_again(name: str, graph: Any, form: Any, draw: Any) -> None:
    model = graph([node("MatMul", ["x", "w"], ["y"])], [("x", [1, 32])], [("y", [1, 32])], {"w": draw(32, 32)})
    with pytest.raises(ModelError, match="quantised already"):
        form(model, name, ort=OrtTools(), calibration=lambda: [{"x": draw(1, 32)}])


def test_what_cannot_be_done_is_one_sentence(graph: Any, form: Any, dense: Any, draw: Any) -> None:
    bare = graph([node("Relu", ["x"], ["y"])], [("x", [1, 4])], [("y", [1, 4])])
    with pytest.raises(ModelError, match=r"pip install 'rtfloor\[cpu\]'"):
        form(dense, "int8")
    with pytest.raises(ModelError, match="needs inputs to calibrate with"):
        form(dense, "int8", ort=OrtTools())
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(bare, "int8", ort=OrtTools(), calibration=lambda: [{"x": draw(1, 4)}])
    with pytest.raises(ModelError, match="quantise first"):
        form(dense, "fp16+int8", ort=OrtTools(), calibration=lambda: [{"x": draw(2, 16)}])


def test_the_process_is_left_as_it_was(dense: Any, form: Any, draw: Any, capfd: Any) -> None:
    path, handlers, disabled = list(sys.path), list(logging.root.handlers), logging.root.manager.disable
    for name in ("int8", "int8_dynamic"):
        form(dense, name, ort=OrtTools(), calibration=lambda: [{"x": draw(2, 16)}])
    assert (sys.path, logging.root.handlers, logging.root.manager.disable) == (path, handlers, disabled)
    assert capfd.readouterr() == ("", "")
