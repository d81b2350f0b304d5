"""The table of a run, for a terminal: one block per race, the fastest first, failures below with reasons."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reports import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from results.summary import CellSummary

Race = tuple[str, str, int]


def races(cells: Sequence[CellSummary]) -> dict[Race, list[CellSummary]]:
    """Cells by race, in the plan's order; ranked cells first, then those that have no time."""
    grouped: dict[Race, list[CellSummary]] = defaultdict(list)
    for cell in cells:
        grouped[cell.race].append(cell)
    return {key: sorted(group, key=_order) for key, group in grouped.items()}


def tables(cells: Sequence[CellSummary]) -> RenderableType:
    """All races, one table each."""
    return Group(*(_table(key, group) for key, group in races(cells).items()))


def _order(cell: CellSummary) -> tuple[float, float]:
    return (cell.rank or float("inf"), cell.p50_ms or float("inf"))


def _table(key: Race, cells: Sequence[CellSummary]) -> RenderableType:
    table = Table(title=words.race(key), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("rank", "runtime", "form", "layout"):
        table.add_column(name, no_wrap=True, justify="right" if name == "rank" else "left")
    for name in ("threads", "p50", "±", "p90", "p99", "RTF ↓", "× real time ↑", "cold", "memory", "error"):
        table.add_column(name, no_wrap=True, justify="right")
    timed = [cell for cell in cells if cell.status == "ok"]
    for cell in timed:
        table.add_row(*_row(cell), style="bold" if cell.rank == 1 else None)
    parts: list[RenderableType] = [table] if timed else [Text(f"\n{words.race(key)}", style="bold")]
    for cell in cells:
        name = f"{words.runtime(cell)} {cell.spec['form']} {words.layout(cell)}"
        if cell.status != "ok":
            parts.append(Text.assemble(("  " + cell.status.upper(), "bold red"), f" {name}: {cell.reason}"))
        parts += [Text(f"  note: {name}: {note}", style="dim") for note in cell.notes]
    return Group(*parts)


def _row(cell: CellSummary) -> list[str]:
    return [
        str(cell.rank or words.NOTHING),
        words.runtime(cell),
        str(cell.spec["form"]),
        words.layout(cell),
        words.threads(cell),
        words.milliseconds(cell.p50_ms),
        words.spread(cell),
        words.milliseconds(cell.p90_ms),
        words.milliseconds(cell.p99_ms),
        words.NOTHING if cell.rtf is None else words.digits(cell.rtf),
        words.NOTHING if cell.x_realtime is None else words.digits(cell.x_realtime),
        words.milliseconds(cell.cold_ms),
        words.NOTHING if cell.rss_peak_mb is None else f"{cell.rss_peak_mb:.0f} MB",
        words.error(cell),
    ]
