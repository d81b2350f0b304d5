"""What each value of a sweep does to the latency, with intervals that hold for all of them at once.

Of forty options that do nothing, two would seem to do something at 95 % each. So intervals are made wider until all of
a sweep's hold together, and the verdict is read off the same interval. What a machine does meanwhile must neither
make an effect nor hide one:

* A comparison is made within rounds, which cancels what a round did to all cells.
* The sweep's default is measured several times a round, and the median of those stands for it: otherwise one
  disturbed process would move everything that is compared with it.
* Over rounds the mean is trimmed, a fifth at either end, with Yuen's standard error (1974, *The two-sample trimmed t
  for unequal population variances*). An effect with several contrasts is a mean of trimmed means, whose variance
  comes from winsorised values averaged within rounds (Wilcox 2012, *Introduction to robust estimation and hypothesis
  testing*, section 5.9): contrasts of one round may depend on each other.
* Rounds are few, so the variances of a sweep steady each other (:mod:`results.moderation`).
* Intervals are corrected for the number of effects (Bonferroni; Dunn 1961). Dunnett's correction knows that all share
  one default; it saves a tenth of the width where one variance serves all, but a value that makes threads fight does
  not vary like one that does nothing. With a variance for each, it saves less than a hundredth.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from results.intervals import MIN_PROCESSES, Interval
from results.moderation import fit_prior
from results.student import check_confidence, t_quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from results.summary import CellSummary
    from results.sweep import Arm, Contrast, Sweep

FASTER, SLOWER, NO_EFFECT, NOT_MEASURED = "faster", "slower", "no effect seen", "not measured"
# Below this an effect is too small to choose by, ours.
NEGLIGIBLE = 0.01
# Of effects of the size that is called detectable, so many are seen.
POWER = 0.8
# The share of rounds that is set aside at either end, and from how many rounds on: of fewer, too few would be left.
TRIMMED = 0.2
ROUNDS_TO_TRIM = 7


@dataclass(frozen=True)
class Effect:
    """What one arm of a sweep does. Ratios are of times: below 1 is faster.

    Attributes:
        arm: what was asked.
        verdict: ``faster``, ``slower``, ``no effect seen`` or ``not measured``.
        ratio: time with the value over time without; of a pair, what both do together over what each does alone.
            None when it was not measured.
        interval: of the ratio; all intervals of a sweep hold together with the confidence that was asked for.
        detectable: the least ratio above 1 that would have been seen with a probability of 80 %.
        rounds: in how many it was measured.
        contrasts: over how many of the arm's contrasts the effect is the mean.
        reason: why it was not measured, or why contrasts dropped out; empty otherwise.
    """

    arm: Arm
    verdict: str
    ratio: float | None = None
    interval: Interval | None = None
    detectable: float | None = None
    rounds: int = 0
    contrasts: int = 0
    reason: str = ""

    @property
    def told_apart(self) -> bool:
        """Whether the whole interval lies on one side of 1."""
        return self.verdict in {FASTER, SLOWER}

    @property
    def hidden(self) -> float | None:
        """The largest effect that the interval allows, as a share of the time: 0.012 reads "±1.2 %"."""
        return None if self.interval is None else max(self.interval.high - 1.0, 1.0 - self.interval.low)

    @property
    def negligible(self) -> bool:
        """Whether the interval leaves no room for an effect of 1 %."""
        return self.hidden is not None and self.hidden <= NEGLIGIBLE

    @property
    def size(self) -> float:
        """The distance from no effect, alike for twice and half the time; 0 when it was not measured."""
        return 0.0 if self.ratio is None else abs(math.log(self.ratio))


@dataclass(frozen=True)
class AxisEffects:
    """All values of one axis, or of two together.

    Attributes:
        axis: as in :class:`results.sweep.Arm`.
        kind: of :data:`results.sweep.ARMS`.
        effects: of its values, in the sweep's order.
    """

    axis: str
    kind: str
    effects: tuple[Effect, ...]

    @property
    def told_apart(self) -> tuple[Effect, ...]:
        """Values that do something, the largest effect first."""
        return tuple(sorted((one for one in self.effects if one.told_apart), key=lambda one: -one.size))

    @property
    def measured(self) -> tuple[Effect, ...]:
        """Values with a ratio, the fastest first."""
        return tuple(sorted((one for one in self.effects if one.ratio is not None), key=lambda one: one.ratio or 0.0))

    @property
    def hidden(self) -> float | None:
        """The largest effect that could hide where none was seen, as a share of the time; None where none could."""
        found = [one.hidden for one in self.effects if one.verdict == NO_EFFECT and one.hidden is not None]
        return max(found, default=None)


@dataclass(frozen=True)
class _Estimate:
    """A mean of logs, its variance for one of the ``kept`` rounds, and the degrees of freedom of that."""

    mean: float
    variance: float
    kept: int
    rounds: int
    contrasts: int
    reason: str

    @property
    def df(self) -> float:
        return self.kept - 1.0


def effects(sweep: Sweep, cells: Mapping[str, CellSummary], confidence: float = 0.95) -> list[Effect]:
    """The effect of every arm, in the sweep's order.

    Args:
        sweep: what is compared with what.
        cells: by id; those that are not ``ok`` have no time.
        confidence: that every interval of the sweep holds, such as 0.95.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    check_confidence(confidence)
    logs = {
        name: {number: math.log(median) for number, median in cell.medians_ns.items()}
        for name, cell in cells.items()
        if cell.status == "ok" and cell.medians_ns
    }
    estimates = [_estimate(arm, sweep, cells, logs) for arm in sweep.arms]
    known = [one for one in estimates if isinstance(one, _Estimate)]
    prior = fit_prior([one.variance for one in known], [one.df for one in known])
    tail = 1.0 - (1.0 - confidence) / (2 * max(1, len(known)))
    quantiles: dict[float, tuple[float, float]] = {}
    found = []
    for arm, one in zip(sweep.arms, estimates, strict=True):
        if isinstance(one, str):
            found.append(Effect(arm, NOT_MEASURED, reason=one))
            continue
        variance, df = prior.moderate(one.variance, one.df)
        if df not in quantiles:
            quantiles[df] = t_quantile(tail, df), t_quantile(POWER, df)
        critical, power = quantiles[df]
        error = math.sqrt(variance / one.kept)
        low, high = one.mean - critical * error, one.mean + critical * error
        found.append(
            Effect(
                arm,
                FASTER if high < 0 else SLOWER if low > 0 else NO_EFFECT,
                math.exp(one.mean),
                Interval(math.exp(low), math.exp(high)),
                math.exp((critical + power) * error),
                one.rounds,
                one.contrasts,
                one.reason,
            )
        )
    return found


