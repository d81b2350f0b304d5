"""The stopwatch: what it counts, when it stops, and what it leaves as it was."""

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.measure import Samples, sample, timed, timer_cost_ns


class Target:
    """A layout that writes down the order of things."""

    def __init__(self, rotations: int = 3, during: Callable[[int], None] = lambda number: None) -> None:
        self.rotations = rotations
        self.events: list[tuple[str, int]] = []
        self._during = during
        self.call: Callable[[Any], Any] = self._call
        self.collect: Callable[[Any], Any] | None = None

    def feeds(self, number: int) -> int:
        self.events.append(("feeds", number))
        return number

    def _call(self, number: Any) -> Any:
        self._during(number)
        self.events.append(("call", number))
        return ("answer", number)

    def absorb(self, outputs: Any) -> None:
        self.events.append(("absorb", outputs[1]))

    @property
    def calls(self) -> int:
        return sum(1 for what, _ in self.events if what == "call")


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "perf_counter_ns", made)
    return made


def test_one_wall_and_one_cpu_time_per_call() -> None:
    target = Target()
    samples = sample(target, 0.0, least=7, most=100)
    assert target.calls == len(samples.wall_ns) == len(samples.cpu_ns) == 7
    assert samples.wall().dtype == np.int64
    assert (samples.wall() >= 0).all()


def test_a_time_holds_the_call_and_nothing_else(clock: Clock) -> None:
    # Choosing inputs and carrying states is the harness's work, not the engine's.
    target = Target(during=lambda number: setattr(clock, "now", clock.now + 10 + number))

    class Costly(Target):
        def feeds(self, number: int) -> int:
            clock.now += 1_000
            return target.feeds(number)

        def absorb(self, outputs: Any) -> None:
            clock.now += 1_000_000

    costly = Costly(during=target._during)
    assert sample(costly, 0.0, least=4, most=4).wall().tolist() == [10, 11, 12, 13]


def test_it_goes_on_until_the_duration_is_over(clock: Clock) -> None:
    target = Target(during=lambda _: setattr(clock, "now", clock.now + 1_000_000))
    assert len(sample(target, 0.0105, least=1, most=1_000).wall_ns) == 11


def test_least_calls_are_made_however_long_they_take(clock: Clock) -> None:
    # A slow model must have a median, too.
    target = Target(during=lambda _: setattr(clock, "now", clock.now + 10**12))
    assert len(sample(target, 0.1, least=3, most=100).wall_ns) == 3


def test_most_calls_end_it_though_time_is_left() -> None:
    # A call of a microsecond would fill the memory and the run file.
    assert len(sample(Target(), 3600.0, least=3, most=50).wall_ns) == 50


def test_inputs_take_turns_and_each_call_ends_before_the_next_begins() -> None:
    target = Target()
    sample(target, 0.0, least=3, most=3)
    assert target.events == [(what, number) for number in range(3) for what in ("feeds", "call", "absorb")]


def test_the_last_outputs_are_kept_one_per_rotation() -> None:
    # They are what is checked: a late wrong answer must be among them.
    samples = sample(Target(rotations=3), 0.0, least=10, most=10)
    assert list(samples.last) == [(number, ("answer", number)) for number in (7, 8, 9)]
    few = sample(Target(rotations=3), 0.0, least=2, most=2)
    assert [number for number, _ in few.last] == [0, 1]


def test_more_samples_are_appended_and_the_numbering_goes_on() -> None:
    # Begun again at 0, the answers would be compared with those of other inputs.
    target = Target(rotations=3)
    first = sample(target, 0.0, least=4, most=4)
    before = list(first.wall_ns)
    both = sample(target, 0.0, least=3, most=5, before=first)
    assert both is first
    assert list(both.wall_ns)[:4] == before
    assert len(both.wall_ns) == len(both.cpu_ns) == 7
    assert [number for number, _ in both.last] == [4, 5, 6]
    assert [number for what, number in target.events if what == "feeds"] == list(range(7))


def test_the_most_counts_for_each_part() -> None:
    samples = sample(Target(), 0.0, least=5, most=5)
    assert len(sample(Target(), 3600.0, least=1, most=5, before=samples).wall_ns) == 10


def test_looking_at_the_samples_does_not_forbid_more_of_them() -> None:
    samples = sample(Target(), 0.0, least=3, most=3)
    seen = samples.wall()
    assert len(sample(Target(), 0.0, least=3, most=3, before=samples).wall_ns) == 6
    assert len(seen) == 3


def test_the_collector_is_off_while_timing_and_on_afterwards() -> None:
    states: list[bool] = []
    assert gc.isenabled()
    sample(Target(during=lambda _: states.append(gc.isenabled())), 0.0, least=3, most=3)
    assert states == [False, False, False]
    assert gc.isenabled()


@pytest.mark.parametrize("where", ["feeds", "call", "absorb"])
def test_the_collector_is_on_again_after_a_failure(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise one engine's exception lets everything after it grow without end.
    target = Target()

    def fail(_: Any) -> Any:
        raise RuntimeError("no more")

    monkeypatch.setattr(target, where, fail)
    with pytest.raises(RuntimeError, match="no more"):
        sample(target, 0.0, least=3, most=3)
    assert gc.isenabled()


def test_garbage_is_collected_before_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(gc, "collect", lambda: order.append("collect"))
    sample(Target(during=lambda _: order.append("call")), 0.0, least=2, most=2)
    assert order == ["collect", "call", "call"]


def test_a_single_call_is_timed_and_answered(clock: Clock) -> None:
    target = Target(during=lambda _: setattr(clock, "now", clock.now + 42))
    assert timed(target.call, 5) == (42, ("answer", 5))


def test_the_timer_costs_something_and_no_samples_are_no_times() -> None:
    assert timer_cost_ns(50) >= 0.0
    empty = sample(Target(), 0.0, least=1, most=1)
    del empty.wall_ns[:]
    assert Samples(empty.wall_ns, empty.cpu_ns, empty.last).wall().tolist() == []
