"""Node times beside bounds: no share is made up, no bound is counted twice, nothing unknown passes for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from results.errors import RunFileError
from results.nodes import NodeBound, NodeTime, NodeTimes, by_operator, explained, gone, is_move

CONV = NodeBound("conv", "Conv", 1000, 20e-6, 18e-6, moves=False)
RELU = NodeBound("relu", "Relu", 10, 4e-6, 1e-6, moves=False)
TURN = NodeBound("turn", "Transpose", 0, 5e-6, 0.0, moves=True)
ALL = (CONV, RELU, TURN)


def times(*nodes: NodeTime, call_ns: float = 100e3, **changes: Any) -> NodeTimes:
    return NodeTimes("ort-cpu", "1.0", 50, call_ns, nodes, **changes)


def test_what_was_kept_is_read_back() -> None:
    kept = times(NodeTime("a", "Conv", 1.5, 2.0, ("conv",), "jit"), notes=("n",), plain_ns=3.0, signals=2, threads=4)
    assert NodeTimes.from_json(json.loads(json.dumps(kept.to_json()))) == kept


@pytest.mark.parametrize("record", [{}, {"runtime": "x"}, {"nodes": [{}]}, {"nodes": [], "notes": [], "more": 1}])
def test_what_is_no_node_times_says_so(record: dict[str, Any]) -> None:
    with pytest.raises(RunFileError, match="no node times of this version"):
        NodeTimes.from_json(record)


def test_a_profilers_own_bookkeeping_makes_no_share_smaller() -> None:
    node = NodeTime("a", "Conv", 40e3)
    assert explained(times(node, plain_ns=80e3))[0].share == pytest.approx(0.5)
    # Without a plain call there is only the profiled one.
    assert explained(times(node))[0].share == pytest.approx(0.4)
    # Neither side of the engine's own time: a slow phase during the plain calls is no part of a node's call.
    assert explained(times(node, plain_ns=500e3))[0].share == pytest.approx(0.4)


def test_shares_never_exceed_a_call() -> None:
    # Nodes that ran side by side, or plain calls that were luckier than the profiled ones.
    beside = times(NodeTime("a", "Conv", 80e3), NodeTime("b", "Relu", 70e3), plain_ns=60e3)
    assert sum(node.share for node in explained(beside)) == pytest.approx(1.0)
    assert beside.outside == pytest.approx(0.0)
    assert times(NodeTime("a", "Conv", 75e3)).outside == pytest.approx(0.25)


def test_times_scale_to_the_call_that_is_asked_for() -> None:
    node = explained(times(NodeTime("a", "Conv", 25e3)), call_ns=60e3)[0]
    assert (node.share, node.ns) == (pytest.approx(0.25), pytest.approx(15e3))


def test_a_node_that_stands_for_several_has_the_sum_of_their_bounds() -> None:
    found = explained(times(NodeTime("fused", "Conv", 48e3, 1.0, ("conv", "relu"))), ALL)[0]
    assert (found.bound_ns, found.ideal_ns) == (pytest.approx(24e3), pytest.approx(19e3))
    assert found.factor == pytest.approx(2.0)


def test_a_bound_is_counted_once_however_many_nodes_stand_for_it() -> None:
    parts = (NodeTime("a", "Reduce", 30e3, 1.0, ("conv",)), NodeTime("b", "Subgraph", 10e3, 1.0, ("conv",)))
    found = explained(times(*parts), ALL)
    assert [node.bound_ns for node in found] == [pytest.approx(15e3), pytest.approx(5e3)]


def test_packing_before_a_product_could_take_nothing() -> None:
    parts = (NodeTime("p", "OptMatMulPack", 30e3, 1.0, ("conv",)), NodeTime("m", "OptMatMul", 10e3, 1.0, ("conv",)))
    pack, product = explained(times(*parts), ALL)
    assert (pack.moves, pack.bound_ns, pack.ideal_ns) == (True, 0.0, 0.0)
    assert (product.moves, product.bound_ns) == (False, pytest.approx(20e3))


def test_what_an_engine_put_in_could_take_nothing() -> None:
    found = explained(times(NodeTime("r", "ReorderInput", 9e3), NodeTime("c", "Conv", 30e3, 1.0, ("conv",))), ALL)
    assert (found[0].bound_ns, found[0].ideal_ns, found[0].factor) == (0.0, 0.0, None)


def test_an_engine_that_does_not_tell_has_no_bounds() -> None:
    silent = times(NodeTime("conv2d", "conv2d", 9e3))
    assert explained(silent, ALL)[0].bound_ns is None
    assert by_operator(explained(silent, ALL))[0].bound_ns is None
    assert gone(silent, ALL) == []


def test_a_node_for_which_nobody_knows_a_bound_has_none() -> None:
    found = explained(times(NodeTime("a", "Conv", 9e3, 1.0, ("conv", "mystery"))), ALL)
    assert found[0].bound_ns is None


def test_two_signals_in_a_call_may_take_twice_as_long() -> None:
    found = explained(times(NodeTime("a", "Conv", 9e3, 1.0, ("conv",)), signals=2), ALL)
    assert found[0].bound_ns == pytest.approx(40e3)


def test_operators_say_what_they_take_and_could_take() -> None:
    nodes = (
        NodeTime("c", "Conv", 60e3, 1.0, ("conv",)),
        NodeTime("t", "Transpose", 17e3, 1.0, ("turn",)),
        NodeTime("t2", "Transpose", 3e3),
    )
    conv, turn = by_operator(explained(times(*nodes), ALL))
    assert (turn.operator, turn.nodes, turn.moves) == ("Transpose", 2, True)
    assert (turn.share, turn.bound_ns, turn.ideal_ns) == (pytest.approx(0.2), pytest.approx(5e3), 0.0)
    assert (conv.factor, conv.bound_share) == (pytest.approx(3.0), pytest.approx(0.8))


def test_what_no_node_claims_is_named() -> None:
    assert gone(times(NodeTime("a", "Conv", 9e3, 1.0, ("conv",))), ALL) == [RELU, TURN]


def test_a_bound_may_say_that_an_operator_only_moves() -> None:
    nearest = NodeBound("up", "Resize", 0, 1e-6, 0.0, moves=True)
    assert not is_move("Resize")
    assert explained(times(NodeTime("a", "Resize", 9e3, 1.0, ("up",))), [nearest])[0].moves


@pytest.mark.parametrize(
    "name", ["Transpose", "ReorderInput", "fused_transpose", "Concatenation", "aten::permute", "Im2col", "IntoShape"]
)
def test_moves_are_known_by_many_names(name: str) -> None:
    assert is_move(name)


@pytest.mark.parametrize("name", ["Conv", "transpose_relu", "ConvTranspose", "conv2d_transpose", "Resize", "Paddle"])
def test_what_computes_is_no_move(name: str) -> None:
    assert not is_move(name)
