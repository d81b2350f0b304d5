"""Fixing sizes: engines that plan ahead must get the sizes that were asked for, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from models.errors import ModelError


def sizes(model: Any) -> list[list[int]]:
    return [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.graph.input, *model.graph.output)]


def test_sizes_are_those_that_were_given(graph: Any, form: Any, same: Any, draw: Any) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    model = graph(nodes, [("x", ["batch", "frames", 4])], [("y", ["batch", "frames", 3])], {"w": draw(4, 3)})
    fixed = form(model, "static", shapes={"x": (1, 7, 4)})
    assert sizes(fixed) == [[1, 7, 4], [1, 7, 3]]
    same(model, fixed, {"x": draw(1, 7, 4)}, "static")


def test_an_open_batch_alone_is_one_signal(linear: Any, form: Any) -> None:
    assert sizes(form(linear, "static")) == [[1, 4], [1, 3]]


def test_other_open_sizes_must_be_given(graph: Any, form: Any) -> None:
    model = graph([helper.make_node("Relu", ["x"], ["y"])], [("x", [1, "frames"])], [("y", [1, "frames"])])
    with pytest.raises(ModelError, match="--shape x="):
        form(model, "static")


def test_a_static_graph_has_nothing_to_fix(graph: Any, form: Any) -> None:
    model = graph([helper.make_node("Relu", ["x"], ["y"])], [("x", [1, 4])], [("y", [1, 4])])
    with pytest.raises(ModelError, match="nothing in this graph to change"):
        form(model, "static", shapes={"x": (1, 4)})


def test_weights_that_are_listed_as_inputs_stay_weights(graph: Any, form: Any, same: Any) -> None:
    model = graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [("x", ["b", 3]), ("w", [3])],
        [("y", ["b", 3])],
        {"w": np.ones(3, "f")},
        opset=9,
        ir=3,
    )
    fixed = form(model, "static")
    assert [value.name for value in fixed.graph.input] == ["x"]
    same(model, fixed, {"x": np.zeros((1, 3), "f")}, "static")
