"""The verdict of a gate, from its records alone. Pure.

A candidate *regressed* when it is slower beyond doubt and by an amount worth a verdict (at least half of the smallest
effect, so that an effect of just that size is found as often as one is sure); *improved* is the same the other way
round. It *passes* when a change of that size is ruled out. As long as neither holds, the gate goes on; when it may not,
it is *inconclusive*. A candidate that answers wrongly, or not at all, is *wrong*, however fast.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from results.contended import calls
from results.gate_figures import figures
from results.gate_spec import OBJECTIVES, Gate
from results.signed_rank import looks, shift, walsh
from results.summary import standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from results.gate_figures import Figures
    from results.gate_spec import Pair
    from results.record import Record
    from results.signed_rank import Look, Shift
    from results.summary import CellSummary

PASS, REGRESSED, IMPROVED, INCONCLUSIVE, WRONG = "pass", "regressed", "improved", "inconclusive", "wrong"
# The gravest first; what decides about several.
GRAVITY = (WRONG, REGRESSED, INCONCLUSIVE, PASS, IMPROVED)
EXIT_CODES = {WRONG: 1, REGRESSED: 1, INCONCLUSIVE: 3, PASS: 0, IMPROVED: 0}
NOTHING_COMPARED = 4
QUIET, ALL = "quiet", "all"
# Where contended calls can be left out. What is late is late, whoever was to blame: not of misses.
IN_CALLS = ("p50", "p90")
# Where one side is left alone in this share less of its calls, and that is no chance, it may wait by itself.
WAITS = 0.05
WAITS_ERROR = 0.005
POWER = 0.95


@dataclass(frozen=True)
class Compared:
    """One way of looking at the pairs.

    Attributes:
        estimate: the change: 0.02 is 2 % more; for ``misses`` a difference of shares.
        low, high: its interval; None before the first look.
        baseline, candidate: typical values: nanoseconds, bytes, or shares.
        pairs: how many are in it.
    """

    estimate: float
    low: float | None
    high: float | None
    baseline: float
    candidate: float
    pairs: int


@dataclass(frozen=True)
class Verdict:
    """What a gate found about one pair and one objective.

    Attributes:
        pair: what was compared.
        objective: of :data:`results.gate_spec.OBJECTIVES`.
        verdict: ``pass``, ``regressed``, ``improved``, ``inconclusive`` or ``wrong``.
        reason: one sentence where the figures do not tell; else empty.
        min_effect: the smallest change worth a verdict.
        seen: what the verdict rests on; None where nothing was measured.
        view: ``quiet`` (without contended calls) or ``all``.
        other: the same pairs in the other view; None where there is none.
        smallest: the smallest change that a gate like this one finds in 95 of 100 cases; None without an interval.
        contended: share of calls that were contended, baseline and candidate; None where nobody can say.
        pairs: how many were measured.
        decided: whether it can be called; a gate goes on until all are.
    """

    pair: Pair
    objective: str
    verdict: str
    reason: str
    min_effect: float
    seen: Compared | None = None
    view: str = ALL
    other: Compared | None = None
    smallest: float | None = None
    contended: tuple[float, float] | None = None
    pairs: int = 0
    decided: bool = True


def verdicts(gate: Gate, cells: Mapping[str, Mapping[str, Any]], records: Iterable[Record]) -> list[Verdict]:
    """Judge every pair by every objective.

    Args:
        gate: what is compared.
        cells: id → specification, as a run file has them.
        records: every process so far.
    """
    if gate.recorded is not None:
        # It needs what stands here.
        from results.baselines import from_json
        from results.recorded import recorded_verdicts

        return recorded_verdicts(gate, from_json(gate.recorded), cells, records)
    by_cell: dict[str, list[Record]] = {name: [] for pair in gate.pairs for name in (pair.baseline, pair.candidate)}
    for record in records:
        if record.cell in by_cell:
            by_cell[record.cell].append(record)
    found = []
    for pair in gate.pairs:
        sides = [(cells[name], by_cell[name]) for name in (pair.baseline, pair.candidate)]
        if all(spec.get("status") == "unavailable" for spec, _ in sides) and not gate.roots:
            continue  # a runtime that is not here has nothing to do with what changed
        before, after = (standing_of(spec, own) for spec, own in sides)
        stop = stopped(pair, gate, before, after, own_code=bool(gate.roots))
        if stop:
            found += stop
            continue
        for objective in gate.objectives:
            if OBJECTIVES[objective].fixed:
                found.append(_fixed(pair, objective, gate, sides[0][0], sides[1][0]))
            else:
                found.append(_measured(pair, objective, gate, sides[0][1], sides[1][1]))
    return found


def standing_of(spec: Mapping[str, Any], records: Sequence[Record]) -> tuple[str, str]:
    """Status of a side and why it has no time that counts; both empty where it has, or nothing was measured yet.

    ``busy`` is a side whose processes were all right, and yet did not do what was asked, as two sessions that took
    turns on a busy machine.
    """
    if not records and not spec.get("status"):
        return "", ""
    status, reason = standing(spec, records)
    if status == "ok":
        return "", ""
    failed = spec.get("status") or any(record.status != "ok" for record in records)
    return status if failed else "busy", f"{status}: {reason}"


def stopped(
    pair: Pair, gate: Gate, baseline: tuple[str, str], candidate: tuple[str, str], *, own_code: bool = False
) -> list[Verdict]:
    """Verdicts of a pair of which one side has no time.

    Args:
        pair: of which.
        gate: its objectives.
        baseline: from :func:`standing_of`.
        candidate: the same.
        own_code: whether another commit of rtfloor measures the baseline.
    """
    if candidate[0] == "wrong" or (candidate[0] not in ("", "busy") and not baseline[0]):
        verdict, reason = WRONG, f"the candidate gave no right answer: {candidate[1]}"
    elif baseline[0]:
        verdict, reason = (
            INCONCLUSIVE,
            f"there is nothing to compare with, since the baseline has no time: {baseline[1]}",
        )
        if own_code and baseline[0] == candidate[0] == "unavailable":
            reason = f"neither commit could be measured, which may be this one's doing: {candidate[1]}"
    elif candidate[0]:
        verdict, reason = INCONCLUSIVE, f"the candidate has no time: {candidate[1]}"
    else:
        return []
    return [Verdict(pair, name, verdict, reason, effect) for name, effect in gate.objectives.items()]


def _measured(
    pair: Pair, objective: str, gate: Gate, baseline: Sequence[Record], candidate: Sequence[Record]
) -> Verdict:
    """Go through the looks as the gate did, up to the first that decides."""
    effect = gate.objectives[objective]
    both = _paired(baseline, candidate)
    planned = looks(gate.error, gate.pairs_most)
    last = Verdict(pair, objective, INCONCLUSIVE, _too_few(planned, len(both)), effect, pairs=len(both), decided=False)
    for look in planned:
        # When one looks depends on nothing but how many pairs were measured.
        if look.pairs > len(both):
            break
        last = _Pairs(objective, gate, both[: look.pairs]).verdict(pair, effect, look)
        if last.decided:
            break
    if last.seen is None:
        return replace(last, other=_Pairs(objective, gate, both).compared(ALL, None) if both else None)
    return replace(last, pairs=len(both))


def _too_few(planned: Sequence[Look], pairs: int) -> str:
    if not planned:
        return "so few pairs could prove nothing; allow more with --pairs"
    return f"{pairs} pairs were measured, and the first look is due after {planned[0].pairs}"


def _paired(baseline: Sequence[Record], candidate: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Processes of the same round, both with samples, in order."""
    timed = [{record.round: record for record in side if record.settled_ns.size} for side in (baseline, candidate)]
    return [(timed[0][number], timed[1][number]) for number in sorted(timed[0].keys() & timed[1].keys())]


