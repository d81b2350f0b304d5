"""Every cell in one table, and every cell without a time with its reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reports import words
from reports.page.html import Html, join, tag
from reports.page.parts import Section
from reports.page.tables import Column, Value, table
from reports.source import is_overhead

if TYPE_CHECKING:
    from reports.source import Source
    from results.summary import CellSummary

COLUMNS = (
    Column("rank", number=True, hint="within its race: same model, signal and threads; ties share one"),
    Column("model", filter=True),
    Column("signal", spare=True),
    Column("runtime", filter=True),
    Column("version, options", spare=True),
    Column("form", filter=True),
    Column("layout", filter=True),
    Column("threads", number=True, hint="ran / allowed"),
    Column("p50", number=True, hint="geometric mean of the processes' medians"),
    Column("±", number=True, hint="half of the 95 % interval of the p50"),
    Column("p90", number=True, spare=True),
    Column("p99", number=True),
    Column("RTF ↓", number=True, hint="time over audio; lower is better"),
    Column("× real time ↑", number=True, hint="audio over time; higher is better", spare=True),
    Column("cold", number=True, hint="from starting a process to its first answer", spare=True),
    Column("memory", number=True, hint="peak of the process, 10⁶ bytes", spare=True),
    Column("error", hint="largest error against the right answer, and signal to error", spare=True),
    Column("beside raw", hint="quality beside the form raw"),
    Column("floor", number=True, hint="p50 over the floor at its precision; derived"),
    Column("samples", number=True, spare=True),
    Column("status", filter=True),
)


def cells_table(source: Source) -> Html:
    """Every cell of the run, with menus to choose among them."""
    cells = sorted(source.cells, key=_order)
    rows = [_row(source, cell) for cell in cells]
    caption = "All cells; figures are measured, except that 'floor' is derived"
    return table(COLUMNS, rows, caption, filters=True, marked=[cell.rank == 1 for cell in cells])


def _order(cell: CellSummary) -> tuple[object, ...]:
    """Timed cells first, race by race; what only costs a call after what computes."""
    return cell.status != "ok", is_overhead(cell), cell.race, cell.rank or math.inf, cell.p50_ms or math.inf


def _row(source: Source, cell: CellSummary) -> list[object]:
    spec = cell.spec
    options = words.runtime(cell).removeprefix(str(spec["runtime"])).strip()
    lines = source.floors.of(cell) if cell.p50_ms is not None else None
    gap = None if lines is None or cell.p50_ms is None else lines.gap(cell.p50_ms * 1e-3)
    return [
        Value(cell.rank or words.NOTHING, cell.rank),
        spec["model"],
        cell.race[1],
        spec["runtime"],
        options or words.NOTHING,
        spec["form"],
        words.layout(cell),
        Value(words.threads(cell), spec["threads"]),
        Value(words.milliseconds(cell.p50_ms), cell.p50_ms),
        Value(words.spread(cell) or words.NOTHING, None if cell.p50_ci_ms is None else cell.half_width),
        Value(words.milliseconds(cell.p90_ms), cell.p90_ms),
        Value(words.milliseconds(cell.p99_ms), cell.p99_ms),
        Value(words.NOTHING if cell.rtf is None else words.digits(cell.rtf), cell.rtf),
        Value(words.NOTHING if cell.x_realtime is None else words.digits(cell.x_realtime), cell.x_realtime),
        Value(words.milliseconds(cell.cold_ms), cell.cold_ms),
        Value(words.NOTHING if cell.rss_peak_mb is None else f"{cell.rss_peak_mb:.0f} MB", cell.rss_peak_mb),
        Value(words.error(cell), cell.max_abs_error),
        Value(words.beside_raw(cell), (cell.quality or {}).get("snr_db")),
        Value(words.gap(gap), gap),
        Value(f"{cell.samples:,}", cell.samples),
        cell.status,
    ]


def failed_section(source: Source) -> Section:
    """What has no time and why, and what a reader should know of the rest."""
    bad = [cell for cell in source.cells if cell.status != "ok"]
    notes = [(cell, note) for cell in source.cells if cell.status == "ok" for note in cell.notes]
    warnings = list(source.facts.get("warnings") or ())
    parts: list[Html] = []
    if bad:
        columns = [Column("cell"), Column("runtime", filter=True), Column("status", filter=True), Column("reason")]
        rows = [[cell.cell, cell.spec["runtime"], cell.status, cell.reason or words.NOTHING] for cell in bad]
        parts.append(table(columns, rows, "Cells without a time", filters=len(bad) > 8))
    else:
        parts.append(tag("p", "Every cell was measured, and right."))
    if notes:
        rows = [[cell.cell, note] for cell, note in notes]
        parts += [tag("h3", "Notes"), table([Column("cell"), Column("note")], rows, "Notes on measured cells")]
    if warnings:
        parts += [tag("h3", "Warnings"), tag("ul", *(tag("li", warning) for warning in warnings))]
    return Section("failed", "What failed, and why", join(parts), "Failures")
