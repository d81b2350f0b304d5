"""Baselines on record: kept from runs, found by name, and turned into the plan of a gate."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import at_ref, host
from bench.errors import UserError
from bench.plan import Plan
from bench.profile import profiles
from results.baselines import NAME, Baseline, read, sitting_of, to_json, write
from results.errors import BaselineError
from results.gate_spec import BASELINE, CANDIDATE, Gate, Pair
from results.noise import noise
from results.runfile import RunFile
from results.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


# What two sittings must agree in.
SAME = ("cells", "models", "cpus")


def save(folder: Path, name: str, run_path: Path, *, anew: bool) -> tuple[Baseline, bool]:
    """Add a run to a baseline as one sitting.

    Args:
        folder: of baselines.
        name: of the baseline.
        run_path: the run file.
        anew: whether sittings that are there are forgotten.

    Returns:
        The baseline, and whether the machine was noisy in this sitting.

    Raises:
        UserError: the name cannot be one, or the run and the baseline do not go together.
        BaselineError, RunFileError: a file cannot be read or written.
    """
    if NAME.fullmatch(name) is None:
        raise UserError(f"{name!r} is no name for a baseline; use letters, digits, '.', '_' and '-'")
    with RunFile.read(run_path) as run:
        facts, specs, records = run.facts(), run.cells(), list(run.records())
    gate = facts["plan"].get("gate")
    # One beside a baseline on record measured that baseline's cells again: another sitting.
    if gate and not gate.get("recorded"):
        raise UserError(f"run {run_path} is a gate, whose cells are two sides of one; save a run of 'rtfloor run'")
    heard = noise(records)
    try:
        sitting = sitting_of(facts, summarise(specs, records), heard.sentence, at_ref.head(Path.cwd()))
    except BaselineError as error:
        raise UserError(f"run {run_path} cannot be saved: {error}") from None
    path = folder / f"{name}.json"
    machine = f"{facts['host']['cpu']}, {facts['host']['cpus_usable']} CPUs"
    plan = {**_here(facts["plan"]), "cpus": facts.get("cpus")}
    found = Baseline(name, facts["host"]["fingerprint"], machine, plan, facts["profile"]["name"])
    if path.exists() and not anew:
        there = read(path)
        if there.fingerprint != found.fingerprint:
            raise UserError(
                f"baseline {name} is of another machine ({there.machine}); times of two machines cannot be laid side "
                "by side: give this one a name of its own, or begin anew with --replace"
            )
        alike = all(there.plan.get(key) == plan.get(key) for key in SAME)
        if not alike or there.profile != found.profile:
            raise UserError(
                f"run {run_path} measured other cells or models, on other processors, or with another profile, than "
                f"baseline {name}; give it a name of its own, or begin anew with --replace"
            )
        if any(one.created == sitting.created for one in there.sittings):
            raise UserError(f"run {run_path} is in baseline {name} already")
        found = there
    found = found.with_sitting(sitting)
    write(path, found)
    return found, not heard.quiet


def find(folder: Path, name: str) -> Baseline:
    """A baseline by its name, or by the path of its file.

    Raises:
        UserError: there is none; names those there are.
        BaselineError: it cannot be read.
    """
    for path in (folder / f"{name}.json", Path(name)):
        if path.is_file():
            return read(path)
    known = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
    raise UserError(f"there is no baseline {name!r} in {folder}; there are: {known}; 'rtfloor baseline save' makes one")


def gate_of(baseline: Baseline, spec: Gate) -> Plan:
    """The plan of a gate that measures a baseline's cells again.

    Args:
        baseline: on record.
        spec: objectives and confidence.

    Raises:
        UserError: the baseline is of another machine, or has no sittings.
    """
    here = host.host_facts()
    if baseline.fingerprint != here["fingerprint"]:
        raise UserError(
            f"baseline {baseline.name} is of another machine ({baseline.machine}; here {here['cpu']}, "
            f"{here['cpus_usable']} CPUs): times of two machines cannot be compared; measure both sides here with "
            "--baseline or --against, or save a baseline of this machine"
        )
    if not baseline.sittings:
        raise UserError(f"baseline {baseline.name} has no sittings; 'rtfloor baseline save {baseline.name}' adds one")
    if baseline.profile not in profiles():
        raise UserError(
            f"baseline {baseline.name} has the profile {baseline.profile!r}, which there is none of; save anew"
        )
    try:
        plan = Plan.from_json(_there(baseline.plan))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"baseline {baseline.name} has a damaged plan ({error!r}); take its file from git") from None
    known = {cell.id for cell in plan.cells}
    pairs = tuple(Pair(cell, cell, cell) for cell in baseline.cells if cell in known)
    says = {BASELINE: f"baseline {baseline.name}", CANDIDATE: "what is here now"}
    gate = replace(spec, pairs=pairs, says=says, recorded=to_json(baseline))
    return replace(plan, title=f"gate: {plan.title} beside baseline {baseline.name}", race=False, gate=asdict(gate))


def _here(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan with files named from the current folder, so that a baseline can be committed."""
    models = {name: _pathed(spec, _relative) for name, spec in plan["models"].items()}
    return {**plan, "models": models, "gate": None}


def _there(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {**plan, "models": {name: _pathed(spec, _absolute) for name, spec in plan["models"].items()}}


def _pathed(spec: Mapping[str, Any], change: Any) -> dict[str, Any]:
    values = {key: change(value) if value.endswith(".npy") else value for key, value in spec["values"].items()}
    return {**spec, "values": values, "path": spec["path"] and change(spec["path"])}


def _relative(path: str) -> str:
    own = Path(path)
    return str(own.relative_to(Path.cwd())) if own.is_relative_to(Path.cwd()) else path


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
