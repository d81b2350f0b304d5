"""What the machine did meanwhile: a slow neighbour must not pass for a slow runtime."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import disturbance
from bench.disturbance import Reading, between, peak_rss_bytes, read

TICK = os.sysconf("SC_CLK_TCK")
# user nice system idle iowait irq softirq steal guest guest_nice
START = Reading(0, 1.0, 100, 1, 5, (1000, 0, 500, 9000, 10, 1, 2, 3, 40, 0))


def later(own_s: float = 0.0, **moved: int) -> Reading:
    """A reading after so many ticks of each kind, of which this process used ``own_s`` seconds."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    ticks = tuple(was + moved.get(name, 0) for name, was in zip(names, START.ticks, strict=True))
    return replace(START, own_cpu_s=START.own_cpu_s + own_s, ticks=ticks)


def shares(after: Reading) -> tuple[Any, Any]:
    facts = between(START, after)
    return facts["steal"], facts["foreign"]


def test_a_machine_to_oneself_is_undisturbed() -> None:
    assert shares(later(own_s=100 / TICK, user=100, idle=100)) == pytest.approx((0.0, 0.0))


def test_what_others_used_is_foreign() -> None:
    # 80 of 200 ticks were somebody else's.
    assert shares(later(own_s=20 / TICK, user=90, system=10, idle=100)) == pytest.approx((0.0, 0.4))


def test_what_the_hypervisor_took_is_steal_and_not_foreign() -> None:
    assert shares(later(own_s=100 / TICK, user=100, steal=50, idle=50)) == pytest.approx((0.25, 0.0))


def test_waiting_for_the_disk_is_idle() -> None:
    assert shares(later(own_s=50 / TICK, user=50, iowait=50)) == pytest.approx((0.0, 0.0))


def test_guests_are_counted_once() -> None:
    # The kernel counts a guest's time within user time, too.
    assert shares(later(own_s=0.0, user=100, guest=100, idle=100)) == pytest.approx((0.0, 0.5))


def test_coarse_ticks_do_not_make_a_share_negative() -> None:
    assert shares(later(own_s=103 / TICK, user=100, idle=100)) == (0.0, 0.0)


@pytest.mark.parametrize("empty", ["before", "after", "both"])
def test_where_the_system_does_not_say_it_is_unknown_and_not_quiet(empty: str) -> None:
    nothing = replace(START, ticks=())
    before = nothing if empty in ("before", "both") else START
    after = nothing if empty in ("after", "both") else later(user=5)
    facts = between(before, after)
    assert (facts["steal"], facts["foreign"]) == (None, None)


def test_a_time_too_short_for_a_tick_is_unknown() -> None:
    assert shares(later(own_s=0.001)) == (None, None)


def test_faults_and_switches_are_those_of_the_time_between() -> None:
    after = replace(START, minor_faults=130, major_faults=3, involuntary_switches=12)
    facts = between(START, after)
    assert (facts["minor_faults"], facts["major_faults"], facts["involuntary_switches"]) == (30, 2, 7)


def test_a_machine_without_a_load_average_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", none)
    assert between(START, START)["load_1min"] is None


def test_real_readings_move_forward_and_fit_into_a_record() -> None:
    before = read()
    sum(range(100_000))
    after = read()
    assert after.wall_ns > before.wall_ns
    assert after.own_cpu_s >= before.own_cpu_s
    facts = json.loads(json.dumps(between(before, after), allow_nan=False))
    assert facts["minor_faults"] >= 0
    for share in (facts["steal"], facts["foreign"]):
        assert share is None or 0.0 <= share <= 1.0


def test_a_system_without_proc_can_be_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path, *_: Any, **__: Any) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    assert read().ticks == ()
    peak = peak_rss_bytes()
    assert peak is not None
    assert peak > 1 << 20


def test_peak_memory_holds_what_was_held() -> None:
    # A page counts only when it was written to.
    before = peak_rss_bytes()
    block = bytearray(b"x") * (32 << 20)
    after = peak_rss_bytes()
    assert before is not None
    assert after is not None
    assert after >= before
    assert after >= len(block)
    assert disturbance.read().minor_faults > 0


def test_what_happens_in_a_pause_is_nothing_to_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    # While the other one computes: its processor time would pass for a stranger's.
    moments = [
        START,
        later(own_s=50 / TICK, user=50, idle=50),
        later(own_s=51 / TICK, user=851, idle=150, steal=99),
        later(own_s=100 / TICK, user=900, idle=201, steal=99),
    ]
    monkeypatch.setattr(disturbance, "read", lambda: moments.pop(0))
    watch = disturbance.Watch()
    watch.pause()
    watch.go_on()
    facts = watch.facts()
    assert facts["steal"] == 0.0
    assert facts["foreign"] == pytest.approx(0.0, abs=0.01)
    assert facts["minor_faults"] == 0
