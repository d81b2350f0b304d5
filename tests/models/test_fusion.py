"""Groups: bytes that vanish too eagerly make a line nobody can reach, a circle makes one that means nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.build import build
from models.cost import walk
from models.facts import zoo
from models.fusion import Group, groups, table


def graph(nodes: list[onnx.NodeProto], weights: dict[str, Any], outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4, 8))]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    ends = [helper.make_empty_tensor_value_info(name) for name in outputs]
    body = helper.make_graph(nodes, "small", ports, ends, stored)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def names(model: onnx.ModelProto) -> list[list[str]]:
    return [[model.graph.node[index].output[0] for index in group.nodes] for group in groups(walk(model))]


W = {"w": np.ones((4, 4, 1), np.float32)}
BYTES = 1 * 4 * 8 * 4


def test_a_product_takes_what_follows_along() -> None:
    model = graph([node("Conv", "x w", "c"), node("Relu", "c", "r"), node("Conv", "r w", "y")], W)
    assert names(model) == [["c", "r"], ["y"]]
    first, second = groups(walk(model))
    # c stays at hand; r goes from one group to the other.
    assert (first.activation_bytes, second.activation_bytes) == (2 * BYTES, 2 * BYTES)
    assert (first.weight_bytes, first.multiply_adds, first.flops) == (64, 4 * 4 * 8, 2 * 4 * 4 * 8 + 4 * 8)


def test_what_comes_before_a_product_is_done_on_the_way_in() -> None:
    model = graph([node("Relu", "x", "r"), node("Conv", "r w", "y")], W)
    (only,) = groups(walk(model))
    assert (only.nodes, only.activation_bytes) == ((0, 1), 2 * BYTES)


def test_a_norm_joins_the_product_before_it() -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("ReduceMean", "c axes", "m"),
        node("Sub", "c m", "s"),
        node("Mul", "s s", "q"),
        node("ReduceMean", "q axes", "v"),
        node("Sqrt", "v", "d"),
        node("Div", "s d", "y"),
    ]
    (only,) = groups(walk(graph(nodes, W | {"axes": np.array([1])})))
    assert only.activation_bytes == 2 * BYTES


def test_two_products_are_never_one() -> None:
    nodes = [node("Conv", "x w", "a"), node("Conv", "x w", "b"), node("Add", "a b", "y")]
    found = groups(walk(graph(nodes, W)))
    assert sorted(len(group.nodes) for group in found) == [1, 2]
    # Two read x and one result goes across.
    assert sum(group.activation_bytes for group in found) == 2 * BYTES + 2 * BYTES + BYTES


def test_no_circle_around_a_branch() -> None:
    # y needs a and c, and c needs a: y can join c, and never a, which must be done before c.
    nodes = [node("Conv", "x w", "a"), node("Conv", "a w", "c"), node("Add", "a c", "y")]
    assert names(graph(nodes, W)) == [["a"], ["c", "y"]]


def test_a_side_path_without_products_joins_as_a_whole() -> None:
    nodes = [node("Conv", "x w", "a"), node("Sigmoid", "a", "g"), node("Mul", "a g", "y")]
    assert names(graph(nodes, W)) == [["a", "g", "y"]]


def test_moving_is_free_inside_and_counts_where_it_is_an_answer() -> None:
    moved = [node("Conv", "x w", "c"), node("Transpose", "c", "t", perm=[0, 2, 1]), node("Relu", "t", "y")]
    (only,) = groups(walk(graph(moved, W)))
    assert (only.nodes, only.activation_bytes) == ((0, 2), 2 * BYTES)
    answered = [node("Conv", "x w", "c"), node("Transpose", "c", "y", perm=[0, 2, 1])]
    (only,) = groups(walk(graph(answered, W)))
    assert only.activation_bytes == 2 * BYTES


def test_part_of_a_tensor_is_part_of_its_bytes() -> None:
    weights = W | {"from": np.array([0]), "to": np.array([2]), "axis": np.array([2])}
    (only,) = groups(walk(graph([node("Slice", "x from to axis", "s"), node("Relu", "s", "y")], weights)))
    assert only.activation_bytes == 2 * (4 * 2 * 4)


def test_joined_tensors_are_read_where_they_lie() -> None:
    nodes = [node("Conv", "x w", "a"), node("Concat", "a x", "j", axis=2), node("Relu", "j", "y")]
    (only,) = groups(walk(graph(nodes, W)))
    assert only.activation_bytes == BYTES + 2 * BYTES


def test_views_are_looked_through() -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("Reshape", "c shape", "flat"),
        node("Relu", "flat", "r"),
        node("Reshape", "r shape", "y"),
    ]
    (only,) = groups(walk(graph(nodes, W | {"shape": np.array([1, 32])})))
    assert only.activation_bytes == 2 * BYTES


def test_an_answer_that_is_also_used_is_written_once() -> None:
    nodes = [node("Conv", "x w", "c"), node("Relu", "c", "y")]
    (only,) = groups(walk(graph(nodes, W, ("c", "y"))))
    assert only.activation_bytes == 3 * BYTES


@pytest.mark.parametrize("name", sorted(zoo()))
def test_every_model_falls_into_groups_that_can_be_carried_out(name: str) -> None:
    model = build(name, 1)
    walked = walk(model)
    found = groups(walked)
    total = walked.cost()
    placed = [index for group in found for index in group.nodes]
    assert len(placed) == len(set(placed))
    assert sum(group.multiply_adds for group in found) == total.needed_multiply_adds
    missing = set(range(len(walked.nodes))) - set(placed)
    assert all(walked.nodes[index].flops == 0 for index in missing)
    assert sum(group.activation_bytes for group in found) <= total.activation_bytes
    assert all(_products(walked.nodes, group) <= 1 for group in found)
    # Everything a node reads was made before its group is carried out, or is made in it.
    made = {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer}
    pending = {index for index in range(len(walked.nodes)) if index in missing}
    nodes = walked.model.graph.node
    for group in [*found, None]:
        progress = True
        while progress:  # views and moves cost nothing: as soon as they can be done, they are
            ready = {index for index in pending if all(not entry or entry in made for entry in nodes[index].input)}
            made |= {entry for index in ready for entry in nodes[index].output}
            pending -= ready
            progress = bool(ready)
        if group is None:
            break
        within = {index for index in missing if index in pending}
        for index in group.nodes:
            made |= {entry for entry in nodes[index].output if entry}
            changed = True
            while changed:
                ready = {i for i in within if all(not entry or entry in made for entry in nodes[i].input)}
                made |= {entry for i in ready for entry in nodes[i].output}
                within -= ready
                pending -= ready
                changed = bool(ready)
        for index in group.nodes:
            assert all(not entry or entry in made for entry in nodes[index].input), nodes[index].name
    assert not pending


def _products(nodes: Any, group: Group) -> int:
    return sum(bool(nodes[index].multiply_adds) for index in group.nodes)


def test_the_table_is_plain_json_and_adds_up() -> None:
    model = build("rt8", 1)
    found = table(model)
    assert json.loads(json.dumps(found)) == found
    columns = found["columns"]
    for key in ("multiply_adds", "flops"):
        place, group_place = columns.index(key), found["group_columns"].index(key)
        assert sum(row[place] for row in found["nodes"]) == sum(row[group_place] for row in found["groups"])
    moves = {row[1] for row in found["nodes"] if row[columns.index("moves")]}
    assert moves
    assert "Conv" not in moves
