"""Peaks: a rate that is too low makes a floor that is too high, and somebody is told to stop too early."""

from __future__ import annotations

import json

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


@pytest.mark.parametrize("broken", [{}, {"schema": 99}, {"schema": 1, "levels": 3}, {"schema": 1, "name": "x"}])
def test_a_broken_record_is_told_and_not_guessed(broken: dict[str, object]) -> None:
    with pytest.raises(PeaksError, match="rtfloor peaks"):
        Peaks.from_json(broken)
