"""What a search found: the pick, what ties with it, how sure that is, and what it cost. Pure; from records alone."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.goal import OBJECTIVES, Goal, Seen, seen_by_cell, seen_in
from results.intervals import Interval, Tail, geometric_mean_interval, tail_quantile
from results.likely import beside, probability_within
from results.ranking import rank
from results.robust import faster_half

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from results.record import Record
    from results.summary import CellSummary

MS = 1e-6


@dataclass(frozen=True)
class Tuned:
    """The outcome of a search.

    Attributes:
        goal: what was looked for.
        best: the pick's id; None where no cell is right and within the conditions.
        value_ms: its objective.
        interval_ms: 95 % of that; None from too few processes.
        ties: cells that cannot be told apart from it, the fastest first.
        sure: how probable it is that no cell is better by more than the goal's margin; from 0 to 1.
        cells: how many were in the search.
        processes: how many were started.
        spent_s: seconds in processes.
        exhaustive_s: seconds that measuring every cell as carefully as the pick would take: as many processes, each as
            long as the pick's last.
        rounds: round → how many cells were measured in it.
        refused: cell → which condition it breaks.
        unjudged: right cells whose answers nobody has judged beside the form raw; none of them can be the pick.
    """

    goal: Goal
    best: str | None
    value_ms: float | None
    interval_ms: tuple[float, float] | None
    ties: tuple[str, ...]
    sure: float | None
    cells: int
    processes: int
    spent_s: float
    exhaustive_s: float | None
    rounds: Mapping[int, int]
    refused: Mapping[str, str]
    unjudged: int

    @property
    def share(self) -> float | None:
        """What it cost of what trying everything would cost."""
        return self.spent_s / self.exhaustive_s if self.exhaustive_s else None


def tuned(goal: Goal, cells: Sequence[str], records: Iterable[Record]) -> Tuned:
    """Work out what a search found.

    Args:
        goal: what was looked for.
        cells: ids of all that were in the search and could be measured.
        records: every process.
    """
    every = list(records)
    failed = {record.cell for record in every if record.status != "ok"}
    right = {cell: rounds for cell, rounds in seen_by_cell(every).items() if cell not in failed}
    kept: dict[str, list[Record]] = {cell: [] for cell in right}
    for record in every:
        if record.cell in kept and record.settled_ns.size:
            kept[record.cell].append(record)
    refused = {cell: reason for cell, rounds in right.items() if (reason := _refusal(goal, rounds, kept[cell]))}
    judged = {cell for cell, found in kept.items() if any("quality" in record.facts for record in found)}
    allowed = {cell: rounds for cell, rounds in right.items() if cell not in refused and cell in judged}
    counts = Counter(record.round for record in every)
    best = pick(goal, allowed)
    unjudged = len(right.keys() - refused.keys() - judged)
    common = (len(cells), len(every), spent_s(every), _exhaustive_s(cells, right, kept, best), dict(counts), refused)
    if best is None:
        return Tuned(goal, None, None, None, (), None, *common, unjudged)
    values = {
        cell: {number: seen.value_ns(goal.objective) for number, seen in rounds.items()}
        for cell, rounds in right.items()
        if cell not in refused
    }
    sure = probability_within(beside(best, values), goal.margin)
    value_ms, interval_ms = _objective(goal, kept[best])
    return Tuned(goal, best, value_ms, interval_ms, tuple(_ties(goal, best, values, kept)), sure, *common, unjudged)


def of_run(facts: Mapping[str, Any], cells: Sequence[CellSummary], records: Iterable[Record]) -> Tuned | None:
    """The outcome of a run that is a search; None of any other.

    Args:
        facts: of the run.
        cells: a summary of each.
        records: every process.
    """
    goal = (facts.get("plan") or {}).get("goal")
    if goal is None:
        return None
    return tuned(Goal.from_json(goal), [cell.cell for cell in cells if cell.status == "ok"], records)


def spent_s(records: Iterable[Record]) -> float:
    """Seconds in processes: measuring, and judging the quality of answers."""
    return sum(float(record.facts.get(key) or 0.0) for record in records for key in ("took_s", "judged_s"))


def pick(goal: Goal, allowed: Mapping[str, Mapping[int, Seen]]) -> str | None:
    """The best of those that were measured most often: rounds are what tells cells apart."""
    if not allowed:
        return None
    most = max(map(len, allowed.values()))
    # A finalist that was dropped or had one process less is still one.
    finalists = {cell: rounds for cell, rounds in allowed.items() if len(rounds) >= max(most - 1, 1)}
    means = {cell: typical_ns(goal, rounds) for cell, rounds in finalists.items()}
    return min(means, key=lambda cell: (means[cell], cell))


def typical_ns(goal: Goal, rounds: Mapping[int, Seen]) -> float:
    """What cells are compared by, nanoseconds: the faster half of logs, over quiet processes where there are any."""
    quiet = [seen for seen in rounds.values() if seen.quiet] or list(rounds.values())
    return math.exp(faster_half([math.log(seen.value_ns(goal.objective)) for seen in quiet]))


def _refusal(goal: Goal, rounds: Mapping[int, Seen], records: Sequence[Record]) -> str:
    if reason := goal.breaks(rounds.values()):
        return reason
    tail = _tail(records, OBJECTIVES["p99"])
    if goal.within_ms is not None and tail.value_ns is None:
        return f"{tail.samples} calls are too few to tell its p99; give it a longer --profile"
    if goal.within_ms is not None and tail.value_ns is not None and tail.value_ns * MS > goal.within_ms:
        return f"its p99 is {tail.value_ns * MS:.3g} ms, past {goal.within_ms:g} ms"
    return ""


def _tail(records: Sequence[Record], p: float) -> Tail:
    return tail_quantile([record.settled_ns for record in records], p)


def _objective(goal: Goal, records: Sequence[Record]) -> tuple[float | None, tuple[float, float] | None]:
    """The pick's objective as tables show it, milliseconds, with its interval."""
    if goal.objective == "p50":
        medians = [seen.p50_ns for record in records if (seen := seen_in(record)) is not None]
        return statistics.geometric_mean(medians) * MS, _pair(geometric_mean_interval(medians))
    tail = _tail(records, OBJECTIVES[goal.objective])
    return None if tail.value_ns is None else tail.value_ns * MS, _pair(tail.interval)


