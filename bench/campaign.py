"""One ``rtfloor run`` from plan to exit code: prepare, record, measure, tell how it ended."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

from bench import __version__, host, paths
from bench.duet import duet
from bench.errors import UserError
from bench.floor_facts import note_nodes, peaks_facts
from bench.plan import Plan
from bench.prepare import Preparer, Ready
from bench.profile import Profile, profiles
from bench.progress import Bar, Lines, watcher
from bench.run import Limits, Runner, cell_specs
from bench.snippets import note_snippet
from bench.spawn import spawn
from results.gate import of_run as of_gate
from results.runfile import RunFile
from results.summary import summarise
from results.tuned import of_run
from runtimes import registry
from runtimes.errors import UnavailableError
from runtimes.gpu.nvml import gpu_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

OK, NOTHING_RIGHT, NOTHING_AVAILABLE, STOPPED = 0, 1, 4, 130
MEMORY_SHARE = 0.8
# Variables that change what an engine does; they are recorded, so that a strange run explains itself.
TELLING = (
    *("OMP_", "KMP_", "MKL_", "GOMP_", "OPENBLAS_", "DNNL_", "ONEDNN_"),
    *("TVM_", "ORT_", "OV_", "TORCH_", "CUDA_", "NVIDIA_", "CUBLAS_", "CUDNN_"),
    *("MALLOC_", "LD_PRELOAD", "PYTHON", "RTFLOOR_"),
)
# What decides whether a resumed run is still the same run.
SAME = ("version", "model_sha256", "called_sha256", "oracle_origin")


@dataclass(frozen=True)
class Settings:
    """Flags of ``run`` that are not part of the plan; None means the default.

    ``floor`` is whether the machine's peaks and the nodes of the best cells are measured as well.
    """

    results: Path | None
    budget_s: float | None
    timeout_s: float | None
    memory_bytes: int | None
    seed: int | None
    command: str
    floor: bool = True


@dataclass(frozen=True)
class Ended:
    """How a run ended: where its file is, and the exit code it deserves."""

    path: Path
    code: int


def start(plan: Plan, profile_name: str, cpus: tuple[int, ...] | None, settings: Settings) -> Ended:
    """Measure a new plan.

    Raises:
        UserError: a model cannot be used, or results cannot be written.
        RunFileError: the run file cannot be written; what it has stays.
    """
    folder = settings.results or paths.default_results()
    paths.make_writable(folder, "the results folder", "--results DIR")
    profile = replace(profiles()[profile_name], **dict(plan.measure))  # type: ignore[arg-type]  # checked in the suite
    if settings.budget_s is not None:
        profile = replace(profile, budget_s=settings.budget_s)
    with _interruptible(), _watching() as watch:
        preparer = Preparer(plan, spawn, watch.say, cpus)
        ready = {cell.id: preparer.ready(cell) for cell in plan.cells}
        seed = settings.seed if settings.seed is not None else random.SystemRandom().randrange(2**31)
        facts = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "rtfloor": __version__,
            "command": settings.command,
            "plan": plan.to_json(),
            "profile": asdict(profile),
            "seed": seed,
            "cpus": cpus,
            "limits": {"timeout_s": settings.timeout_s, "memory_bytes": settings.memory_bytes},
            "floor": settings.floor,
            "graphs": _graphs(preparer, ready),
            "peaks": peaks_facts(plan, ready, spawn, watch.say) if settings.floor else {},
            "host": host.host_facts(),
            "gpus": gpu_facts() if _on_gpu(plan) else [],
            "gpu": _gpu(plan, ready),
            "environment": environment_facts(),
            "environments": preparer.environments,
            "warnings": [*(plan.gate or {}).get("warnings", ()), *preparer.warnings],
            "status": "running",
        }
        path = paths.new_run_path(folder, plan.suite)
        with RunFile.create(path, facts, cell_specs(plan, ready)) as run:
            for name, prepared in ready.items():
                if prepared.status:
                    run.set_cell(name, prepared.status, prepared.reason)
            return _measure(run, plan, profile, preparer, ready, watch)


def resume(text: str, settings: Settings) -> Ended:
    """Go on with a run: nothing that finished is measured again.

    Raises:
        UserError: another machine, another runtime version, another model file.
        RunFileError: no run file, or another process is writing it.
    """
    path = paths.find_run(text, settings.results or paths.default_results())
    with _interruptible(), _watching() as watch, RunFile.resume(path) as run:
        facts = run.facts()
        here = host.host_facts()
        if facts["host"]["fingerprint"] != here["fingerprint"]:
            raise UserError(
                f"run {path} was begun on another machine ({facts['host']['cpu']}, here {here['cpu']}); "
                "times from two machines cannot be mixed, so start a new run"
            )
        plan = Plan.from_json(facts["plan"])
        profile = Profile(**facts["profile"])
        if settings.budget_s is not None:
            profile = replace(profile, budget_s=settings.budget_s)
        preparer = Preparer(plan, spawn, watch.say, tuple(facts["cpus"]) if facts["cpus"] else None)
        ready = {cell.id: preparer.ready(cell) for cell in plan.cells}
        _check_same(path, run.cells(), cell_specs(plan, ready), ready)
        _check_gpu(path, facts.get("gpu") or {}, _gpu(plan, ready))
        _check_environments(path, facts.get("environments") or {}, preparer.environments)
        run.set_fact("environments", {**(facts.get("environments") or {}), **preparer.environments})
        run.set_fact("status", "running")
        measured = {record.cell for record in run.records()}
        for name, prepared in ready.items():
            if prepared.status and name in measured:
                raise UserError(f"run {path} cannot be gone on with: {name} was measured, and now: {prepared.reason}")
            run.set_cell(name, prepared.status or None, prepared.reason or None)
        given = {"timeout_s": settings.timeout_s, "memory_bytes": settings.memory_bytes}
        run.set_fact("limits", facts["limits"] | {key: value for key, value in given.items() if value is not None})
        return _measure(run, plan, profile, preparer, ready, watch)


def _on_gpu(plan: Plan) -> bool:
    return any(registry.on_gpu(cell.runtime) for cell in plan.cells)


def _gpu(plan: Plan, ready: Mapping[str, Ready]) -> dict[str, Any]:
    """The GPU that measures; empty where no cell of a GPU can be measured."""
    if not any(registry.on_gpu(cell.runtime) and not ready[cell.id].status for cell in plan.cells):
        return {}
    from bench.peaks_cuda import gpu_identity

    return gpu_identity(spawn)


def _check_gpu(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with a run on another GPU, or under another driver."""
    if not before or not now or before == now:
        return
    told = [f"{gpu.get('name')}, CUDA {gpu.get('cuda_driver')}" for gpu in (before, now)]
    if told[0] == told[1]:
        told[1] = f"another {now.get('name')}"
    raise UserError(
        f"run {path} was begun on another GPU or driver ({told[0]}; here {told[1]}); times of two cannot be mixed, so "
        "start a new run, or name that GPU with CUDA_VISIBLE_DEVICES"
    )