class _Pairs:
    """So many pairs under one objective, in one view or two.

    Which views there are, and what is in them, would be the same if the two processes of any pair changed places: so
    signs stay coins where nothing differs, and each view is a test of its own.
    """

    def __init__(self, objective: str, gate: Gate, both: Sequence[tuple[Record, Record]]) -> None:
        self._objective, self._gate, self._both = objective, gate, both
        self._ratio = OBJECTIVES[objective].ratio
        kept = calls([record for pair in both for record in pair])
        self._calls = list(zip(kept[::2], kept[1::2], strict=True))
        self._quiet = objective in IN_CALLS and self._left_alone()

    def _left_alone(self) -> bool:
        """Whether leaving out contended calls leaves enough: half of the pairs, and a call less in any."""
        usable = sum(all(own.quiet_ns is not None for own in pair) for pair in self._calls)
        return 2 * usable >= len(self._calls) and any(own.share < 1.0 for pair in self._calls for own in pair)

    def _figures(self, view: str) -> list[Figures]:
        deadline_ms = self._gate.deadline_ms
        found = [
            figures(self._objective, pair, own, deadline_ms, quiet=view == QUIET)
            for pair, own in zip(self._both, self._calls, strict=True)
        ]
        return [one for one in found if one is not None]

    def _shift(self, view: str, error: float) -> Shift | None:
        values = self._figures(view)
        return shift([one.difference for one in values], error) if values else None

    def _waits(self) -> bool:
        """Whether one side is left alone less often, and that is no chance: then it may well wait by itself."""
        found = shift([b.share - a.share for a, b in self._calls], WAITS_ERROR)
        return found is not None and abs(found.estimate) > WAITS and (found.low > 0 or found.high < 0)

    def compared(self, view: str, error: float | None) -> Compared | None:
        """The pairs in one view; without an interval where ``error`` is None."""
        values = self._figures(view)
        if not values:
            return None
        differences = [one.difference for one in values]
        found = shift(differences, error) if error is not None else None
        estimate = found.estimate if found else float(np.median(walsh(differences)))
        low, high = (self._change(found.low), self._change(found.high)) if found else (None, None)
        baseline = statistics.median(one.baseline for one in values)
        candidate = statistics.median(one.candidate for one in values)
        return Compared(self._change(estimate), low, high, baseline, candidate, len(values))

    def verdict(self, pair: Pair, effect: float, look: Look) -> Verdict:
        """What this look tells: two views share its error, and neither may say that it got worse for it to pass."""
        least = math.log1p(effect) if self._ratio else effect
        error = look.error / 2.0 if self._quiet else look.error
        views = (QUIET, ALL) if self._quiet else (ALL,)
        found = {view: one for view in views if (one := self._shift(view, error)) is not None}
        said = {view: called(one, least) for view, one in found.items()}
        waits = self._quiet and self._waits()
        view, name = _agreed(said, waits=waits)
        view = view or next(iter(found), ALL)
        seen = found.get(view)
        # No more than the end of the gate can say: it did not get worse, whether it got better or not.
        late = PASS if not name and not waits and seen is not None and seen.high < least else ""
        other = ALL if view == QUIET else QUIET
        shares = [statistics.mean(one.share for one in side) for side in zip(*self._calls, strict=True)]
        return Verdict(
            pair,
            self._objective,
            name or late or INCONCLUSIVE,
            _reason(name or late, said, seen, waits=waits),
            effect,
            self.compared(view, error),
            view,
            self.compared(other, error) if self._objective in IN_CALLS else None,
            None if seen is None else self._change(_smallest(seen, least)),
            (1.0 - shares[0], 1.0 - shares[1]) if self._objective in IN_CALLS else None,
            len(self._both),
            bool(name),
        )

    def _change(self, difference: float) -> float:
        return math.expm1(difference) if self._ratio else difference


