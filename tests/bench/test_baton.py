"""Turns between two processes: no call may be lost to them, and no moment of the other's may be counted."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bench.baton import CALLS_LEAST, SETTLE_NS, TURN_NS, Baton
from bench.measure import sample

MS = 1_000_000


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


class Watch:
    """Writes down pauses."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def pause(self) -> None:
        self.events.append("pause")

    def go_on(self) -> None:
        self.events.append("go on")


class Target:
    """Every call takes as long as it is told, except that the first after a switch is slow."""

    rotations = 3
    collect = None

    def __init__(self, clock: Clock, call_ns: int) -> None:
        self.clock, self.call_ns = clock, call_ns
        self.cold = True
        self.made = 0
        self.call = self._call

    def feeds(self, number: int) -> int:
        return number

    def _call(self, number: int) -> int:
        self.clock.now += self.call_ns * (3 if self.cold else 1)
        self.cold = False
        self.made += 1
        return number

    def absorb(self, outputs: int) -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "perf_counter_ns", made)
    return made


def baton(clock: Clock, target: Target, away_ns: int) -> tuple[Baton, Watch]:
    """One whose other takes so long, and leaves its own data in the caches."""

    def wait() -> None:
        clock.now += away_ns
        target.cold = True

    watch = Watch()
    return Baton(lambda: watch.events.append("give"), wait, watch, clock), watch  # type: ignore[arg-type]


@pytest.mark.parametrize("call_ns", [MS // 10, 3 * MS, 50 * MS])
def test_calls_are_those_of_a_process_that_is_alone(call_ns: int, clock: Clock) -> None:
    target = Target(clock, call_ns)
    held, _ = baton(clock, target, away_ns=40 * MS)
    samples = sample(target, 0.3, least=3, most=100_000, baton=held)
    # The other's time and the slow calls after a switch are in none of them, and none is missing.
    assert set(samples.wall()) == {call_ns}
    assert len(samples.wall()) == pytest.approx(0.3e9 / call_ns, abs=2)
    assert target.made > len(samples.wall())
    assert [number for number, _ in samples.last] == list(range(len(samples.wall())))[-3:]


def test_a_turn_is_so_long_and_has_calls_enough(clock: Clock) -> None:
    for call_ns in (MS, 80 * MS):
        target = Target(clock, call_ns)
        held, _ = baton(clock, target, away_ns=MS)
        samples = sample(target, 1.0, least=3, most=10_000, baton=held)
        lengths = np.diff([*held.turns, len(samples.wall())])
        assert held.turns[0] == 0, "the first turn is waited for"
        assert set(lengths[:-1]) == {max(CALLS_LEAST, TURN_NS // call_ns)}


def test_the_other_has_no_share_in_what_is_counted(clock: Clock) -> None:
    target = Target(clock, MS)
    held, watch = baton(clock, target, away_ns=70 * MS)
    begin = clock.now
    samples = sample(target, 0.2, least=3, most=10_000, baton=held)
    assert held.rested_ns == len(held.turns) * 70 * MS
    settled_ns = clock.now - begin - held.rested_ns - int(samples.wall().sum())
    assert settled_ns == pytest.approx(len(held.turns) * max(SETTLE_NS, 3 * MS))
    assert watch.events == ["pause", "give", "go on"] * len(held.turns)


def test_measuring_once_more_goes_on_in_turns(clock: Clock) -> None:
    target = Target(clock, MS)
    held, _ = baton(clock, target, away_ns=MS)
    first = sample(target, 0.1, least=3, most=10_000, baton=held)
    half = len(first.wall())
    again = sample(target, 0.1, least=3, most=10_000, before=first, baton=held)
    assert held.turns == sorted(held.turns)
    assert held.turns[-1] > half
    assert set(again.wall()) == {MS}


def test_states_are_carried_through_calls_that_are_not_kept(clock: Clock) -> None:
    target = Target(clock, MS)
    carried: list[int] = []
    target.absorb = carried.append  # type: ignore[method-assign]
    held, _ = baton(clock, target, away_ns=MS)
    sample(target, 0.1, least=3, most=10_000, baton=held)
    assert len(carried) == target.made


def test_without_a_baton_nothing_rests(clock: Clock) -> None:
    target = Target(clock, MS)
    target.cold = False
    sample(target, 0.1, least=3, most=10_000)
    assert clock.now == 1_000 + target.made * MS
