"""Floors: one that is too high calls the impossible possible, and one that is too low keeps people tuning for ever."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from made import record, spec

from results.floor import Graph, GroupRow, Launch, NodeRow, floor_of_totals, launch, lines, node_bounds
from results.floors import NOT_MEASURED, Floors
from results.peaks import Arithmetic, Bandwidth, Call, Level, Peaks
from results.summary import CellSummary, summarise

# 1,000 flop/s; 100 bytes in L1 at 500 bytes/s, 1,000 in L2 at 100, memory at 10.
HOST = Peaks(
    "host",
    "A machine",
    "cpu",
    2,
    (Level("L1", 100, private=True), Level("L2", 1000, private=False), Level("memory", None, private=False)),
    (Arithmetic("fp32", "simd", 1, 1000.0), Arithmetic("bf16", "dot", 1, 2000.0)),
    (Bandwidth("L1", "read", 1, 500.0), Bandwidth("L2", "read", 1, 100.0), Bandwidth("memory", "read", 1, 10.0)),
)


def graph(
    nodes: list[tuple[str, int, int, int, int, bool, int | None]],
    groups: list[tuple[int, int, int, int]],
    weight_bytes: int,
    io_bytes: int,
) -> Graph:
    rows = tuple(NodeRow(f"n{index}", *node) for index, node in enumerate(nodes))
    return Graph(rows, tuple(GroupRow(*group) for group in groups), {32: weight_bytes}, io_bytes, "fp32")


# A product (2 × 500 flop, 60 bytes of weights, 40 of activations), a move of 400 bytes, and 20 flop on 80 bytes.
SMALL = graph(
    [
        ("Conv", 500, 1000, 60, 40, False, 0),
        ("Transpose", 0, 0, 0, 400, True, None),
        ("Relu", 0, 20, 0, 80, False, 0),
    ],
    [(500, 1020, 60, 30)],
    60,
    20,
)


def test_arithmetic_is_the_limit_where_it_takes_longer() -> None:
    found = lines(SMALL, HOST, "fp32", 1)
    assert found is not None
    assert (found.floor_s, found.limit) == (1.0, "arithmetic")
    # One group: 1,020 flop, and 60 + 30 bytes in L1.
    assert found.ideal_s == pytest.approx(1.02)
    # 1,000 flop; 400 bytes at L2's rate; 80 bytes at L1's against 20 flop.
    assert found.none_s == pytest.approx(1.0 + 400 / 100 + 80 / 500)
    assert found.origin == "measured"
    assert found.gap(2.0) == 2.0


def test_more_precise_instructions_and_narrower_weights() -> None:
    found = lines(SMALL, HOST, "bf16", 1)
    assert found is not None
    assert found.floor_s == 0.5
    assert found.compulsory_bytes == 60 / 2 + 20


def test_what_stays_in_a_cache_need_not_be_fetched() -> None:
    # 5,000 bytes of weights: 100 stay in L1, 1,000 in L2, 3,920 come from memory at every call.
    heavy = graph([("MatMul", 1, 2, 5000, 20, False, 0)], [(1, 2, 5000, 20)], 5000, 20)
    found = lines(heavy, HOST, "fp32", 1)
    assert found is not None
    assert found.limit == "memory"
    assert found.floor_s == pytest.approx((5020 - 100 - 1000) / 10)
    # The lines above it know no such luck: all weights come from memory.
    assert found.ideal_s == pytest.approx(5000 / 10 + 20 / 10)


def test_bytes_of_the_nearest_level_are_the_least_that_moves() -> None:
    light = graph([("Relu", 0, 1, 0, 90, False, 0)], [(0, 1, 0, 90)], 0, 90)
    found = lines(light, HOST, "fp32", 1)
    assert found is not None
    assert (found.limit, found.floor_s) == ("L1", pytest.approx(90 / 500))


def test_two_signals_take_twice_the_work_and_share_their_weights() -> None:
    mono, stereo = lines(SMALL, HOST, "fp32", 1), lines(SMALL, HOST, "fp32", 1, signals=2)
    assert mono is not None
    assert stereo is not None
    assert stereo.floor_s == 2 * mono.floor_s
    assert stereo.compulsory_bytes == 60 + 2 * 20


def test_totals_give_the_same_floor() -> None:
    work = {"flops": 1000, "weight_bytes": 60, "io_bytes": 20, "unknown": {}}
    found, whole = floor_of_totals(work, HOST, "fp32", 1, written_in="fp32"), lines(SMALL, HOST, "fp32", 1)
    assert found is not None
    assert whole is not None
    assert (found.floor_s, found.limit) == (whole.floor_s, whole.limit)
    assert found.ideal_s is None


GPU = Peaks(
    "gpu",
    "A GPU",
    "gpu",
    10,
    (Level("L2", 1000, private=False), Level("memory", None, private=False)),
    (Arithmetic("fp32", "cuda", 0, 1e9),),
    (
        Bandwidth("memory", "read", 0, 1e9),
        Bandwidth("PCIe", "read", 0, 100.0),
        Bandwidth("PCIe", "write", 0, 100.0),
    ),
    (Call("launch", None, 5e-6),),
)


def test_a_gpu_also_pays_for_the_bus() -> None:
    found = lines(SMALL, GPU, "fp32", 2)
    assert found is not None
    assert (found.limit, found.floor_s) == ("PCIe", pytest.approx(20 / 200))


def test_starting_kernels_costs_their_number_singly_and_less_as_a_graph() -> None:
    calls = (*GPU.calls, Call("graph launch and wait", None, 9e-6), Call("graph node", None, 1e-6))
    known = replace(GPU, calls=calls)
    assert launch(known, 3) == Launch(singly_s=pytest.approx(15e-6), graph_s=pytest.approx(11e-6))
    assert launch(GPU, 1) == Launch(singly_s=pytest.approx(5e-6), graph_s=None)
    assert launch(replace(GPU, calls=()), 1) == Launch(None, None)
    assert launch(known, 0) is None
    assert launch(replace(known, device="cpu"), 3) is None


def test_weights_are_narrowed_each_by_its_own_width() -> None:
    mixed = Graph(SMALL.nodes, SMALL.groups, {32: 4000, 16: 100, 8: 10}, 20, "fp16")
    assert mixed.compulsory_bytes("fp32") == 4000 + 100 + 10 + 20
    assert mixed.compulsory_bytes("bf16") == 2000 + 100 + 10 + 20
    assert mixed.compulsory_bytes("fp32+int8", signals=2) == 1000 + 50 + 10 + 40


def test_where_no_cache_is_known_nothing_must_come_from_memory() -> None:
    # Everything could lie in caches that the system does not tell of.
    blind = Peaks("host", "", "cpu", 1, (HOST.levels[-1],), HOST.arithmetic, HOST.bandwidth)
    heavy = graph([("MatMul", 1, 2, 5000, 20, False, 0)], [(1, 2, 5000, 20)], 5000, 20)
    found = lines(heavy, blind, "fp32", 1)
    assert found is not None
    assert (found.limit, found.floor_s, found.ideal_s) == ("arithmetic", 0.002, None)
    assert node_bounds(heavy, blind, "fp32", 1) == []


def test_a_level_without_a_rate_still_holds_what_it_holds() -> None:
    without = Peaks("host", "", "cpu", 1, HOST.levels, HOST.arithmetic, HOST.bandwidth[::2])
    heavy = graph([("MatMul", 1, 2, 5000, 20, False, 0)], [(1, 2, 5000, 20)], 5000, 20)
    found = lines(heavy, without, "fp32", 1)
    assert found is not None
    assert found.floor_s == pytest.approx((5020 - 100 - 1000) / 10)


def test_a_time_below_the_floor_is_told_apart() -> None:
    found = lines(SMALL, HOST, "fp32", 1)
    assert found is not None
    assert (found.broken_by(0.99), found.broken_by(1.01)) == (True, False)


def test_the_lines_never_cross() -> None:
    rng = random.Random(4)
    for _ in range(300):
        count = rng.randint(1, 6)
        nodes: list[Any] = []
        for index in range(count):
            products = rng.choice([0, 10, 10_000])
            nodes.append(
                (
                    "X",
                    products,
                    2 * products + rng.randint(0, 50),
                    rng.randint(0, 3000),
                    rng.randint(0, 3000),
                    False,
                    index,
                )
            )
        groups = [(n[1], n[2], n[3], rng.randint(0, n[4])) for n in nodes]
        some = graph(nodes, groups, sum(n[3] for n in nodes), rng.randint(0, 100))
        found = lines(some, HOST, rng.choice(["fp32", "bf16"]), 1, signals=rng.choice([1, 2]))
        assert found is not None
        assert found.ideal_s is not None
        assert found.none_s is not None
        assert found.floor_s <= found.ideal_s <= found.none_s


def test_a_machine_that_nothing_is_known_of_has_no_floor() -> None:
    bare = Peaks("host", "", "cpu", 1, ())
    assert lines(SMALL, bare, "fp32", 1) is None
    assert node_bounds(SMALL, bare, "fp32", 1) == []


def test_operators_that_nobody_counted_are_named() -> None:
    found = lines(Graph(SMALL.nodes, SMALL.groups, {32: 60}, 20, "fp32", ("Loop",)), HOST, "fp32", 1)
    assert found is not None
    assert found.unknown == ("Loop",)


def test_a_move_could_take_nothing_and_a_group_is_dealt_out_to_its_nodes() -> None:
    conv, transpose, relu = node_bounds(SMALL, HOST, "fp32", 1)
    assert (transpose.moves, transpose.ideal_s, transpose.bound_s) == (True, 0.0, 4.0)
    assert conv.ideal_s + relu.ideal_s == pytest.approx(1.02)
    assert relu.ideal_s == pytest.approx(0.02)


TABLE = {
    "columns": ["name", "operator", "multiply_adds", "flops", "weight_bytes", "activation_bytes", "moves", "group"],
    "nodes": [list(row) for row in SMALL.nodes],
    "group_columns": [],
    "groups": [list(row) for row in SMALL.groups],
    "weight_bytes": {"32": 60},
    "io_bytes": 20,
    "unknown": {},
}
RUN: dict[str, Any] = {"peaks": {"cpu": HOST.to_json(), "reasons": {"gpu": "there is none"}}, "graphs": {"abc": TABLE}}


def cell(**changes: Any) -> CellSummary:
    facts = {key: changes.pop(key) for key in ("device", "precision_ran") if key in changes}
    known = {"model_sha256": "abc", "precision": "fp32", "threads": 1, "layout": "mono"}
    (summary,) = summarise({"c": spec(**(known | changes))}, [record("c", device=facts.pop("device", "cpu"), **facts)])
    return summary


def test_a_cell_finds_its_lines_in_the_run() -> None:
    found = Floors(RUN).of(cell())
    assert found is not None
    assert found.floor_s == 1.0
    stereo = Floors(RUN).of(cell(layout="seq"))
    assert stereo is not None
    assert stereo.floor_s == 2.0
    assert len(Floors(RUN).bounds(cell())) == 3


def test_a_cell_without_a_table_falls_back_on_totals() -> None:
    work = {"flops": 1000, "weight_bytes": 60, "io_bytes": 20, "unknown": {}}
    found = Floors(RUN).of(cell(model_sha256="other", work=work))
    assert found is not None
    assert (found.floor_s, found.none_s) == (1.0, None)
    assert Floors(RUN).of(cell(model_sha256="other")) is None
    assert "counted" in Floors(RUN).why_not(cell(model_sha256="other"))


@pytest.mark.parametrize("table", [True, False], ids=["node by node", "totals"])
@pytest.mark.parametrize(("transfer", "limit"), [("host", "PCIe"), ("device", "arithmetic")])
def test_what_stays_on_the_device_crosses_no_bus(transfer: str, limit: str, *, table: bool) -> None:
    # Held against a floor with transfers in it, a good engine would look impossibly fast.
    run: dict[str, Any] = {"peaks": {"gpu": GPU.to_json()}, "graphs": {"abc": TABLE} if table else {}}
    work = {"flops": 1000, "weight_bytes": 60, "io_bytes": 20, "unknown": {}}
    asked = cell(device="cuda:0", work=work, options={"precision": "fp32", "transfer": transfer})
    found = Floors(run).of(asked)
    assert found is not None
    assert found.limit == limit
    assert found.floor_s == pytest.approx(20 / 200 if transfer == "host" else 1000 / 1e9)


def test_no_peaks_no_floor_and_the_reason() -> None:
    assert Floors({}).of(cell()) is None
    assert Floors({}).why_not(cell()) == NOT_MEASURED
    assert Floors(RUN).why_not(cell(device="cuda:0")) == "there is none"
    assert "rtfloor peaks" in Floors({"peaks": {"cpu": {"schema": 0}}}).why_not(cell())
    found = Floors({"graphs": RUN["graphs"]}, HOST).of(cell())
    assert found is not None
