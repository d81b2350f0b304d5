"""The runs of the study: everything, and searches, each an ordinary run file."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import campaign, host
from bench.expand import Choice, expand
from bench.suite import load_suite
from results.goal import Goal

if TYPE_CHECKING:
    from bench.plan import Plan

PROFILE = "quick"
EVERYTHING = "everything.sqlite"
LONG_S = 7200.0


def everything(folder: Path, suite: str) -> None:
    """Every cell of the suite, in as many rounds as it says."""
    _run(folder / EVERYTHING, plan_of(suite), seed=0)


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
