"""What a call of each runtime costs before any arithmetic: the model null, measured as every cell is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import UserError
from bench.plan import Cell, ModelSpec, Plan
from bench.prepare import Preparer, Ready
from bench.run import measure_request, to_record
from results.peaks import Call
from runtimes import registry
from runtimes.errors import UnavailableError
from runtimes.options import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.spawn import Spawn

MODEL = "null"
# It only pretends.
PRETENDS = "fake"
ROUNDS, PROCESS_S, TIMEOUT_S = 2, 0.2, 60.0


@dataclass(frozen=True)
class _Ready:
    cell: Cell
    ready: Ready


def call_costs(spawn: Spawn, say: Callable[[str], None]) -> list[Call | str]:
    """One call on one signal and one thread, for every runtime that can run on this machine's processors.

    Args:
        spawn: starts a worker.
        say: is told, in one line, what is being done.

    Returns:
        The median of the fastest process of each; a sentence for each that failed.
    """
    cells = [cell for name in registry.names() if name != PRETENDS and (cell := _cell(name))]
    if not cells:
        return []
    plan = Plan("", "", "quick", {MODEL: ModelSpec(MODEL)}, tuple(cells))
    preparer = Preparer(plan, spawn, say)
    found: dict[str, list[float]] = {}
    notes: dict[str, str] = {}
    prepared: list[_Ready] = []
    for cell in cells:
        try:
            ready = preparer.ready(cell)
        except UserError as error:
            notes[cell.runtime] = str(error)
            continue
        if ready.status == "failed":
            notes[cell.runtime] = ready.reason
        elif not ready.status:
            prepared.append(_Ready(cell, ready))
    for number in range(ROUNDS):
        for one in prepared[:: 1 if number % 2 else -1]:
            name = one.cell.runtime
            if name in notes:
                continue
            say(f"measuring what a call of {name} costs")
            request = measure_request(preparer.request(one.cell), one.ready, PROCESS_S)
            record = to_record(name, number, "", 0.0, spawn(request, one.ready.environment, TIMEOUT_S))
            if record.status != "ok":
                notes[name] = record.reason
            elif record.facts.get("device") == "cpu":
                found.setdefault(name, []).append(float(np.median(record.settled_ns)) * 1e-9)
    versions = {one.cell.runtime: one.ready.version for one in prepared}
    source = f"rtfloor: p50 of a call of the model {MODEL}, one thread; the better of {ROUNDS} processes"
    calls = [Call(name, versions[name], min(medians), "measured", source) for name, medians in sorted(found.items())]
    return [*calls, *(f"a call of {name} could not be measured: {why}" for name, why in notes.items())]


def _cell(name: str) -> Cell | None:
    """The cell to measure; None where the runtime cannot run here."""
    try:
        adapter = registry.get(name)
    except UnavailableError:
        return None
    if not adapter.probe().available:
        return None
    return Cell(MODEL, "raw", name, "mono", 1, resolve(name, adapter.options, {}))