def _agreed(said: Mapping[str, str], *, waits: bool) -> tuple[str, str]:
    """Which view decides, and what; both empty where the gate goes on."""
    names = set(said.values())
    if {REGRESSED, IMPROVED} <= names:
        return "", ""  # they contradict each other
    for name in (REGRESSED, IMPROVED, PASS):
        if name in names:
            # Left out of the quiet view, waiting of its own would pass for noise.
            excused = waits and name != REGRESSED
            return ("", "") if excused else (next(view for view, one in said.items() if one == name), name)
    return "", ""


def _reason(name: str, said: Mapping[str, str], seen: Shift | None, *, waits: bool) -> str:
    """What the figures do not tell; empty where they tell all."""
    if not name and {REGRESSED, IMPROVED} <= set(said.values()):
        return "with contended calls and without, it looks opposite"
    if not name and waits:
        return "one side is left alone less often, which may be its own waiting, so contended calls excuse nothing"
    if not name:
        return "equal pairs differ too much on this machine at this time to tell"
    if name == PASS and seen is not None and (seen.low > 0 or seen.high < 0):
        return "a change beyond doubt, and too small for a verdict"
    return ""


def called(found: Shift, least: float) -> str:
    """The verdict of one look; empty where it goes on."""
    if found.low > 0 and found.estimate >= least / 2:
        return REGRESSED
    if found.high < 0 and found.estimate <= -least / 2:
        return IMPROVED
    return PASS if -least < found.low and found.high < least else ""


