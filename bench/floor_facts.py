"""What a run notes for its floors: what the machine could do at most, and where the time of a call goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from results.errors import PeaksError
from results.peaks import Peaks
from results.summary import summarise
from runtimes import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.plan import Cell, Plan
    from bench.prepare import Preparer, Ready
    from bench.run import Limits
    from bench.spawn import Spawn
    from results.runfile import RunFile

# Pretends: its times mean nothing beside what a machine can do.
PRETENDS = "fake"


def peaks_facts(
    plan: Plan,
    ready: Mapping[str, Ready],
    spawn: Spawn,
    say: Callable[[str], None],
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What this machine could do at most, measured now, for the devices and budgets of a plan.

    A slow phase makes peaks too low and floors too high, so a run measures them before and after its rounds
    and keeps the better.

    Args:
        plan: whose cells.
        ready: those that can be measured.
        spawn: starts a worker.
        say: is told what is being done.
        before: what an earlier call found.

    Returns:
        ``cpu`` and ``gpu`` as :meth:`results.peaks.Peaks.to_json` has them, where they were measured;
        ``reasons`` why one of them is missing. Empty where no cell needs any.
    """
    cells = [cell for cell in plan.cells if not ready[cell.id].status and cell.runtime != PRETENDS]
    found: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for device, measure in (("cpu", _cpu), ("gpu", _gpu)):
        concerned = [cell for cell in cells if _device(cell.runtime) == device]
        if not concerned:
            continue
        earlier = _earlier(before, device)
        try:
            peaks = measure(concerned, spawn, say, earlier)
        except (UserError, PeaksError, OSError) as error:
            # A run is worth more than its floors.
            peaks = f"the peaks of this machine could not be measured: {error}"
        if isinstance(peaks, str):
            reasons[device] = peaks
            peaks = earlier or peaks
        elif earlier is not None:
            peaks = peaks.best_of(earlier)
        if isinstance(peaks, Peaks):
            found[device] = peaks.to_json()
    return found | {"reasons": reasons} if found or reasons else {}


def _cpu(cells: Sequence[Cell], spawn: Spawn, say: Callable[[str], None], _: Peaks | None) -> Peaks | str:
    from bench.peaks import host_peaks

    # The whole budget, and half of it where left and right run side by side.
    threads = sorted({count for cell in cells for count in (cell.threads, cell.threads_each)})
    return host_peaks(spawn, threads, quick=True, say=say)


def _gpu(_: Sequence[Cell], spawn: Spawn, say: Callable[[str], None], earlier: Peaks | None) -> Peaks | str:
    from bench.peaks_cuda import gpu_peaks

    # A GPU is seldom shared, and its peaks take a while: what an earlier run knows will do after the rounds.
    return gpu_peaks(spawn, say=say, quick=earlier is not None)


def _device(runtime: str) -> str:
    return "gpu" if registry.on_gpu(runtime) else "cpu"


def _earlier(before: Mapping[str, Any] | None, device: str) -> Peaks | None:
    try:
        found = Peaks.from_json(before[device]) if before and before.get(device) else None
    except PeaksError:
        return None
    if found is None or device != "cpu":
        return found
    from bench.peaks.limits import believable

    # A run file can have been written by anybody.
    return believable(found)[0]


def note_nodes(
    run: RunFile,
    plan: Plan,
    ready: Mapping[str, Ready],
    preparer: Preparer,
    spawn: Spawn,
    limits: Limits,
    budget_s: float,
    say: Callable[[str], None],
    clock: Callable[[], float],
) -> None:
    """Profile the best cell of every runtime in every race, the fastest first, and note it in the run file.

    Each gets a process of its own after all timing is over, so that profiling disturbs nothing.

    Args:
        run: where it is noted, under ``node_times``, as it is found.
        plan: whose cells.
        ready: what preparation found out.
        preparer: words the requests.
        spawn: starts a worker.
        limits: for every worker.
        budget_s: no new process is started after so many seconds; 0 profiles nothing.
        say: is told what is being done.
        clock: seconds, monotonic.
    """
    from bench.nodes import node_times

    begin = clock()
    known: dict[str, Any] = dict(run.facts().get("node_times") or {})
    for cell in _leaders(run, plan):
        if clock() - begin >= budget_s:
            return
        # The kernels of a GPU run after the nodes that start them are over; its calls were looked into already.
        if cell.id in known or cell.runtime == PRETENDS or registry.on_gpu(cell.runtime):
            continue
        say(f"looking into {cell.id}")
        known[cell.id] = node_times(preparer, cell, ready[cell.id], spawn, limits)
        run.set_fact("node_times", known)


def _leaders(run: RunFile, plan: Plan) -> list[Cell]:
    """The best cell of every runtime in every race; those of the fastest runtimes first, null models left out."""
    best: dict[tuple[Any, ...], tuple[float, str]] = {}
    for cell in summarise(run.cells(), run.records()):
        if cell.status != "ok" or cell.p50_ms is None or (cell.spec["model"] == "null" and not cell.spec["users_file"]):
            continue
        key = (*cell.race, cell.spec["runtime"])
        best[key] = min(best.get(key, (float("inf"), "")), (cell.p50_ms, cell.cell))
    by_id = {cell.id: cell for cell in plan.cells}
    fastest = {key[:3]: min(found for other, found in best.items() if other[:3] == key[:3]) for key in best}
    order = sorted(best, key=lambda key: best[key][0] / fastest[key[:3]][0])
    return [by_id[best[key][1]] for key in order]
