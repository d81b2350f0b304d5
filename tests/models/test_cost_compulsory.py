"""Bytes and products that floors are made of: whatever an engine can do without must not be in them."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.cost import walk
from models.cost_compulsory import Compulsory
from models.fusion import groups, table
from models.prune import pruned

F32 = np.float32


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, [name.strip("-") for name in inputs.split()], outputs.split(), **attributes)


def graph(
    nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, ...]], weights: dict[str, Any], outputs: str = "y"
) -> onnx.ModelProto:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    ends = [helper.make_empty_tensor_value_info(name) for name in outputs.split()]
    body = helper.make_graph(nodes, "small", ports, ends, stored)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def least(model: onnx.ModelProto) -> tuple[dict[int, int], int]:
    """Weights by width, and inputs with outputs."""
    found = Compulsory(walk(pruned(model)))
    return found.weight_bytes, found.io_bytes


ROWS = {"from": np.array([0]), "to": np.array([2])}


def test_of_a_table_only_the_rows_that_are_always_the_same_are_kept() -> None:
    nodes = [node("Slice", "big from to", "rows"), node("Add", "x rows", "y")]
    assert least(graph(nodes, {"x": (2, 8)}, {"big": np.zeros((5000, 8), F32), **ROWS})) == ({32: 64}, 128)


def test_what_is_made_of_a_weight_may_be_larger_than_the_weight() -> None:
    # Eight bits are stored, thirty-two are computed with: an engine may keep either.
    nodes = [node("DequantizeLinear", "w scale", "wide"), node("MatMul", "x wide", "y")]
    weights = {"w": np.zeros((8, 8), np.int8), "scale": np.array(0.5, F32)}
    found, _ = least(graph(nodes, {"x": (2, 8)}, weights))
    assert found == {8: 64, 32: 4}


def test_a_mean_of_a_weight_is_a_number() -> None:
    nodes = [node("ReduceMean", "w", "m", keepdims=0), node("Add", "x m", "y")]
    assert least(graph(nodes, {"x": (4,)}, {"w": np.zeros((1000, 1000), F32)}))[0] == {32: 4}


def test_an_input_counts_as_far_as_it_is_read() -> None:
    nodes = [node("Slice", "x from to", "s"), node("Relu", "s", "y")]
    shapes = {"x": (9000, 8), "nobody": (1000,)}
    assert least(graph(nodes, shapes, ROWS)) == ({}, 2 * 8 * 4 + 2 * 8 * 4)


def test_views_and_moves_are_looked_through() -> None:
    nodes = [node("Transpose", "x", "t", perm=[1, 0]), node("Slice", "t from to", "s"), node("Relu", "s", "y")]
    assert least(graph(nodes, {"x": (8, 9000)}, ROWS))[1] == 2 * 2 * 8 * 4


def test_taps_that_meet_nothing_but_padding_are_no_weights() -> None:
    nodes = [node("Conv", "x w", "y", pads=[100, 0])]
    weights = {"w": np.zeros((3, 2, 101), F32)}
    # Eight samples meet the last eight taps of each kernel.
    assert least(graph(nodes, {"x": (1, 2, 8)}, weights))[0] == {32: 3 * 2 * 8 * 4}


def test_what_branches_read_may_not_be_read() -> None:
    inner = helper.make_graph(
        [node("Add", "x w", "r")], "then", [], [helper.make_tensor_value_info("r", TensorProto.FLOAT, (4,))]
    )
    other = helper.make_graph(
        [node("Neg", "x", "q")], "else", [], [helper.make_tensor_value_info("q", TensorProto.FLOAT, (4,))]
    )
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Cast", "s", "c", to=TensorProto.BOOL),
        node("If", "c", "y", then_branch=inner, else_branch=other),
    ]
    model = graph(nodes, {"x": (4,)}, {"w": np.zeros(4, F32)}, "y")
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, (4,)))
    assert least(model)[0] == {}


@pytest.mark.parametrize(("lengths", "part"), [([2], 2 / 10), ([10], 1.0), (None, 1.0)])
def test_frames_beyond_a_sequence_are_not_computed(lengths: list[int] | None, part: float) -> None:
    weights: dict[str, Any] = {"w": np.zeros((1, 16, 3), F32), "r": np.zeros((1, 16, 4), F32)}
    if lengths is not None:
        weights["lens"] = np.array(lengths, np.int32)
    inputs = "x w r - lens" if lengths is not None else "x w r"
    model = graph([node("LSTM", inputs, "y", hidden_size=4)], {"x": (10, 1, 3)}, weights)
    walked = walk(model)
    assert walked.cost().needed_multiply_adds == round(walked.cost().multiply_adds * part)


def test_the_same_twice_and_what_nobody_asks_for_count_once_and_never() -> None:
    weights = {"w": np.zeros((8, 8), F32), "v": np.zeros((8, 8), F32)}
    nodes = [
        node("MatMul", "x w", "a"),
        node("MatMul", "x w", "b"),
        node("MatMul", "x v", "dead"),
        node("Add", "a b", "y"),
    ]
    found = table(graph(nodes, {"x": (2, 8)}, weights))
    assert [row[1] for row in found["nodes"]] == ["MatMul", "Add"]
    assert found["weight_bytes"] == {"32": 256}


def test_pruning_leaves_every_answer_as_it_was() -> None:
    weights = {"w": np.arange(64, dtype=F32).reshape(8, 8)}
    nodes = [
        node("MatMul", "x w", "a"),
        node("Relu", "a", "p"),
        node("MatMul", "x w", "b"),
        node("Relu", "b", "q"),
        node("Sub", "p q", "zero"),
        node("Add", "zero q", "y"),
    ]
    model = graph(nodes, {"x": (2, 8)}, weights, "y q")
    shorter = pruned(model)
    assert len(shorter.graph.node) < len(model.graph.node)
    feeds = {"x": np.random.default_rng(3).standard_normal((2, 8)).astype(F32)}
    for one, other in zip(
        ReferenceEvaluator(model).run(None, feeds), ReferenceEvaluator(shorter).run(None, feeds), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_any_graph_falls_into_groups_that_can_be_carried_out() -> None:
    rng = random.Random(11)
    for _ in range(150):
        names, nodes = ["x"], []
        for number in range(rng.randint(2, 14)):
            operator = rng.choice(["Conv", "Relu", "Add", "Mul", "Sigmoid"])
            inputs = [rng.choice(names), "w"] if operator == "Conv" else [rng.choice(names)]
            if operator in {"Add", "Mul"}:
                inputs.append(rng.choice(names))
            nodes.append(helper.make_node(operator, inputs, [f"t{number}"]))
            names.append(f"t{number}")
        model = graph(nodes, {"x": (1, 4, 8)}, {"w": np.zeros((4, 4, 1), F32)}, " ".join(names[-2:][1:]))
        walked = walk(model)
        made = {"x"}
        for group in groups(walked):
            own = {name for index in group.nodes for name in model.graph.node[index].output}
            read = {name for index in group.nodes for name in model.graph.node[index].input if name != "w"}
            assert read - own <= made
            made |= own
            assert sum(model.graph.node[index].op_type == "Conv" for index in group.nodes) <= 1
