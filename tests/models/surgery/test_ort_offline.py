"""ONNX Runtime's own optimisation, saved: the same answers, and honest about who else can read it."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np
import pytest
from onnx import helper

from models.errors import ModelError

ort = pytest.importorskip("onnxruntime")

from runtimes.ort_tools import OrtTools  # noqa: E402  # only where ONNX Runtime is installed


@pytest.fixture
def convolution(graph: Any, draw: Any) -> Any:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    return graph(nodes, [("x", [1, 4, 8, 8])], [("y", [1, 16, 8, 8])], {"w": draw(16, 4, 3, 3)})


def test_basic_leaves_standard_operators(convolution: Any, form: Any, same: Any, draw: Any) -> None:
    done: list[Any] = []
    saved = form(convolution, "ort_basic", done, ort=OrtTools())
    assert [node.op_type for node in saved.graph.node] == ["Conv", "Relu"]
    assert [entry.domain for entry in saved.opset_import] == [""]
    assert done[0].notes == ()
    same(convolution, saved, {"x": draw(1, 4, 8, 8)}, "ort_basic")


@pytest.mark.parametrize("level", ["ort_extended", "ort_all"])
def test_fused_operators_are_said_to_be_its_own(
    convolution: Any, form: Any, ort_answer: Any, draw: Any, level: str
) -> None:
    done: list[Any] = []
    saved, feeds = form(convolution, level, done, ort=OrtTools()), {"x": draw(1, 4, 8, 8)}
    assert "com.microsoft" in done[0].notes[0]
    assert ("processors of this kind" in done[0].notes[-1]) == (level == "ort_all")
    np.testing.assert_allclose(ort_answer(saved, feeds)[0], ort_answer(convolution, feeds)[0], atol=1e-5)


def test_a_fusion_into_the_standard_domain_is_no_broken_graph(graph: Any, form: Any, ort_answer: Any) -> None:
    # A norm by the root of the mean square becomes SimplifiedLayerNormalization, which no standard has.
    nodes = [
        helper.make_node("Pow", ["x", "two"], ["squared"]),
        helper.make_node("ReduceMean", ["squared", "axes"], ["mean"]),
        helper.make_node("Add", ["mean", "epsilon"], ["safe"]),
        helper.make_node("Sqrt", ["safe"], ["root"]),
        helper.make_node("Div", ["x", "root"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "gain"], ["y"]),
    ]
    constants = {"two": np.float32(2), "axes": [-1], "epsilon": np.float32(1e-6), "gain": np.ones(40, "f")}
    model, done = graph(nodes, [("x", [2, 40])], [("y", [2, 40])], constants), []
    saved, feeds = form(model, "ort_extended", done, ort=OrtTools()), {"x": np.ones((2, 40), "f")}
    assert len(saved.graph.node) == 1
    assert "SimplifiedLayerNormalization" in done[0].notes[0]
    np.testing.assert_allclose(ort_answer(saved, feeds)[0], ort_answer(model, feeds)[0], atol=1e-5)


def test_what_is_as_good_as_it_gets_is_refused(graph: Any, form: Any) -> None:
    model = graph([helper.make_node("Relu", ["x"], ["y"])], [("x", [1, 4])], [("y", [1, 4])])
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "ort_basic", ort=OrtTools())


def test_without_onnx_runtime_it_says_how_to_get_it(convolution: Any, form: Any) -> None:
    with pytest.raises(ModelError, match=r"pip install 'rtfloor\[cpu\]'"):
        form(convolution, "ort_all")


def test_a_graph_that_onnx_runtime_refuses_is_one_sentence(graph: Any, form: Any) -> None:
    model = graph([helper.make_node("Odd", ["x"], ["y"], domain="my")], [("x", [1])], [("y", [1])], domains=["my"])
    with pytest.raises(ModelError, match=r"could not optimise.*Odd"):
        form(model, "ort_basic", ort=OrtTools())


def test_the_process_is_left_as_it_was(convolution: Any, form: Any, capfd: Any) -> None:
    path, handlers, disabled = list(sys.path), list(logging.root.handlers), logging.root.manager.disable
    form(convolution, "ort_all", ort=OrtTools())
    assert (sys.path, logging.root.handlers, logging.root.manager.disable) == (path, handlers, disabled)
    assert capfd.readouterr() == ("", "")
