"""The JSON document of a run: one shape for ``run --json`` and ``show --json``."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from results.noise import noise
from results.summary import CellSummary, summarise

if TYPE_CHECKING:
    from results.runfile import RunFile

# Fields of a cell's specification that stand beside its figures.
SPEC_KEYS = ("model", "form", "runtime", "layout", "threads", "options")
WORK_KEYS = ("precision", "parameters", "nodes", "work", "surgery")


def document(run: RunFile) -> dict[str, Any]:
    """Everything about a run, JSON values; null where there is no honest value.

    Keys: ``run`` (path), ``status``, ``title``, ``profile``, ``created``, ``command``, ``host``,
    ``noise``, ``warnings``, ``cells``. The cells' keys are explained in ``docs/json.md``.
    """
    facts = run.facts()
    records = list(run.records())
    cells = summarise(run.cells(), records)
    entry = {
        "run": str(run.path),
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
        "environment": facts.get("environment"),
        "noise": asdict(noise(records)),
        "warnings": facts.get("warnings", []),
    }
    return {key: finite(value) for key, value in entry.items()} | {"cells": [cell_entry(cell) for cell in cells]}


def cell_entry(cell: CellSummary) -> dict[str, Any]:
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
