"""The runs of the study: everything, and searches, each an ordinary run file."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from bench import campaign, host
from bench.expand import Choice, expand
from bench.plan import Plan
from bench.suite import load_suite
from results.goal import Goal, seen_by_cell
from results.runfile import RunFile
from results.tuned import typical_ns

PROFILE = "quick"
EVERYTHING = "everything.sqlite"
LEADERS = "leaders.sqlite"
# Cells up to so much slower than the best are measured again, in so many rounds: ten rounds of a machine whose equal
# processes differ by a tenth cannot tell two hundredths.
LEADING = 0.15
LEADERS_ROUNDS = 40
LONG_S = 7200.0


def everything(folder: Path, suite: str) -> None:
    """Every cell of the suite, in as many rounds as it says."""
    _run(folder / EVERYTHING, plan_of(suite), seed=0)


def leaders(folder: Path) -> None:
    """The best cells of everything once more, and more often: who judges must see more than who is judged."""
    with RunFile.read(folder / EVERYTHING) as run:
        plan = Plan.from_json(run.facts()["plan"])
        seen = seen_by_cell(run.records())
    typical = {cell: typical_ns(Goal(), rounds) for cell, rounds in seen.items()}
    most = min(typical.values()) * (1 + LEADING)
    cells = tuple(cell for cell in plan.cells if typical.get(cell.id, most + 1) <= most)
    rounds = {"rounds_least": LEADERS_ROUNDS, "rounds_most": LEADERS_ROUNDS}
    again = replace(plan, title="the leaders again", cells=cells, measure={**plan.measure, **rounds})
    _run(folder / LEADERS, again, seed=1000)


def search(folder: Path, suite: str, number: int) -> None:
    """One search, as ``rtfloor tune`` makes it."""
    plan = replace(plan_of(suite), goal=asdict(Goal()), title=f"search {number}")
    _run(folder / f"search-{number:02}.sqlite", plan, seed=number)


def plan_of(suite: str) -> Plan:
    """The cells that all of them choose from."""
    return expand(load_suite(suite), Choice(), PROFILE, host.cpus())


def _run(path: Path, plan: Plan, *, seed: int) -> None:
    """Measure a plan into a file of that name, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rtfloor-study-") as folder:
        settings = campaign.Settings(
            results=Path(folder),
            budget_s=LONG_S,
            timeout_s=None,
            memory_bytes=None,
            seed=seed,
            command=f"python -m bench.study measure {path.parent.name}",
            floor=False,
        )
        ended = campaign.start(plan, PROFILE, None, settings)
        if ended.code != campaign.OK:
            raise SystemExit(ended.code)
        shutil.move(ended.path, path)
