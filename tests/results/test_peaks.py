"""Peaks: a rate that is too low makes a floor that is too high, and somebody is told to stop too early."""

from __future__ import annotations

import json
from typing import Any

import pytest

from results.errors import PeaksError
from results.peaks import Arithmetic, Bandwidth, Call, Level, Peaks

LEVELS = (Level("L1", 1000, private=True), Level("L3", 10_000, private=False), Level("memory", None, private=False))


def peaks(*arithmetic: Arithmetic, bandwidth: tuple[Bandwidth, ...] = (), calls: tuple[Call, ...] = ()) -> Peaks:
    return Peaks("host", "A machine", "cpu", 4, LEVELS, arithmetic, bandwidth, calls)


def test_the_widest_instructions_count() -> None:
    found = peaks(Arithmetic("fp32", "avx2", 1, 100.0), Arithmetic("fp32", "avx512f", 1, 200.0))
    best = found.flops_per_s("fp32", 1)
    assert best is not None
    assert (best.isa, best.flops_per_s) == ("avx512f", 200.0)


@pytest.mark.parametrize(
    ("precision", "rate"), [("bf16", 400.0), ("bf16+fp32", 400.0), ("fp16", 200.0), ("int8", 200.0)]
)
def test_what_has_no_instructions_is_computed_in_fp32(precision: str, rate: float) -> None:
    found = peaks(Arithmetic("fp32", "avx512f", 1, 200.0), Arithmetic("bf16", "avx512_bf16", 1, 400.0))
    best = found.flops_per_s(precision, 1)
    assert best is not None
    assert best.flops_per_s == rate


def test_fp32_next_to_slow_instructions_counts() -> None:
    # An engine asked for bf16 may convert and compute in fp32, so the faster one is the bound.
    found = peaks(Arithmetic("fp32", "avx512f", 1, 200.0), Arithmetic("bf16", "slow", 1, 50.0))
    best = found.flops_per_s("bf16", 1)
    assert best is not None
    assert best.flops_per_s == 200.0


def test_threads_that_were_not_measured_get_what_no_machine_exceeds() -> None:
    found = peaks(Arithmetic("fp32", "a", 1, 100.0), Arithmetic("fp32", "a", 4, 300.0))
    rates = {threads: found.flops_per_s("fp32", threads) for threads in (1, 2, 3, 4, 8)}
    assert {threads: row and row.flops_per_s for threads, row in rates.items()} == {
        1: 100.0,
        2: 200.0,
        3: 300.0,
        4: 300.0,
        8: 600.0,
    }


def test_every_instruction_set_and_kind_has_threads_of_its_own() -> None:
    # bf16 was measured on one thread only: on two it may do twice that, whatever fp32 does there.
    found = peaks(
        Arithmetic("bf16", "avx512_bf16", 1, 400.0, source="a kernel"),
        Arithmetic("fp32", "avx512f", 1, 200.0),
        Arithmetic("fp32", "avx512f", 2, 390.0),
        bandwidth=(Bandwidth("L1", "add", 1, 30.0, 29.0, 4096), Bandwidth("L1", "read", 2, 40.0)),
    )
    best, way = found.flops_per_s("bf16", 2), found.bytes_per_s("L1", 2)
    assert best is not None
    assert way is not None
    assert (best.isa, best.flops_per_s, best.threads) == ("avx512_bf16", 800.0, 2)
    assert (way.kind, way.bytes_per_s) == ("add", 60.0)
    # Nobody measured either on two threads.
    assert (best.origin, best.median_flops_per_s) == ("derived", None)
    assert best.source == "2/1 of that of 1 thread, for want of one of 2 threads; a kernel"
    assert (way.origin, way.median_bytes_per_s, way.working_set_bytes) == ("derived", None, None)


def test_more_threads_can_do_at_least_what_fewer_did() -> None:
    found = peaks(Arithmetic("fp32", "a", 1, 100.0), Arithmetic("fp32", "a", 2, 60.0, source="a slow hour"))
    rates = {threads: found.flops_per_s("fp32", threads) for threads in (1, 2, 4)}
    assert {threads: row and row.flops_per_s for threads, row in rates.items()} == {1: 100.0, 2: 100.0, 4: 200.0}
    assert [row and row.origin for row in rates.values()] == ["measured", "measured", "derived"]


def test_threads_of_which_only_more_were_measured_get_those_and_say_so() -> None:
    row = peaks(Arithmetic("fp32", "a", 4, 300.0), Arithmetic("fp32", "a", 8, 500.0)).flops_per_s("fp32", 1)
    assert row is not None
    assert (row.flops_per_s, row.origin) == (300.0, "derived")
    assert row.source == "at most that of 4 threads, for want of one of 1 thread"


@pytest.mark.parametrize("wide", ["int8", "fp8", "fp16", "bf16"])
def test_weights_of_four_bits_may_be_computed_in_more(wide: str) -> None:
    row = peaks(Arithmetic("fp32", "a", 1, 100.0), Arithmetic(wide, "b", 1, 400.0)).flops_per_s("int4", 1)
    assert row is not None
    assert (row.precision, row.flops_per_s) == (wide, 400.0)


