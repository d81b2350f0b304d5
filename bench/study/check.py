"""What came of the study: how far each pick is from the best of everything, and what it cost."""

from __future__ import annotations

import importlib.util
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UserError
from bench.plan import Plan
from bench.study.measure import EVERYTHING, LEADERS
from bench.study.replay import ours, pool_of, rival
from results.goal import Goal, seen_by_cell
from results.runfile import RunFile
from results.summary import summarise
from results.tuned import spent_s, tuned, typical_ns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from results.goal import Seen
    from results.record import Record

# What is promised.
WITHIN = 0.02
SHARE_MOST = 0.25
KEPT_LEAST = 0.9


@dataclass(frozen=True)
class Pick:
    """What one search found.

    Attributes:
        run: the file's name, or the number of a replay.
        cell: its pick.
        behind: how much slower that is than the best, both by the faster half of their processes while everything was
            tried; 0.02 is 2 %.
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
        best: the best of everything, and the mean of the faster half of its processes' p50, milliseconds.
        within: cells that are within the promise.
        everything_s: what trying everything took, in processes.
        searches: real ones.
        replayed: ours, on the processes of the run that tried everything.
        rivals: Optuna's on the same, for the same time each, by its best trial; empty where it is not installed.
        averaged: the same, by the best middle over a cell's trials.
    """

    cells: int
    best: tuple[str, float]
    within: tuple[str, ...]
    everything_s: float
    searches: tuple[Pick, ...]
    replayed: tuple[Pick, ...]
    rivals: tuple[Pick, ...]
    averaged: tuple[Pick, ...]

    @property
    def kept(self) -> bool:
        """Whether the real searches keep the promise, and replayed ones beat their rival whichever way it picks."""
        kept = share_good(self.searches) >= KEPT_LEAST and all(pick.share <= SHARE_MOST for pick in self.searches)
        if not self.rivals:
            return kept
        return kept and all(_beats(self.replayed, other) for other in (self.rivals, self.averaged))


def share_good(picks: Sequence[Pick]) -> float:
    """How many picks are within the promise, as a share."""
    return sum(pick.good for pick in picks) / len(picks)


def _beats(picks: Sequence[Pick], other: Sequence[Pick]) -> bool:
    """More picks within the promise, and less behind on average."""
    nearer = statistics.mean(pick.behind for pick in picks) < statistics.mean(pick.behind for pick in other)
    return share_good(picks) > share_good(other) and nearer


def judge(folder: Path, replays: int) -> Verdict:
    """Read a study.

    Args:
        folder: of its runs.
        replays: how many more searches to draw from the run that tried everything.

    Raises:
        UserError: the folder has none.
    """
    path = folder / EVERYTHING
    if not path.exists():
        raise UserError(f"{path} is missing; make the study with 'python -m bench.study measure {folder}'")
    with RunFile.read(path) as run:
        facts, records = run.facts(), list(run.records())
        cells = summarise(run.cells(), records)
    right = {cell.cell for cell in cells if cell.status == "ok"}
    # Processes are disturbed now and then, and a search is held to what a cell can do.
    every = _with_leaders(folder, records)
    truth = {cell: typical_ns(Goal(), seen) * 1e-6 for cell, seen in every.items() if cell in right}
    best, everything_s = min(truth, key=lambda cell: truth[cell]), spent_s(records)

    def picked(name: str, cell: str, spent: float) -> Pick:
        return Pick(name, cell, truth.get(cell, float("inf")) / truth[best] - 1, spent / everything_s)

    searches = []
    for file in sorted(folder.glob("search-*.sqlite")):
        with RunFile.read(file) as run:
            goal = Goal.from_json(run.facts()["plan"]["goal"])
            found = tuned(goal, list(run.cells()), list(run.records()))
        searches.append(picked(file.stem, str(found.best), found.spent_s))
    if not searches:
        raise UserError(f"{folder} has no search; make them with 'python -m bench.study measure {folder}'")
    plan, pool, process_s = Plan.from_json(facts["plan"]), pool_of(records), float(facts["profile"]["process_s"])
    replayed, rivals, averaged = [], [], []
    for seed in range(replays):
        cell, spent = ours(plan.cells, pool, process_s, seed)
        replayed.append(picked(str(seed), cell, spent))
        if importlib.util.find_spec("optuna") is not None:
            trial, middle = rival(plan.cells, pool, spent, seed)
            rivals.append(picked(str(seed), trial, spent))
            averaged.append(picked(str(seed), middle, spent))
    within = tuple(cell for cell, value in truth.items() if value <= truth[best] * (1 + WITHIN))
    return Verdict(
        *(len(truth), (best, truth[best]), within, everything_s),
        *(tuple(searches), tuple(replayed), tuple(rivals), tuple(averaged)),
    )


def _with_leaders(folder: Path, records: Sequence[Record]) -> dict[str, dict[int, Seen]]:
    """What was seen of every cell while everything was tried, and of the leaders in the rounds that they had more."""
    every = seen_by_cell(records)
    if (folder / LEADERS).exists():
        after = 1 + max(record.round for record in records)
        with RunFile.read(folder / LEADERS) as run:
            for cell, rounds in seen_by_cell(run.records()).items():
                every[cell] |= {after + number: seen for number, seen in rounds.items()}
    return every


def told(verdict: Verdict) -> str:
    """A verdict as Markdown."""
    name, value_ms = verdict.best
    everything = (
        f"Everything: {verdict.cells} cells, {verdict.everything_s:.0f} s in processes; the best is `{name}`, "
        f"{value_ms:.2f} ms; {len(verdict.within)} cells are within {WITHIN:.0%} of it."
    )
    head = ["| who | within 2 % of the best | behind it, mean | behind it, worst | share of the time, mean | most |"]
    rows = [("`rtfloor tune`, real searches", verdict.searches), ("`rtfloor tune`, replayed", verdict.replayed)]
    rows += [("Optuna TPE, replayed: its best trial", verdict.rivals)]
    rows += [("Optuna TPE, replayed: the cell with the best middle", verdict.averaged)]
    lines = [everything, "", *head, "|---|---:|---:|---:|---:|---:|"]
    lines += [_row(who, picks) for who, picks in rows if picks]
    lines += ["", "| search | pick | behind | share |", "|---|---|---:|---:|"]
    lines += [f"| {pick.run} | `{pick.cell}` | {pick.behind:.1%} | {pick.share:.1%} |" for pick in verdict.searches]
    rival = ", better than TPE" if verdict.rivals else ""
    promise = f"{KEPT_LEAST:.0%} within {WITHIN:.0%} of the best, at most {SHARE_MOST:.0%} of the time{rival}"
    return "\n".join([*lines, "", f"The promise ({promise}) is {'kept' if verdict.kept else 'NOT kept'}."])


def _row(who: str, picks: Sequence[Pick]) -> str:
    behind, shares = [pick.behind for pick in picks], [pick.share for pick in picks]
    good = f"{sum(pick.good for pick in picks)} of {len(picks)}"
    figures = (statistics.mean(behind), max(behind), statistics.mean(shares), max(shares))
    return f"| {who} | {good} | {' | '.join(f'{figure:.1%}' for figure in figures)} |"
