"""A ladder worked out: what each step gained here, and what it gained where it was published. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.intervals import Interval, geometric_mean_interval, log_ratio_interval
from results.published import figures
from results.steps import Step
from results.works import signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from results.published import Series
    from results.published import Step as Figure
    from results.summary import CellSummary

HALVES = (0, 1)


@dataclass(frozen=True)
class Gain:
    """How many times less time a step takes than another: 2 is half of it.

    Attributes:
        ratio: time of the other over that of this one.
        interval: measured: 95 %, over the rounds that both have; published: what rounding leaves open. None where there
            are too few rounds.
        same: it is the same cell, so that nothing was gained, and nothing compared.
    """

    ratio: float
    interval: Interval | None
    same: bool = False

    @property
    def sure(self) -> bool:
        """Whether it is a gain, or a loss, beyond doubt."""
        return self.interval is not None and not self.interval.low <= 1 <= self.interval.high


@dataclass(frozen=True)
class Measured:
    """A step as it was measured.

    Attributes:
        cell: the fastest right cell over all rounds.
        others: cells that were the fastest in one half of the rounds and not over all; see :func:`stand_in`.
        medians_ns: round → median of the process that stood for the step in it.
        time_s: their geometric mean.
        interval_s: 95 %; None from too few processes.
        gain: over the last step before it that has a time; None for the first that has one.
        since: the title of that step.
        whole: over the first step that has a time.
        lucky: chosen and measured in the same rounds, for want of others.
    """

    cell: CellSummary
    others: tuple[str, ...]
    medians_ns: Mapping[int, float]
    time_s: float
    interval_s: Interval | None
    gain: Gain | None = None
    since: str = ""
    whole: Gain | None = None
    lucky: bool = False


@dataclass(frozen=True)
class Published:
    """A step as it was published.

    Attributes:
        step: the figure.
        gain: over the published figure of the step before it that has one; None for the first.
        whole: over the first one.
    """

    step: Figure
    gain: Gain | None = None
    whole: Gain | None = None


@dataclass(frozen=True)
class Rung:
    """One step of a ladder.

    Attributes:
        title: what changes.
        candidates: how many cells it was chosen from.
        right: how many of them have a time and right answers.
        measured: None where none has.
        why_not: the reason then; empty otherwise.
        published: None where nobody published it.
        estimate: what somebody expected of it and nobody measured.
    """

    title: str
    candidates: int
    right: int
    measured: Measured | None
    why_not: str
    published: Published | None
    estimate: Figure | None


@dataclass(frozen=True)
class Ladder:
    """All of it.

    Attributes:
        rungs: in order.
        model: that was measured.
        signal: ``mono`` or ``stereo``.
        threads: the budgets that were measured.
        audio_s: what RTFs are over: the audio of the published ones where there are any, else that of the cells; None
            where nobody said.
        own_audio_s: what rtfloor's other tables divide by.
        series: the published ladder; None without one.
    """

    rungs: tuple[Rung, ...]
    model: str
    signal: str
    threads: tuple[int, ...]
    audio_s: float | None
    own_audio_s: float | None
    series: Series | None

    def rtf(self, seconds: float) -> float | None:
        """Time over audio."""
        return seconds / self.audio_s if self.audio_s else None

    @property
    def chose(self) -> bool:
        """Whether any step was chosen from several cells, in rounds other than those that measured it."""
        return any(rung.right > 1 and rung.measured and not rung.measured.lucky for rung in self.rungs)

    @property
    def lucky(self) -> bool:
        """Whether any was chosen in the rounds that measured it."""
        return any(rung.measured and rung.measured.lucky for rung in self.rungs)

    def largest(self, side: str) -> Rung | None:
        """The step that gained most; None where none gained anything.

        Args:
            side: ``measured`` or ``published``.
        """
        found = [(gain.ratio, rung) for rung in self.rungs if (gain := gain_of(rung, side)) and gain.ratio > 1]
        return max(found, key=lambda one: one[0])[1] if found else None


def gain_of(rung: Rung, side: str) -> Gain | None:
    """What a step gained over the one before it, ``measured`` or ``published``; None where it cannot be said."""
    found = rung.measured if side == "measured" else rung.published
    return found.gain if found is not None else None


def of_run(facts: Mapping[str, Any], cells: Sequence[CellSummary]) -> Ladder | None:
    """The ladder of a run; None where its plan has none.

    Args:
        facts: of the run.
        cells: its summaries.
    """
    entries = (facts.get("plan") or {}).get("ladder") or ()
    return ladder([Step.from_json(entry) for entry in entries], cells) if entries else None


def ladder(steps: Sequence[Step], cells: Sequence[CellSummary]) -> Ladder | None:
    """Every step with its gains; None where no step names a cell of the run.

    Args:
        steps: of the plan, in order.
        cells: summaries of the run.
    """
    by_id = {cell.cell: cell for cell in cells}
    groups = [[by_id[name] for name in step.cells if name in by_id] for step in steps]
    known = [cell for group in groups for cell in group]
    if not known:
        return None
    measured = _measured(groups, steps)
    told = _published([step.published for step in steps])
    told_by = figures()
    rungs = []
    for step, own, here, there in zip(steps, groups, measured, told, strict=True):
        right = sum(bool(cell.medians_ns) for cell in own)
        estimate = told_by[step.estimate][1] if step.estimate in told_by else None
        rungs.append(Rung(step.title, len(own), right, here, "" if here else _why_not(own), there, estimate))
    series = next((told_by[step.published][0] for step in steps if step.published in told_by), None)
    own_audio_s = next((cell.audio_s for cell in known if cell.audio_s), None)
    return Ladder(
        tuple(rungs),
        str(known[0].spec["model"]),
        signal(known[0].spec["layout"]),
        tuple(sorted({int(cell.spec["threads"]) for cell in known})),
        series.audio_s if series is not None else own_audio_s,
        own_audio_s,
        series,
    )


def stand_in(cells: Sequence[CellSummary]) -> tuple[CellSummary, tuple[str, ...], dict[int, float]]:
    """Who stands for a step in each round: the cell that was fastest in the *other* half of the rounds.

    The fastest of many equal cells is the luckiest one. A cell that is chosen by its luck in even rounds is measured in
    odd ones, and the other way round, so that luck in choosing does not pass for a gain (cross-fitting).

    Args:
        cells: right ones, each with a median per round.

    Returns:
        The fastest cell over all rounds; ids of others that stood in; round to the median of whoever stood in.
    """
    fastest = min(cells, key=lambda cell: _mean_ns(cell.medians_ns))
    medians: dict[int, float] = {}
    stood: Counter[str] = Counter()
    for half in HALVES:
        other = {cell.cell: own for cell in cells if (own := _half(cell, 1 - half))}
        here = [cell for cell in cells if cell.cell in other and _half(cell, half)]
        # A single round has no other half: it chooses and measures.
        chosen = min(here, key=lambda cell: _mean_ns(other[cell.cell])) if here else fastest
        found = _half(chosen, half)
        stood[chosen.cell] += len(found)
        medians |= found
    return fastest, tuple(name for name in stood if name != fastest.cell), dict(sorted(medians.items()))


def _half(cell: CellSummary, half: int) -> dict[int, float]:
    return {number: median for number, median in cell.medians_ns.items() if number % len(HALVES) == half}


def _measured(groups: Sequence[Sequence[CellSummary]], steps: Sequence[Step]) -> list[Measured | None]:
    found: list[Measured | None] = []
    first: Measured | None = None
    before: Measured | None = None
    since = ""
    for cells, step in zip(groups, steps, strict=True):
        right = [cell for cell in cells if cell.medians_ns]
        if not right:
            found.append(None)
            continue
        cell, others, medians = stand_in(right)
        one = Measured(
            cell,
            others,
            medians,
            statistics.geometric_mean(medians.values()) * 1e-9,
            _seconds(geometric_mean_interval(list(medians.values()))),
            None if before is None else _gain(before, medians),
            since,
            None if first is None else _gain(first, medians),
            len(right) > 1 and len({number % len(HALVES) for number in medians}) < len(HALVES),
        )
        found.append(one)
        first, before, since = first or one, one, step.title
    return found


def _gain(before: Measured, medians: Mapping[int, float]) -> Gain:
    if medians == before.medians_ns:
        return Gain(1.0, None, same=True)
    compared = log_ratio_interval(before.medians_ns, medians)
    if compared is None:
        return Gain(before.time_s * 1e9 / statistics.geometric_mean(medians.values()), None)
    return Gain(*compared)


def _published(names: Sequence[str]) -> list[Published | None]:
    told_by = figures()
    found: list[Published | None] = []
    first: Figure | None = None
    before: Figure | None = None
    for name in names:
        if name not in told_by:
            found.append(None)
            continue
        step = told_by[name][1]
        found.append(
            Published(
                step,
                None if before is None else _printed(before, step),
                None if first is None else _printed(first, step),
            )
        )
        first, before = first or step, step
    return found


def _printed(before: Figure, step: Figure) -> Gain:
    # Real-time factors may be over different audio; times are over one call.
    return Gain(before.seconds / step.seconds, Interval(before.low_s / step.high_s, before.high_s / step.low_s))


def _why_not(cells: Sequence[CellSummary]) -> str:
    bad = next((cell for cell in cells if cell.reason), None)
    if bad is None:
        return "it was not measured"
    return f"{bad.status}: {bad.reason}"


def _seconds(interval: Interval | None) -> Interval | None:
    return None if interval is None else Interval(interval.low * 1e-9, interval.high * 1e-9)


def _mean_ns(medians: Mapping[int, float]) -> float:
    return statistics.geometric_mean(medians.values())
