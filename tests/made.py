"""Hand-made cells and records: what a run would leave behind, without a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from results.record import Record

QUIET: dict[str, Any] = {"foreign": 0.0, "steal": 0.0}
PHASES_NS = {"start": 10_000_000, "import": 20_000_000, "load": 30_000_000, "first_call": 40_000_000}


def facts(**changes: Any) -> dict[str, Any]:
    """The facts of one process that went well."""
    return {
        "phases_ns": dict(PHASES_NS),
        "precision_asked": "fp32",
        "precision_ran": "fp32",
        "error": {"max_abs": 1e-6, "snr_db": 120.0, "cosine": 1.0, "peak": 1.0, "output": "y"},
        "threads_used": 1,
        "parallelism": 1.0,
        "overlap": None,
        "rss_peak_bytes": 100_000_000,
        "disturbance": dict(QUIET),
        "steady": True,
        "exit": 0,
        **changes,
    }


def record(
    cell: str,
    number: int = 0,
    wall_ns: Sequence[int] = (1_000_000,) * 50,
    *,
    status: str = "ok",
    reason: str = "",
    warmup: int = 0,
    **changes: Any,
) -> Record:
    """One process; ``changes`` replace facts."""
    wall = np.asarray(wall_ns, np.int64)
    return Record(cell, number, status, reason, "2026-01-02T03:04:05.678+00:00", facts(**changes), wall, wall, warmup)


def dead(cell: str, number: int, status: str, reason: str) -> Record:
    """One process that never answered."""
    return Record(cell, number, status, reason, "2026-01-02T03:04:05.678+00:00", {"took_s": 1.0})


def spec(**changes: Any) -> dict[str, Any]:
    """What a run file says of one cell."""
    return {
        "model": "net",
        "form": "raw",
        "runtime": "fake",
        "layout": "seq",
        "threads": 2,
        "options": {"precision": "fp32", "spread": 0.01},
        "changed": [],
        "version": "1",
        "audio_s": 0.01,
        "audio": "0.01 s, as stated",
        "build_s": None,
        "status": None,
        "reason": None,
        **changes,
    }