def _check_environments(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on beside other packages than those that were there when a version was measured first."""
    for runtime in before.keys() & now.keys():
        old, new = ({"Python": one["python"], **one["packages"]} for one in (before[runtime], now[runtime]))
        changed = [
            f"{name} {old.get(name, 'was not there')} → {new.get(name, 'is gone')}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if changed:
            raise UserError(
                f"run {path} cannot be gone on with: the environment of {runtime} was made again and has other "
                f"packages ({', '.join(changed)}); start a new run"
            )


def environment_facts() -> dict[str, Any]:
    """Versions of every package that could matter, and variables that change what an engine does."""
    wanted = {"numpy", "onnx", "rtfloor"}
    for name in registry.names():
        with suppress(UnavailableError):  # somebody's broken package has no say in this run
            wanted |= set(registry.get(name).distributions)
    versions = {}
    for name in sorted(wanted):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    telling = {key: value for key, value in os.environ.items() if key.startswith(TELLING) and key != "PYTHONPATH"}
    return {"packages": versions, "variables": telling}


def _measure(
    run: RunFile,
    plan: Plan,
    profile: Profile,
    preparer: Preparer,
    ready: Mapping[str, Ready],
    watch: Bar | Lines,
) -> Ended:
    facts = run.facts()
    given = facts["limits"]
    limits = Limits(
        given["timeout_s"] or profile.timeout_s,
        given["memory_bytes"] or int(MEMORY_SHARE * host.memory_bytes()),
        tuple(facts["cpus"]) if facts["cpus"] else None,
    )
    runner = Runner(plan, profile, run, facts["seed"], spawn, limits, watch, duet)
    try:
        ended = runner.measure(preparer, ready)
    except KeyboardInterrupt:
        run.set_fact("status", "interrupted")
        return Ended(run.path, STOPPED)
    # What was asked for is there: whatever happens from here on takes nothing away.
    run.set_fact("status", "finished")
    run.set_fact("ended_by", ended)
    note_snippet(run, plan, ready, preparer)
    with suppress(KeyboardInterrupt):
        if facts.get("floor"):
            run.set_fact("peaks", peaks_facts(plan, ready, spawn, watch.say, facts.get("peaks")))
            note_nodes(run, plan, ready, preparer, spawn, limits, profile.nodes_s, watch.say, time.monotonic)
    return Ended(run.path, _code(run))


def _graphs(preparer: Preparer, ready: Mapping[str, Ready]) -> dict[str, Any]:
    """What the nodes of every measured graph cost, by the graph's digest."""
    used = {prepared.cards[0]["sha256"] for prepared in ready.values() if prepared.cards}
    return {digest: graph for digest, graph in preparer.graphs.items() if digest in used}


def _code(run: RunFile) -> int:
    records = list(run.records())
    cells = summarise(run.cells(), records)
    statuses = {cell.status for cell in cells}
    gated = of_gate(run.facts(), cells, records)
    if gated is not None:
        return gated.exit_code
    if "ok" in statuses:
        search = of_run(run.facts(), cells, records)
        return OK if search is None or search.best is not None else NOTHING_RIGHT
    return NOTHING_AVAILABLE if statuses == {"unavailable"} else NOTHING_RIGHT


def _check_same(
    path: Path,
    before: Mapping[str, Mapping[str, Any]],
    now: Mapping[str, Mapping[str, Any]],
    ready: Mapping[str, Ready],
) -> None:
    for name, spec in before.items():
        for key in SAME:
            # What was not known because the cell could not be measured then is no difference.
            if spec.get(key) and spec[key] != now[name][key] and not ready[name].status:
                raise UserError(
                    f"run {path} cannot be gone on with: {key} of {name} was {spec.get(key)!r} and is now "
                    f"{now[name][key]!r}; start a new run"
                )


@contextmanager
def _interruptible() -> Iterator[None]:
    """A polite kill ends a run as Ctrl-C does: the worker is stopped and the table shown."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _watching() -> Iterator[Bar | Lines]:
    watch = watcher()
    try:
        yield watch
    finally:
        watch.end()