def by_axis(found: Sequence[Effect]) -> list[AxisEffects]:
    """Effects by axis, without copies: those that do something first, the largest first; pairs after single axes."""
    grouped: dict[tuple[str, str], list[Effect]] = {}
    for one in found:
        if one.arm.kind != "copy":
            grouped.setdefault((one.arm.kind, one.arm.axis), []).append(one)
    every = [AxisEffects(axis, kind, tuple(group)) for (kind, axis), group in grouped.items()]
    return sorted(every, key=_importance)


def copies(found: Sequence[Effect]) -> list[Effect]:
    """Effects of cells that differ from the default in nothing: what is seen of them is chance."""
    return [one for one in found if one.arm.kind == "copy"]


def _importance(axis: AxisEffects) -> tuple[bool, bool, float]:
    shown = axis.told_apart or axis.measured
    return axis.kind == "pair", not axis.told_apart, -max((one.size for one in shown), default=-1.0)


def _estimate(
    arm: Arm, sweep: Sweep, cells: Mapping[str, CellSummary], logs: Mapping[str, Mapping[int, float]]
) -> _Estimate | str:
    """An arm's effect from rounds in which all of its contrasts were measured, or why there is none."""
    by_round, missing = [], []
    for contrast in arm.contrasts:
        sides = _members(contrast.plus, contrast, sweep), _members(contrast.minus, contrast, sweep)
        without = next((group for side in sides for group in side if not any(name in logs for name in group)), None)
        values = {} if without else _differences(sides, logs)
        if len(values) < MIN_PROCESSES:
            missing.append(_why(cells, without) if without else _too_few(len(values)))
        else:
            by_round.append(values)
    if not by_round:
        return missing[0] if missing else "nothing is compared with it"
    rounds = sorted(set.intersection(*(set(values) for values in by_round)))
    if len(rounds) < MIN_PROCESSES:
        return _too_few(len(rounds))
    table = np.array([[values[number] for number in rounds] for values in by_round])
    mean, variance, kept = _trimmed(table)
    reason = f"without {len(missing)} of {len(arm.contrasts)} comparisons: {missing[0]}" if missing else ""
    return _Estimate(mean, variance, kept, len(rounds), len(by_round), reason)