def _ties(
    goal: Goal, best: str, values: Mapping[str, Mapping[int, float]], kept: Mapping[str, Sequence[Record]]
) -> Iterable[str]:
    """Cells that cannot be told apart from the pick."""
    means = {cell: statistics.geometric_mean(rounds.values()) for cell, rounds in values.items()}
    others = sorted((cell for cell in values if cell != best), key=lambda cell: (means[cell], cell))
    if goal.objective == "p50":
        # Of those that left early nothing more is known than that they seemed slower.
        enough = {cell: rounds for cell, rounds in values.items() if len(rounds) > 1 or cell == best}
        ranks = rank(enough)
        return [cell for cell in others if cell in ranks and ranks[cell] == ranks[best]]
    p = OBJECTIVES[goal.objective]
    own = _tail(kept[best], p).interval
    ties = []
    for cell in others:
        interval = _tail(kept[cell], p).interval
        if own is not None and interval is not None and interval.low <= own.high and own.low <= interval.high:
            ties.append(cell)
    return ties


def _exhaustive_s(
    cells: Sequence[str],
    right: Mapping[str, Mapping[int, Seen]],
    kept: Mapping[str, Sequence[Record]],
    best: str | None,
) -> float | None:
    """What measuring every right cell as often and as long as the pick would take."""
    if best is None or not right:
        return None
    timed_s = {cell: [float(record.wall_ns.sum()) * 1e-9 for record in kept[cell]] for cell in right}
    full_s = timed_s[best][-1]
    # All but the timed calls: starting, loading, checking.
    around_s = {
        cell: statistics.median(
            seen.took_s - own for seen, own in zip(right[cell].values(), timed_s[cell], strict=True)
        )
        for cell in right
    }
    # A cell whose calls are longer than a process takes its fewest calls.
    each_s = [around_s[cell] + max(full_s, min(timed_s[cell])) for cell in cells if cell in right]
    return len(right[best]) * sum(each_s)


def _pair(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low * MS, interval.high * MS)
