"""Models beside each other, per second of audio, as a section of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import words
from reports.page.html import join, tag
from reports.page.parts import Section, origin
from reports.page.tables import Column, Value, table
from reports.work import WorkRow, inversions, work_rows

if TYPE_CHECKING:
    from reports.source import Source

COLUMNS = (
    Column("runtime", filter=True),
    Column("model", filter=True),
    Column("form, layout"),
    Column("audio per call", number=True),
    Column("p50 per call", number=True),
    Column("p50 per s of audio", number=True),
    Column("parameters", number=True),
    Column("nodes", number=True),
    Column("GFLOP per s of audio", number=True),
    Column("MB between nodes per s", number=True),
    Column("GFLOP/s reached", number=True),
)


def work_section(source: Source) -> list[Section]:
    """One section, or none where no runtime answered for two models with known audio."""
    rows = work_rows(source.cells)
    if not rows:
        return []
    said = tag(
        "p",
        "Times of different models are no race; per second of audio they can be laid beside each other. Times are ",
        origin("measured"),
        ". Operations, bytes and nodes are counted from the graph, and rates follow from both: ",
        origin("derived"),
        ".",
    )
    lines = tag("ul", *(tag("li", line) for line in inversions(rows)))
    shown = table(COLUMNS, [_row(row) for row in rows], "Work per second of audio", filters=True)
    return [Section("work", "Work per second of audio", join([said, lines, shown]), "Work")]


def _row(row: WorkRow) -> list[object]:
    cell = row.cell
    reached = None if row.gflop is None else row.gflop / row.time_ms * 1e3
    audio_ms = (cell.audio_s or 0.0) * 1e3
    return [
        cell.spec["runtime"],
        cell.spec["model"],
        f"{cell.spec['form']}, {words.layout(cell)}",
        Value(words.milliseconds(audio_ms), audio_ms),
        Value(f"{words.milliseconds(cell.p50_ms)} {words.spread(cell)}".strip(), cell.p50_ms),
        Value(words.milliseconds(row.time_ms), row.time_ms),
        Value(f"{row.parameters:,}", row.parameters),
        Value(row.nodes, row.nodes),
        _figure(row.gflop),
        _figure(row.activation_mb),
        _figure(reached),
    ]


def _figure(value: float | None) -> Value:
    return Value(words.NOTHING if value is None else words.digits(value), value)