def _smallest(found: Shift, least: float) -> float:
    """The smallest difference that would be called in 95 of 100 gates whose pairs scatter as these do."""
    half = (found.high - found.low) / 2
    error = half / NormalDist().inv_cdf(1.0 - found.error)
    return max(half, least / 2) + NormalDist().inv_cdf(POWER) * error


def _fixed(
    pair: Pair, objective: str, gate: Gate, baseline: Mapping[str, Any], candidate: Mapping[str, Any]
) -> Verdict:
    """A figure that is the same every time."""
    effect = gate.objectives[objective]
    before, after = (float(spec.get("size_bytes") or 0) for spec in (baseline, candidate))
    if not (before and after):
        return Verdict(pair, objective, INCONCLUSIVE, "nobody knows how large it is", effect)
    change = after / before - 1.0
    seen = Compared(change, change, change, before, after, 1)
    verdict = REGRESSED if change >= effect else IMPROVED if 1.0 / (1.0 + change) >= 1.0 + effect else PASS
    return Verdict(pair, objective, verdict, "", effect, seen, smallest=effect)


@dataclass(frozen=True)
class Gated:
    """A finished gate.

    Attributes:
        gate: what was compared.
        verdicts: one per pair and objective, in the gate's order.
    """

    gate: Gate
    verdicts: tuple[Verdict, ...]

    @property
    def verdict(self) -> str:
        """Of the whole gate: the gravest."""
        return min((one.verdict for one in self.verdicts), key=GRAVITY.index, default=INCONCLUSIVE)

    @property
    def exit_code(self) -> int:
        """0 pass or improved, 1 regressed or wrong, 3 inconclusive, 4 where no side of any pair can run here."""
        return EXIT_CODES[self.verdict] if self.verdicts else NOTHING_COMPARED


def of_run(facts: Mapping[str, Any], cells: Sequence[CellSummary], records: Iterable[Record]) -> Gated | None:
    """The outcome of a run that is a gate; None for any other run, and for a gate that did not come to its end."""
    planned = (facts.get("plan") or {}).get("gate")
    if planned is None or facts.get("status") != "finished":
        return None
    gate = Gate.from_json(planned)
    return Gated(gate, tuple(verdicts(gate, {cell.cell: cell.spec for cell in cells}, records)))
