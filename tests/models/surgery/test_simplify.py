"""onnxsim: what it saves must not cost the answer, nor what the file says about itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from models.build import build
from models.errors import ModelError


@pytest.fixture
def folded(graph: Any, draw: Any) -> onnx.ModelProto:
    """A weight computed from constants, a node that does nothing, and a graph input listed as weight."""
    nodes = [
        helper.make_node("Transpose", ["w"], ["turned"], perm=[1, 0]),
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("MatMul", ["same", "turned"], ["y"]),
    ]
    model: onnx.ModelProto = graph(nodes, [("x", [2, 4])], [("y", None)], {"w": draw(3, 4)}, opset=13)
    return model


def test_constants_are_folded(folded: Any, form: Any, same: Any, draw: Any) -> None:
    pytest.importorskip("onnxsim")
    simple = form(folded, "sim")
    assert [node.op_type for node in simple.graph.node] == ["MatMul"]
    assert [entry.version for entry in simple.opset_import] == [13]
    assert simple.ir_version == 8
    same(folded, simple, {"x": draw(2, 4)}, "sim")


def test_it_says_nothing_on_the_console(folded: Any, form: Any, capfd: Any) -> None:
    pytest.importorskip("onnxsim")
    form(folded, "sim")
    assert capfd.readouterr().out == ""


def test_the_zoo_is_simple_already(form: Any) -> None:
    pytest.importorskip("onnxsim")
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(build("rt8"), "sim")


def test_without_onnxsim_it_says_how_to_get_it(folded: Any, form: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "onnxsim", None)
    with pytest.raises(ModelError, match=r"pip install 'rtfloor\[surgery\]'"):
        form(folded, "sim")


def test_what_it_cannot_read_is_one_sentence(graph: Any, form: Any) -> None:
    pytest.importorskip("onnxsim")
    model = graph([helper.make_node("Relu", ["nowhere"], ["y"])], [("x", [1])], [("y", [1])], {"w": np.ones(1, "f")})
    with pytest.raises(ModelError, match="onnxsim cannot simplify this graph"):
        form(model, "sim")