def _too_few(rounds: int) -> str:
    return f"rounds with both sides: {rounds}; {MIN_PROCESSES} are needed"


def _members(side: Sequence[str], contrast: Contrast, sweep: Sweep) -> list[tuple[str, ...]]:
    """The cells that stand for each cell of a side: itself; for the default, all that do the same and are not named."""
    named = {*contrast.plus, *contrast.minus}
    alike = (sweep.default, *(copy for copy in sweep.copies if copy not in named))
    return [alike if name == sweep.default else (name,) for name in side]


def _differences(
    sides: tuple[list[tuple[str, ...]], list[tuple[str, ...]]], logs: Mapping[str, Mapping[int, float]]
) -> dict[int, float]:
    """Round to the difference of both sides, for rounds in which each has all of its cells."""
    plus, minus = ([_stand_in(group, logs) for group in side] for side in sides)
    rounds = set.intersection(*(set(values) for values in (*plus, *minus)))
    return {
        number: sum(values[number] for values in plus) - sum(values[number] for values in minus) for number in rounds
    }


def _stand_in(group: Sequence[str], logs: Mapping[str, Mapping[int, float]]) -> Mapping[int, float]:
    """Round to the median of those cells that were measured in it."""
    there = [logs[name] for name in group if name in logs]
    if len(there) == 1:
        return there[0]
    rounds = set().union(*there)
    return {number: statistics.median(one[number] for one in there if number in one) for number in rounds}


def _trimmed(table: NDArray[np.float64]) -> tuple[float, float, int]:
    """The mean of trimmed means over rounds, its variance for one kept round, and how many rounds are kept.

    Args:
        table: of shape (contrasts, rounds).
    """
    rounds = table.shape[1]
    cut = int(TRIMMED * rounds) if rounds >= ROUNDS_TO_TRIM else 0
    ordered = np.sort(table, axis=1)
    kept = rounds - 2 * cut
    winsorised = np.clip(table, ordered[:, [cut]], ordered[:, [rounds - 1 - cut]]).mean(axis=0)
    variance = float(winsorised.var(ddof=1)) * (rounds - 1) / (kept - 1)
    return float(ordered[:, cut : rounds - cut].mean()), variance, kept


def _why(cells: Mapping[str, CellSummary], group: Sequence[str]) -> str:
    """Why nobody of a group has a time."""
    return next(_reasons(cells, group), f"{group[0]} is no cell of this run")


def _reasons(cells: Mapping[str, CellSummary], group: Sequence[str]) -> Iterator[str]:
    for name in group:
        cell = cells.get(name)
        if cell is not None:
            yield f"{cell.status}: {cell.reason}" if cell.status != "ok" else "no call was left after warm-up"
