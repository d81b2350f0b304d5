"""Tables of a run for those who compute on: a row per cell, a row per process, or a row per timed call.

Every frame says where its figures come from: ``origin`` is ``measured``, with ``run`` and ``host`` beside it. What was
counted from a graph (operations, bytes) has a column of its own that says so. Columns are the same for every run, so
frames of several runs can be put below each other; samples of different hosts must not be pooled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from results.summary import CellSummary, summarise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from results.record import Record
    from results.runfile import RunFile

MEASURED = "measured"
COUNTED = "derived: counted from the graph"
AXES = ("model", "form", "runtime", "layout", "threads")
# Pairs become two columns, so that a spreadsheet can sort by them.
_PAIRS = ("p50_ci_ms", "p90_ci_ms", "p99_ci_ms")
_FIGURES = (
    "p50_ms",
    "p50_ci_ms",
    "p90_ms",
    "p90_ci_ms",
    "p99_ms",
    "p99_ci_ms",
    "p999_ms",
    "rtf",
    "x_realtime",
    "cold_ms",
    "build_s",
    "rss_peak_mb",
    "max_abs_error",
    "snr_db",
    "cosine",
    "threads_used",
    "parallelism",
    "overlap",
    "effective_samples",
    "samples",
    "warmup_samples",
    "processes",
)
_PHASES = ("start", "import", "load", "first_call")
_WORK = ("flops", "weight_bytes", "activation_bytes", "io_bytes")


def cells_frame(run: RunFile) -> pd.DataFrame:
    """One row per cell, in the plan's order; not a number (or None) where there is no honest value.

    Times are in the unit that their column's name ends with.
    """
    return frame_of_cells(summarise(run.cells(), run.records()), run.facts(), str(run.path))


def frame_of_cells(cells: Sequence[CellSummary], facts: Mapping[str, Any], run: str) -> pd.DataFrame:
    """The same of summaries that were made already.

    Args:
        cells: of one run.
        facts: of the same run.
        run: its name, goes into every row.
    """
    where = {"run": run, "host": _host(facts), "created": facts.get("created")}
    return pd.DataFrame([where | _cell_row(cell) for cell in cells])


def processes_frame(run: RunFile) -> pd.DataFrame:
    """One row per process: status, median, phases and what disturbed it."""
    where = {"run": str(run.path), "host": _host(run.facts())}
    return pd.DataFrame([where | _process_row(record) for record in run.records()])


def samples_frame(run: RunFile) -> pd.DataFrame:
    """One row per timed call, warm-up included and flagged.

    Columns: ``run``, ``host``, ``cell`` (categories), ``round``, ``call`` (from 0), ``warmup``, ``wall_ns``,
    ``cpu_ns`` (of the whole process), ``origin``.
    """
    records = [record for record in run.records() if record.wall_ns.size]
    lengths = [record.wall_ns.size for record in records]
    total = sum(lengths)
    names = list(dict.fromkeys(record.cell for record in records))
    codes = np.repeat([names.index(record.cell) for record in records], lengths)
    return pd.DataFrame(
        {
            "run": _constant(str(run.path), total),
            "host": _constant(_host(run.facts()), total),
            "cell": pd.Categorical.from_codes(codes.astype(np.int32), categories=names),
            "round": np.repeat([record.round for record in records], lengths).astype(np.int64),
            "call": _joined([np.arange(length) for length in lengths]),
            "warmup": _joined([np.arange(record.wall_ns.size) < record.warmup for record in records]).astype(bool),
            "wall_ns": _joined([record.wall_ns for record in records]),
            "cpu_ns": _joined([record.cpu_ns for record in records]),
            "origin": _constant(MEASURED, total),
        }
    )


def _cell_row(cell: CellSummary) -> dict[str, Any]:
    spec = cell.spec
    row: dict[str, Any] = {"cell": cell.cell} | {axis: spec.get(axis) for axis in AXES}
    row |= {
        "options": json.dumps({name: spec.get("options", {}).get(name) for name in spec.get("changed", ())}),
        "version": cell.version,
        "status": cell.status,
        "reason": cell.reason,
        "rank": cell.rank,
        "origin": MEASURED if cell.status == "ok" else None,
    }
    for name in _FIGURES:
        value = getattr(cell, name)
        if name in _PAIRS:
            stem = name.removesuffix("_ci_ms")
            row[f"{stem}_low_ms"], row[f"{stem}_high_ms"] = value or (None, None)
        else:
            row[name] = value
    row |= {f"{phase}_ms": cell.phases_ms.get(phase) for phase in _PHASES}
    row |= {"audio_s": cell.audio_s, "precision_ran": cell.precision_ran, "device": cell.device}
    row |= {"quality_snr_db": (cell.quality or {}).get("snr_db")}
    row |= _gpu_row(cell)
    work = spec.get("work") or {}
    row |= {name: work.get(name) for name in _WORK}
    return row | {"work_origin": COUNTED if work else None, "model_sha256": spec.get("model_sha256")}


def _gpu_row(cell: CellSummary) -> dict[str, Any]:
    """What a GPU does in a call of the cell, per call; all None where nobody looked."""
    call = cell.gpu_call
    found = call.counted if call is not None else None
    return {
        "gpu_clock_ms": call.device_ms if call is not None else None,
        "gpu_busy_ms": found.busy_ms if found is not None else None,
        "gpu_kernels": found.kernels if found is not None else None,
        "gpu_launches": found.launches if found is not None else None,
        "gpu_graph_launches": found.graph_launches if found is not None else None,
        "gpu_copied_bytes": found.copies_to[1] + found.copies_from[1] if found is not None else None,
    }


def _process_row(record: Record) -> dict[str, Any]:
    settled = record.settled_ns
    phases, disturbance = record.facts.get("phases_ns") or {}, record.facts.get("disturbance") or {}
    return {
        "cell": record.cell,
        "round": record.round,
        "status": record.status,
        "reason": record.reason or None,
        "started_at": record.started_at,
        "p50_ns": float(np.median(settled)) if settled.size else None,
        "samples": int(settled.size),
        "warmup_samples": record.warmup,
        **{f"{phase}_ns": phases.get(phase) for phase in _PHASES},
        "foreign": disturbance.get("foreign"),
        "steal": disturbance.get("steal"),
        "rss_peak_bytes": record.facts.get("rss_peak_bytes"),
        "origin": MEASURED if settled.size else None,
    }


def _host(facts: Mapping[str, Any]) -> str:
    return str((facts.get("host") or {}).get("fingerprint") or "unknown")


def _constant(value: str, length: int) -> pd.Categorical:
    return pd.Categorical.from_codes(np.zeros(length, np.int8), categories=[value])


def _joined(parts: Sequence[Any]) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
