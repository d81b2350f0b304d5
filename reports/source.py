"""A run file, read and worked out once, for everything that a report says about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from reports.answer import OVERHEAD_MODEL
from reports.table import Race, races
from results.floors import Floors
from results.noise import Noise, noise
from results.runfile import RunFile
from results.summary import CellSummary, summarise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from results.record import Record


@dataclass(frozen=True)
class Source:
    """One run.

    Attributes:
        path: of its file.
        facts: its ``run`` table.
        cells: a summary of each, in the plan's order.
        records: every process, in the order of rounds.
        noise: how quiet the machine was.
        floors: what the hardware could do at most, where the run knows.
        label: what to call it where its file's name does not tell it from another; empty otherwise.
    """

    path: Path
    facts: Mapping[str, Any]
    cells: tuple[CellSummary, ...]
    records: tuple[Record, ...]
    noise: Noise
    floors: Floors
    label: str = ""

    @property
    def name(self) -> str:
        """Of the run: its label, or its file without the ending."""
        return self.label or self.path.stem

    @property
    def title(self) -> str:
        """What was asked."""
        return str((self.facts.get("plan") or {}).get("title") or self.name)

    @property
    def host(self) -> Mapping[str, Any]:
        """Facts about the machine."""
        return self.facts.get("host") or {}

    @cached_property
    def races(self) -> dict[Race, list[CellSummary]]:
        """Cells that can be compared, the fastest first; those that cost nothing but a call are left out."""
        return {key: cells for key, cells in races(self.cells).items() if not is_overhead(cells[0])}

    @cached_property
    def overhead(self) -> list[CellSummary]:
        """Timed cells of the model that does nothing: what a call costs, per runtime."""
        timed = [cell for cell in self.cells if is_overhead(cell) and cell.p50_ms is not None]
        return sorted(timed, key=lambda cell: cell.p50_ms or 0.0)

    @cached_property
    def processes(self) -> dict[str, list[Record]]:
        """Timed processes of every cell, in the order of rounds."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            if record.wall_ns.size:
                found.setdefault(record.cell, []).append(record)
        return found


def is_overhead(cell: CellSummary) -> bool:
    """Whether a cell's model does nothing, so that its time is what a call costs."""
    return cell.spec["model"] == OVERHEAD_MODEL and not cell.spec.get("users_file")


def read(path: Path) -> Source:
    """Read a run file.

    Raises:
        RunFileError: it is missing or no run file of this version.
    """
    with RunFile.read(path) as run:
        facts, specs, records = run.facts(), run.cells(), tuple(run.records())
    return Source(path, facts, tuple(summarise(specs, records)), records, noise(records), Floors(facts))


def timed(cells: list[CellSummary]) -> list[CellSummary]:
    """Cells that are right and have a time, in the same order."""
    return [cell for cell in cells if cell.status == "ok" and cell.p50_ms is not None]


def best_per_runtime(cells: list[CellSummary]) -> list[CellSummary]:
    """The fastest right cell of each runtime, the fastest first."""
    found: dict[str, CellSummary] = {}
    for cell in sorted(timed(cells), key=lambda cell: cell.p50_ms or 0.0):
        found.setdefault(str(cell.spec["runtime"]), cell)
    return list(found.values())
