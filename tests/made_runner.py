"""What a runner needs beside its workers, made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.plan import Cell
    from bench.prepare import Ready


class Preparer:
    """Asks for what tells a cell, and nothing else."""

    def request(self, cell: Cell) -> dict[str, Any]:
        return {"runtime": cell.runtime, "layout": cell.layout, "cell": cell.id}

    def quality_request(self, ready: Ready, precision: str, answers: str) -> dict[str, Any]:
        return {"task": "quality", "answers": answers}


class Quiet:
    """A watcher that draws nothing."""

    def begin(self, cells: int, budget_s: float) -> None: ...
    def before(self, cell: Cell, number: int, elapsed_s: float) -> None: ...
    def after(self, cell: Cell, record: Any, elapsed_s: float, processes_left: int) -> None: ...