def test_a_whole_device_serves_any_budget() -> None:
    found = peaks(Arithmetic("fp32", "cuda", 0, 7.0))
    row = found.flops_per_s("fp32", 16)
    assert row is not None
    assert row.flops_per_s == 7.0


def test_nothing_known_is_nothing() -> None:
    assert peaks().flops_per_s("fp32", 1) is None
    assert peaks().bytes_per_s("L1", 1) is None
    assert peaks().call_s("ort-cpu") is None


def test_the_kind_of_traffic_that_is_fastest_counts() -> None:
    rows = (Bandwidth("L1", "read", 1, 10.0), Bandwidth("L1", "copy", 1, 15.0), Bandwidth("L3", "read", 1, 99.0))
    best = peaks(bandwidth=rows).bytes_per_s("L1", 1)
    assert best is not None
    assert best.kind == "copy"


def test_private_levels_add_up_and_shared_ones_do_not() -> None:
    found = peaks()
    assert [found.capacity_bytes(level, 2) for level in LEVELS] == [2000, 10_000, None]
    assert found.capacity_bytes(LEVELS[0], 99) == 4000  # no more than there are cores


def test_two_sittings_give_the_better_of_each() -> None:
    one = peaks(
        Arithmetic("fp32", "a", 1, 100.0),
        Arithmetic("fp32", "a", 2, 150.0),
        bandwidth=(Bandwidth("L1", "read", 1, 5.0),),
        calls=(Call("tract", "1", 3e-6),),
    )
    other = peaks(
        Arithmetic("fp32", "a", 1, 90.0),
        Arithmetic("fp32", "a", 2, 180.0),
        bandwidth=(Bandwidth("L1", "read", 1, 6.0), Bandwidth("L1", "copy", 1, 1.0)),
        calls=(Call("tract", "1", 2e-6), Call("tract", "2", 9e-6)),
    )
    merged = one.best_of(other)
    assert [row.flops_per_s for row in merged.arithmetic] == [100.0, 180.0]
    assert [row.bytes_per_s for row in merged.bandwidth] == [6.0, 1.0]
    assert [call.seconds for call in merged.calls] == [2e-6, 9e-6]


def test_json_keeps_everything() -> None:
    found = peaks(
        Arithmetic("fp32", "a", 1, 100.0, 99.0, "derived", "datasheet"),
        bandwidth=(Bandwidth("memory", "copy", 2, 5.0, 4.0, 1 << 20),),
        calls=(Call("launch", None, 5e-6),),
    )
    assert Peaks.from_json(json.loads(json.dumps(found.to_json()))) == found


WHOLE = peaks(
    Arithmetic("fp32", "a", 1, 100.0, 99.0),
    bandwidth=(Bandwidth("memory", "copy", 2, 5.0, 4.0, 1 << 20),),
    calls=(Call("launch", None, 5e-6),),
).to_json()
HUGE = 10**400


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), None),
        (("cores",), 0),
        (("cores",), "2"),
        (("cores",), True),
        (("device",), "tpu"),
        (("clock_hz",), float("nan")),
        (("clock_hz",), "4e9"),
        (("facts",), None),
        (("facts",), []),
        (("notes",), "a note"),
        (("notes",), [1]),
        (("levels",), {}),
        (("levels", 0), None),
        (("levels", 0, "bytes"), -1),
        (("levels", 0, "private"), 1),
        (("arithmetic", 0), []),
        (("arithmetic", 0, "flops_per_s"), "fast"),
        (("arithmetic", 0, "flops_per_s"), float("inf")),
        (("arithmetic", 0, "flops_per_s"), 0),
        (("arithmetic", 0, "flops_per_s"), HUGE),
        (("arithmetic", 0, "flops_per_s"), [1.0]),
        (("arithmetic", 0, "threads"), -1),
        (("arithmetic", 0, "threads"), 1.5),
        (("arithmetic", 0, "origin"), "invented"),
        (("arithmetic", 0, "speed"), 3),
        (("bandwidth", 0, "kind"), "erase"),
        (("bandwidth", 0, "median_bytes_per_s"), "x"),
        (("calls", 0, "seconds"), -1e-6),
        (("surplus",), 1),
    ],
)
def test_any_field_that_is_wrong_is_named(path: tuple[str | int, ...], value: object) -> None:
    # A figure that is no number is only noticed when it is compared, long after it was read.
    record = json.loads(json.dumps(WHOLE))
    place: Any = record
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(PeaksError, match="rtfloor peaks") as refused:
        Peaks.from_json(record)
    assert str(path[0]) in str(refused.value)
    assert str([step for step in path if isinstance(step, str)][-1]) in str(refused.value)
    assert len(str(refused.value)) < 150


@pytest.mark.parametrize(
    "broken", [None, [], 3, "x", {}, {"schema": 99}, {"schema": 1, "levels": 3}, {"schema": 1, "name": "x"}]
)
def test_a_broken_record_is_told_and_not_guessed(broken: object) -> None:
    with pytest.raises(PeaksError, match="rtfloor peaks"):
        Peaks.from_json(broken)
