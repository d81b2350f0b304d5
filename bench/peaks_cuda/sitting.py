"""Measure several things in turns: right first, then long enough, then again and again in random order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runtimes.gpu.driver import CudaError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

# Long enough that starting a kernel is lost in it, short enough that all of them take seconds.
TARGET_S = 6e-3
REPEATS = 9
# A GPU that was idle takes this long to raise its clocks.
WARM_UP_S = 0.3
# Numbers of iterations that answers are checked at before anything is timed.
CHECKED = (1, 3)
MOST_ITERATIONS = 1 << 30


class Probe(Protocol):
    """One thing to measure, ready to run.

    Attributes:
        work: operations or bytes of one iteration.
    """

    work: float

    def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
        """Do it; seconds on the GPU's clock. May raise :class:`CudaError`."""
        ...

    def wrong(self, iterations: int) -> str:
        """What is wrong with the answer of the last run, as the end of a sentence; empty when it is right."""
        ...

    def clock_hz(self, seconds: float) -> float | None:
        """The multiprocessors' clock during the last run; None where it was not watched."""
        ...


@dataclass
class Sitting:
    """What came of it.

    Attributes:
        probes: those that were right to the end, by name.
        rates: of each of them: work per second of each repeat.
        clocks_hz: the clock in each repeat, where known.
        notes: what failed and why, full sentences.
        left: probes that could not be finished because another one broke the GPU's context; a fresh process may.
        broken: the one that did; empty where none did.
    """

    probes: dict[str, Probe] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    clocks_hz: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    broken: str = ""


def hold(
    builders: Mapping[str, Callable[[], Probe]],
    rng: random.Random,
    *,
    repeats: int = REPEATS,
    target_s: float = TARGET_S,
    warm_up_s: float = WARM_UP_S,
    meanwhile: Callable[[], None] | None = None,
) -> Sitting:
    """Build, check, calibrate, and measure in interleaved repeats.

    Args:
        builders: by name; each compiles a kernel and takes its memory, or raises :class:`CudaError`.
        rng: decides the order within each round.
        repeats: of every probe.
        target_s: how long one should take.
        warm_up_s: how long the GPU is kept busy before anything counts.
        meanwhile: called once per probe in the last round, while the GPU works.
    """
    turns = _Turns(builders, target_s)
    try:
        turns.each(list(builders), turns.build)
        turns.each(list(turns.live)[:1], lambda name: turns.warm_up(name, warm_up_s))
        turns.each(list(turns.live), turns.fit)
        for number in range(repeats):
            order = list(turns.live)
            rng.shuffle(order)
            turns.watcher = meanwhile if number == repeats - 1 else None
            turns.each(order, turns.repeat)
    except _BrokenError as error:
        return Sitting(notes=turns.notes, left=turns.left, broken=str(error))
    return Sitting(turns.live, turns.rates, turns.clocks_hz, turns.notes)


def calibrate(probe: Probe, target_s: float) -> tuple[int, float]:
    """How many iterations take about so long, and how long finding it out took."""
    count, spent_s = 1, 0.0
    while True:
        seconds = probe.run(count)
        spent_s += seconds
        if seconds >= target_s / 4 or count >= MOST_ITERATIONS:
            return _scaled(count, target_s / seconds if seconds > 0 else 1.0), spent_s
        # Short runs are mostly start-up, and say little about long ones.
        count = _scaled(count, min(16.0, target_s / seconds) if seconds > 0 else 16.0)


class _BrokenError(Exception):
    """The context is lost; the text is the probe that broke it."""


class _Turns:
    """The probes that are still live, and what they brought so far."""

    def __init__(self, builders: Mapping[str, Callable[[], Probe]], target_s: float) -> None:
        self.builders, self.target_s = builders, target_s
        self.live: dict[str, Probe] = {}
        self.counts: dict[str, int] = {}
        self.rates: dict[str, list[float]] = {}
        self.clocks_hz: dict[str, list[float]] = {}
        self.notes: list[str] = []
        self.left = list(builders)
        self.watcher: Callable[[], None] | None = None

    def each(self, names: list[str], what: Callable[[str], str]) -> None:
        """Do something with each probe; one that has a complaint is out.

        Raises:
            _BrokenError: nothing more can be done in this process.
        """
        for name in names:
            try:
                complaint, fatal = what(name), False
            except CudaError as error:
                complaint, fatal = str(error), error.fatal
            if complaint:
                self._drop(name)
                broke = ", and nothing else could be after it in its process" if fatal else ""
                self.notes.append(f"{name} was not measured{broke}: {complaint}.")
            if fatal:
                raise _BrokenError(name)

    def _drop(self, name: str) -> None:
        self.left.remove(name)
        for kept in (self.live, self.counts, self.rates, self.clocks_hz):
            kept.pop(name, None)

    def build(self, name: str) -> str:
        probe = self.builders[name]()
        for iterations in CHECKED:
            probe.run(iterations)
            if complaint := probe.wrong(iterations):
                return complaint
        self.live[name] = probe
        return ""

    def warm_up(self, name: str, warm_up_s: float) -> str:
        count, spent_s = calibrate(self.live[name], self.target_s)
        # A clock that stands still must not keep us here.
        while 0 < spent_s < warm_up_s:
            spent_s += self.live[name].run(count)
        return ""

    def fit(self, name: str) -> str:
        self.counts[name], _ = calibrate(self.live[name], self.target_s)
        return ""

    def repeat(self, name: str) -> str:
        probe, count = self.live[name], self.counts[name]
        seconds = probe.run(count, self.watcher)
        if seconds <= 0:
            return "the GPU's clock stood still"
        if complaint := probe.wrong(count):
            return complaint
        self.rates.setdefault(name, []).append(probe.work * count / seconds)
        clock = probe.clock_hz(seconds)
        if clock is not None:
            self.clocks_hz.setdefault(name, []).append(clock)
        # Clocks may have risen since it was calibrated.
        if seconds < self.target_s / 2:
            self.counts[name] = _scaled(count, self.target_s / seconds)
        return ""


def _scaled(count: int, factor: float) -> int:
    return max(1, min(MOST_ITERATIONS, round(count * factor)))
