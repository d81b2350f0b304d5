"""Limits of what is believed: one that is too low would take away a real peak, and a floor would be too high."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support import ROOT

from bench.peaks.kernels import TABLES
from bench.peaks.limits import believable, bytes_per_clock, flops_per_clock
from results.peaks import Arithmetic, Bandwidth, Call, Peaks

REAL = Peaks.from_json(json.loads((ROOT / "results" / "evidence" / "peaks" / "host.json").read_text()))


def test_a_real_machine_loses_nothing() -> None:
    assert believable(REAL) == (REAL, ())


@pytest.mark.parametrize("factor", [10, 1e3, 1e20])
def test_ten_times_a_real_machine_is_not_believed(factor: float) -> None:
    widest = max((row for row in REAL.arithmetic if row.precision == "fp32"), key=lambda row: row.flops_per_s)
    fast = replace(widest, flops_per_s=widest.flops_per_s * factor)
    way = replace(REAL.bandwidth[0], bytes_per_s=REAL.bandwidth[0].bytes_per_s * factor)
    call = replace(REAL.calls[0], seconds=1e-12)
    left, dropped = believable(replace(REAL, arithmetic=(fast,), bandwidth=(way,), calls=(call,)))
    assert (left.arithmetic, left.bandwidth, left.calls) == ((), (), ())
    assert [line.split(" was dropped: ")[0] for line in dropped] == [
        f"fp32 with {fast.isa} on {fast.threads} threads",
        f"{way.kind} of {way.level} on 1 thread",
        f"a call of {call.what} in 1e-12 s",
    ]


def test_every_kernel_has_a_limit() -> None:
    limits = flops_per_clock()
    assert set(limits) == {(one.precision, one.isa) for table in TABLES.values() for one in table}
    # Two multiply-adds of 16 lanes; of 4 lanes four, and six on ARM; two products of tiles in 16 clocks.
    assert limits["fp32", "avx512f"] == 64
    assert limits["fp32", "fma"] == 32
    assert limits["fp32", "sse2"] == 32
    assert limits["fp32", "asimd"] == 48
    assert limits["int8", "avx512_vnni"] == 256
    assert limits["bf16", "amx_bf16"] == 2048


def test_levels_far_away_are_slower() -> None:
    assert [bytes_per_clock(level) for level in ("L1", "L2", "L3", "memory")] == [192, 128, 128, 64]


def test_without_a_clock_the_limit_is_that_of_the_fastest_there_could_be() -> None:
    rows = (Arithmetic("fp32", "fma", 1, 340e9), Arithmetic("fp32", "fma", 2, 800e9), Arithmetic("fp32", "mmx", 1, 1.0))
    ways, calls = (Bandwidth("L1", "read", 1, float("nan")),), (Call("tract", "1", 2e-8),)
    left, dropped = believable(Peaks("host", "A", "cpu", 2, (), rows, ways, calls))
    assert left.arithmetic == rows[:1]
    assert left.calls == calls
    assert len(dropped) == 3
    assert "there is no kernel that measures it" in dropped[1]
