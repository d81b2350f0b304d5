"""The JSON document of a run: one shape for ``run --json`` and ``show --json``."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reports import gate as gates
from reports import tuned
from reports.effects import entry as sweep_entry
from reports.effects import views as sweep_views
from reports.ladder_steps import document_entry
from results.floors import BELOW, Floors
from results.gate import of_run as of_gate
from results.noise import noise
from results.summary import CellSummary, summarise
from results.tuned import of_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from results.record import Record
    from results.runfile import RunFile

# Fields of a cell's specification that stand beside its figures.
SPEC_KEYS = ("model", "form", "runtime", "layout", "threads", "options")
WORK_KEYS = ("precision", "parameters", "nodes", "work", "surgery")


def document(run: RunFile) -> dict[str, Any]:
    """Everything about a run, JSON values; null where there is no honest value.

    Keys: ``run`` (path), ``status``, ``title``, ``profile``, ``created``, ``command``, ``host``, ``gpus``, ``noise``,
    ``warnings``, ``peaks``, ``node_times``, ``ladder``, ``sweeps``, ``search``, ``gate``, ``cells``. Everything is
    explained in ``docs/json.md``.
    """
    facts = run.facts()
    records = list(run.records())
    return document_of(str(run.path), facts, summarise(run.cells(), records), records)


def document_of(
    path: str, facts: Mapping[str, Any], cells: Sequence[CellSummary], records: Sequence[Record]
) -> dict[str, Any]:
    """The same from what was read and summarised before."""
    floors = Floors(facts)
    entry = {
        "run": path,
        "status": facts.get("status"),
        "ended_by": facts.get("ended_by"),
        "title": facts.get("plan", {}).get("title"),
        "profile": facts.get("profile", {}).get("name"),
        "created": facts.get("created"),
        "command": facts.get("command"),
        "seed": facts.get("seed"),
        "cpus": facts.get("cpus"),
        "limits": facts.get("limits"),
        "rtfloor": facts.get("rtfloor"),
        "host": facts.get("host"),
        "gpu": facts.get("gpu", {}),
        "gpus": facts.get("gpus", []),
        "environment": facts.get("environment"),
        "noise": asdict(noise(records)),
        "warnings": facts.get("warnings", []),
        "peaks": {device: facts.get("peaks", {}).get(device) for device in ("cpu", "gpu")},
        "node_times": facts.get("node_times", {}),
        "ladder": document_entry(facts, cells),
        "sweeps": [sweep_entry(view) for view in sweep_views(facts, cells)],
        "search": None if (found_best := of_run(facts, cells, records)) is None else tuned.entry(found_best, facts),
        "gate": None if (gated := of_gate(facts, cells, records)) is None else gates.entry(gated),
    }
    found = [cell_entry(cell, floors) for cell in cells]
    return {key: finite(value) for key, value in entry.items()} | {"cells": found}


def floor_entry(cell: CellSummary, floors: Floors) -> dict[str, Any]:
    """A cell's lines and its distance from the floor, or why there are none."""
    lines = floors.of(cell) if cell.p50_ms is not None else None
    if lines is None or cell.p50_ms is None:
        return {"floor": None, "floor_unknown": floors.why_not(cell)}
    if lines.broken_by(cell.p50_ms * 1e-3):
        return {"floor": None, "floor_unknown": f"{lines.floor_s * 1e3:.4g} ms would be its floor: it is {BELOW}"}
    found = {
        "floor_ms": lines.floor_s * 1e3,
        "ideal_fusion_ms": None if lines.ideal_s is None else lines.ideal_s * 1e3,
        "no_fusion_ms": None if lines.none_s is None else lines.none_s * 1e3,
        "gap": lines.gap(cell.p50_ms * 1e-3),
        "limit": lines.limit,
        "precision": lines.precision,
        "not_counted": list(lines.unknown),
        "origin": "derived",
    }
    return {"floor": found, "floor_unknown": None}


def cell_entry(cell: CellSummary, floors: Floors) -> dict[str, Any]:
    """One cell as JSON values."""
    entry: dict[str, Any] = {"cell": cell.cell}
    entry |= {key: cell.spec.get(key) for key in SPEC_KEYS}
    values = asdict(cell)
    for skipped in ("cell", "spec", "medians_ns"):
        del values[skipped]
    entry |= values
    entry |= {key: cell.spec.get(key) for key in WORK_KEYS}
    entry["oracle"] = cell.spec.get("oracle_origin") or None
    entry["build"] = cell.spec.get("build") or None
    entry["audio"] = cell.spec.get("audio")
    entry |= floor_entry(cell, floors)
    entry["process_p50_ms"] = {number: median * 1e-6 for number, median in cell.medians_ns.items()}
    return {key: finite(value) for key, value in entry.items()}


def finite(value: Any) -> Any:
    """The value, with numbers that JSON cannot hold as None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        return finite(value.item())
    return str(value) if isinstance(value, Path) else value
