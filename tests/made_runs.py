"""Run files made by hand, for tests of what is made of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from made import spec

from reports.source import Source, read
from results.record import Record
from results.runfile import RunFile

HOST: dict[str, Any] = {"cpu": "Test CPU", "fingerprint": "0123456789ab", "name_sha256": "aa", "memory_bytes": 1 << 34}
FACTS: dict[str, Any] = {
    "status": "finished",
    "ended_by": "settled",
    "created": "2026-01-02T03:04:05+00:00",
    "command": "rtfloor run cpu",
    "plan": {"title": "Which is fastest"},
    "profile": {"name": "quick", "title": "minutes"},
    "seed": 7,
    "host": HOST,
    "environment": {"packages": {"numpy": "2.0"}, "variables": {}},
    "warnings": [],
    "cpus": None,
    "rtfloor": "0.1.0",
}


def steady(middle_ms: float, count: int = 200, seed: int = 1) -> list[int]:
    """Latencies around a middle, within 2 %."""
    noise = np.random.default_rng(seed).standard_normal(count)
    return [int(value) for value in middle_ms * 1e6 * np.exp(0.02 * noise)]


def run_file(
    path: Path,
    cells: Mapping[str, Mapping[str, Any]],
    records: Iterable[Record] = (),
    **facts: Any,
) -> Path:
    """A run file with these cells and processes; ``facts`` replace those of the run."""
    with RunFile.create(path, FACTS | facts, cells) as run:
        for one in records:
            run.add(one)
        for name, cell in cells.items():
            if cell.get("status"):
                run.set_cell(name, cell["status"], cell["reason"])
    return path


def source(path: Path, cells: Mapping[str, Mapping[str, Any]], records: Iterable[Record] = (), **facts: Any) -> Source:
    """The same, read back."""
    return read(run_file(path, cells, records, **facts))


def two_runtimes() -> dict[str, dict[str, Any]]:
    """A race of two runtimes, and a third that is not there."""
    return {
        "quick": spec(runtime="ort-cpu"),
        "slow": spec(runtime="openvino"),
        "gone": spec(runtime="tvm", status="unavailable", reason="it is not installed"),
    }
