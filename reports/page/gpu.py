"""What the GPU does in a call, as a section of the page; no section where no GPU was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import duel, gpu
from reports.page.html import Html, join, tag
from reports.page.parts import Section, origin
from reports.page.tables import Column, Value, table
from reports.source import best_per_runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.source import Source
    from results.summary import CellSummary

KERNELS = (
    Column("kernel"),
    Column("in a call", number=True),
    Column("time", number=True),
    Column("share", number=True, hint="of the time of all kernels"),
)


def gpu_section(source: Source) -> list[Section]:
    """Every cell's calls as a table; the longest kernels of each behind a line to open."""
    shown = gpu.rows(source.cells)
    if not shown:
        return []
    columns = [Column(name, number=number > 0, hint=gpu.HINTS.get(name, "")) for number, name in enumerate(gpu.HEAD)]
    body: list[Html] = [
        tag(
            "p",
            "Looked at in one process per cell, after all timing: the GPU's clock beside the host's, and CUPTI's "
            "record of kernels, copies, launches and waits. ",
            origin("measured", "in calls of their own, since looking takes time"),
        ),
        *(tag("p", line) for line in duel.sentences(source.cells)),
        table(columns, [_row(cell, row) for cell, row in shown], "What a call makes the GPU do", filters=True),
        *(_kernels(cell) for cells in source.races.values() for cell in best_per_runtime(cells)),
        tag("ul", *(tag("li", note, class_="about") for note in gpu.notes(source.cells))),
    ]
    return [Section("gpu", "What the GPU does in a call", join(body), "GPU")]


def _row(cell: CellSummary, row: Sequence[str]) -> list[object]:
    call = cell.gpu_call
    found = call.counted if call is not None else None
    values: list[object] = list(row)
    values[1] = Value(row[1], cell.p50_ms)
    values[2] = Value(row[2], call.device_ms if call is not None else None)
    if found is not None:
        for place, figure in ((3, found.busy_ms), (4, found.kernels), (5, found.launches), (6, found.graph_launches)):
            values[place] = Value(row[place], figure)
        values[8] = Value(row[8], found.waits)
    return values


def _kernels(cell: CellSummary) -> Html:
    found = gpu.kernels(cell)
    if not found:
        return join([])
    caption = f"Longest kernels: {cell.cell}"
    return tag("details", tag("summary", caption), table(KERNELS, found, caption), class_="race")
