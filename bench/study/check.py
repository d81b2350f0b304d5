"""What came of the study: how far each pick is from the best of everything, and what it cost."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.study.measure import EVERYTHING
from results.goal import Goal, seen_in
from results.runfile import RunFile
from results.summary import summarise
from results.tuned import spent_s, tuned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What is promised.
WITHIN = 0.02
SHARE_MOST = 0.25
KEPT_LEAST = 0.9


@dataclass(frozen=True)
class Pick:
    """What one search found.

    Attributes:
        run: the file's name.
        cell: its pick.
        behind: how much slower that is than the best, both as measured while everything was tried; 0.02 is 2 %.
        share: what it spent of what trying everything took.
    """

    run: str
    cell: str
    behind: float
    share: float

    @property
    def good(self) -> bool:
        """Whether it is within what is promised of the best."""
        return self.behind <= WITHIN


@dataclass(frozen=True)
class Verdict:
    """The study.

    Attributes:
        cells: how many there are.
        best: the best of everything, milliseconds.
        within: cells that are within the promise.
        everything_s: what trying everything took, in processes.
        searches: ours.
        rivals: Optuna's, by its best trial.
        averaged: the same runs, by the best mean over a cell's trials.
    """

    cells: int
    best: tuple[str, float]
    within: tuple[str, ...]
    everything_s: float
    searches: tuple[Pick, ...]
    rivals: tuple[Pick, ...]
    averaged: tuple[Pick, ...]

    @property
    def kept(self) -> bool:
        """Whether the search keeps its promise, and beats its rival."""
        found = sum(pick.good for pick in self.searches)
        cheap = all(pick.share <= SHARE_MOST for pick in self.searches)
        rival = max(sum(pick.good for pick in self.rivals), sum(pick.good for pick in self.averaged))
        ours = statistics.mean(pick.behind for pick in self.searches)
        theirs = min(statistics.mean(pick.behind for pick in picks) for picks in (self.rivals, self.averaged))
        return (
            found >= KEPT_LEAST * len(self.searches) and cheap and (found > rival or (found == rival and ours < theirs))
        )


def judge(folder: Path) -> Verdict:
    """Read a study.

    Raises:
        UserError: the folder has none.
    """
    truth, everything_s = _truth(folder / EVERYTHING)
    best = min(truth, key=lambda cell: truth[cell])
    searches, rivals, averaged = [], [], []
    for path in sorted(folder.glob("search-*.sqlite")):
        with RunFile.read(path) as run:
            records, cells = list(run.records()), list(run.cells())
            goal = Goal.from_json(run.facts()["plan"]["goal"])
        found = tuned(goal, cells, records)
        searches.append(_pick(path, str(found.best), truth, best, found.spent_s / everything_s))
    for path in sorted(folder.glob("tpe-*.sqlite")):
        with RunFile.read(path) as run:
            records, picked = list(run.records()), str(run.facts()["picked"])
        share = spent_s(records) / everything_s
        rivals.append(_pick(path, picked, truth, best, share))
        values: dict[str, list[float]] = {}
        for record in records:
            if (seen := seen_in(record)) is not None:
                values.setdefault(record.cell, []).append(seen.p50_ns)
        mean = min(values, key=lambda cell: statistics.geometric_mean(values[cell]))
        averaged.append(_pick(path, mean, truth, best, share))
    if not searches or not rivals:
        raise UserError(f"{folder} has no study; make one with 'python -m bench.study measure {folder}'")
    within = tuple(cell for cell, value in truth.items() if value <= truth[best] * (1 + WITHIN))
    return Verdict(
        len(truth), (best, truth[best]), within, everything_s, tuple(searches), tuple(rivals), tuple(averaged)
    )


def told(verdict: Verdict) -> str:
    """A verdict as Markdown."""
    name, value_ms = verdict.best
    everything = (
        f"Everything: {verdict.cells} cells, {verdict.everything_s:.0f} s in processes; the best is {name}, "
        f"{value_ms:.2f} ms; {len(verdict.within)} cells are within {WITHIN:.0%} of it."
    )
    lines = [
        everything,
        "",
        "| who | within 2 % of the best | behind it, mean | behind it, worst | share of the time |",
        "|---|---:|---:|---:|---:|",
        _row("rtfloor tune", verdict.searches),
        _row("Optuna TPE, best trial", verdict.rivals),
        _row("Optuna TPE, best mean of a cell's trials", verdict.averaged),
        "",
        "| run | pick | behind | share |",
        "|---|---|---:|---:|",
    ]
    lines += [
        f"| {pick.run} | {pick.cell} | {pick.behind:.1%} | {pick.share:.1%} |"
        for pick in (*verdict.searches, *verdict.rivals)
    ]
    lines += [
        "",
        f"The promise ({KEPT_LEAST:.0%} within {WITHIN:.0%}, at most {SHARE_MOST:.0%} of the time, better than TPE) ",
    ]
    lines[-1] += "is kept." if verdict.kept else "is NOT kept."
    return "\n".join(lines)


def _row(who: str, picks: Sequence[Pick]) -> str:
    good = sum(pick.good for pick in picks)
    behind = [pick.behind for pick in picks]
    share = statistics.mean(pick.share for pick in picks)
    return f"| {who} | {good} of {len(picks)} | {statistics.mean(behind):.1%} | {max(behind):.1%} | {share:.1%} |"


def _truth(path: Path) -> tuple[dict[str, float], float]:
    """p50 of every right cell, milliseconds, and what it took."""
    if not path.exists():
        raise UserError(f"{path} is missing; make the study with 'python -m bench.study measure {path.parent}'")
    with RunFile.read(path) as run:
        records = list(run.records())
        cells = summarise(run.cells(), records)
    return {cell.cell: cell.p50_ms for cell in cells if cell.p50_ms is not None}, spent_s(records)


def _pick(path: Path, cell: str, truth: dict[str, float], best: str, share: float) -> Pick:
    return Pick(path.stem, cell, truth.get(cell, float("inf")) / truth[best] - 1, share)
