"""The runs of the study: everything, searches, and the rival's trials, each a run file of the same kind."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import __version__, campaign, host
from bench.expand import Choice, expand
from bench.prepare import Preparer
from bench.profile import profiles
from bench.progress import Lines
from bench.run import Limits, Runner, cell_specs
from bench.spawn import spawn
from bench.suite import load_suite
from bench.turns import Turn
from results.goal import Goal, seen_in
from results.runfile import RunFile
from results.tuned import spent_s

if TYPE_CHECKING:
    from bench.plan import Cell, Plan

PROFILE = "quick"
EVERYTHING = "everything.sqlite"
LONG_S = 7200.0


def everything(folder: Path, suite: str) -> None:
    """Every cell of the suite, in as many rounds as it says."""
    _run(folder / EVERYTHING, plan_of(suite), seed=0)


def search(folder: Path, suite: str, number: int) -> float:
    """One search; returns the seconds that it spent in processes."""
    path = folder / f"search-{number:02}.sqlite"
    goal = asdict(Goal())
    _run(path, replace(plan_of(suite), goal=goal, title=f"search {number}"), seed=number)
    with RunFile.read(path) as run:
        return spent_s(run.records())


def rival(folder: Path, suite: str, number: int, budget_s: float) -> None:
    """Optuna's TPE sampler on the same cells: each trial is one full process, until the budget is spent."""
    path = folder / f"tpe-{number:02}.sqlite"
    if path.exists():
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan, watch = plan_of(suite), Lines()
    watch.say(f"{path.name}: {budget_s:.0f} s")
    preparer = Preparer(plan, spawn, watch.say)
    ready = {cell.id: preparer.ready(cell) for cell in plan.cells}
    profile = profiles()[PROFILE]
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "rtfloor": __version__,
        "command": f"python -m bench.study measure {folder.name}",
        "plan": replace(plan, title=f"TPE {number}, Optuna {optuna.__version__}").to_json(),
        "profile": asdict(profile),
        "seed": number,
        "host": host.host_facts(),
        "environment": campaign.environment_facts(),
        "warnings": [],
        "status": "running",
    }
    cells = {choices(cell): cell for cell in plan.cells if not ready[cell.id].status}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=number))
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    with RunFile.create(unfinished, facts, cell_specs(plan, ready)) as run:
        limits = Limits(profile.timeout_s, int(campaign.MEMORY_SHARE * host.memory_bytes()))
        runner = Runner(plan, profile, run, number, spawn, limits, watch)
        turn = Turn(frozenset(cell.id for cell in plan.cells), profile.process_s)
        spent, round_number = 0.0, 0
        while spent < budget_s:
            trial = study.ask()
            cell = cells[tuple(suggest(trial, list(cells)))]
            record = runner.one(cell, round_number, preparer, ready[cell.id], turn)
            run.add(record)
            seen = seen_in(record)
            if seen is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, seen.p50_ns * 1e-6)
            spent += spent_s([record])
            round_number += 1
        run.set_fact("picked", cells[tuple(suggest(study.best_trial, list(cells)))].id)
        run.set_fact("status", "finished")
    unfinished.rename(path)


def suggest(trial: Any, cells: list[tuple[tuple[str, str], ...]]) -> list[tuple[str, str]]:
    """Let a trial choose a cell, one property after the other, among the values that still lead to one.

    Args:
        trial: of Optuna; a finished one answers as it did.
        cells: the properties of every cell, the runtime first.
    """
    chosen: list[tuple[str, str]] = []
    left = cells
    while any(len(cell) > len(chosen) for cell in left):
        name = left[0][len(chosen)][0]
        values = list(dict.fromkeys(cell[len(chosen)][1] for cell in left))
        # The space depends on what was chosen before, and so does the name of the parameter.
        scope = chosen[0][1] if chosen else ""
        key = f"{scope}.{name}" if scope else name
        if hasattr(trial, "suggest_categorical"):
            value = values[0] if len(values) == 1 else trial.suggest_categorical(key, values)
        else:
            value = values[0] if len(values) == 1 else trial.params[key]
        chosen.append((name, value))
        left = [cell for cell in left if cell[: len(chosen)] == tuple(chosen)]
    return chosen


def choices(cell: Cell) -> tuple[tuple[str, str], ...]:
    """What tells a cell from others, in the order in which a sampler chooses."""
    fixed = (("runtime", cell.runtime), ("form", cell.form), ("layout", cell.layout), ("threads", str(cell.threads)))
    return (*fixed, *((name, str(value)) for name, value in cell.options.items()))


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
