"""Distributions with their tails: which share of calls took longer than so many milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports import words
from reports.charts.canvas import MUTED, SURFACE, figure, heading, legend, log_scale, style
from reports.charts.chart import Chart, label, looks, slug
from reports.charts.thin import exceedance
from reports.source import best_per_runtime

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from reports.source import Source
    from reports.table import Race
    from results.summary import CellSummary

LINEAR_MOST = 6.0
SHARES = {0.5: "1 in 2 (p50)", 0.1: "1 in 10", 0.01: "1 in 100 (p99)", 0.001: "1 in 1,000", 0.0001: "1 in 10,000"}
STYLES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (6, 1.5, 1.5, 1.5)))


def tails(source: Source, race: Race, cells: list[CellSummary]) -> Chart | None:
    """One curve per runtime, down to its slowest call, on a logarithmic axis of shares."""
    best = best_per_runtime(cells)
    pooled = {cell.cell: _settled(source, cell) for cell in best}
    best = [cell for cell in best if pooled[cell.cell].size > 1]
    if not best:
        return None
    fig = figure(8.2, 4.0 + 0.2 * ((len(best) + 1) // 2))
    axes = style(fig.add_subplot(), grid="both")
    found = looks(str(cell.spec["runtime"]) for cell in best)
    most = max(float(values.max()) for values in pooled.values()) * 1e-6
    least = min(float(values.min()) for values in pooled.values()) * 1e-6
    for number, cell in enumerate(best):
        look = found[str(cell.spec["runtime"])]
        times, shares = exceedance(pooled[cell.cell])
        axes.plot(times * 1e-6, shares, color=look.colour, linestyle=STYLES[number % len(STYLES)], zorder=3)
        # The marker at the slowest call is the one in the legend, so that nobody has to tell colours apart.
        axes.plot(
            times[-1] * 1e-6,
            shares[-1],
            marker=look.marker,
            color=look.colour,
            markersize=6.5,
            zorder=4,
            markeredgecolor=SURFACE,
            markeredgewidth=0.8,
        )
        axes.plot(
            [],
            [],
            color=look.colour,
            linestyle=STYLES[number % len(STYLES)],
            marker=look.marker,
            markersize=6,
            label=label(cell),
        )
    _axes(axes, least, most, min(1.0 / values.size for values in pooled.values()))
    legend(axes, 2)
    rows = [_row(cell, pooled[cell.cell]) for cell in best]
    name = words.race(race)
    told = "; ".join(f"{row[0]}: p50 {row[2]}, p99 {row[4]}, slowest {row[6]}" for row in rows)
    title = f"Distribution and tail: {name}"
    heading(fig, title)
    return Chart(
        name=slug("tails", *race),
        title=title,
        description=f"Share of calls that took longer, for {name}. {told}.",
        figure=fig,
        columns=("cell", "samples", "p50", "p90", "p99", "p99.9", "slowest"),
        rows=rows,
        note="Calls after warm-up, all processes together. A steep curve is a steady cell; the marker is its slowest "
        "call. Points beyond the last tick rest on single calls.",
        group=name,
    )


def _axes(axes: Axes, least: float, most: float, smallest: float) -> None:
    if most > LINEAR_MOST * least:
        log_scale(axes.xaxis)
    axes.set_yscale("log")
    axes.set_ylim(smallest / 1.6, 1.3)
    shown = [share for share in SHARES if share >= smallest / 1.6]
    axes.yaxis.set_major_locator(FixedLocator(shown))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: SHARES.get(float(f"{value:.1g}"), "")))
    axes.tick_params(axis="y", length=0, labelcolor=MUTED)
    axes.set_xlabel("milliseconds per call", loc="left")
    axes.set_ylabel("calls that took longer", loc="top")


def _settled(source: Source, cell: CellSummary) -> NDArray[np.int64]:
    parts = [record.settled_ns for record in source.processes.get(cell.cell, ())]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _row(cell: CellSummary, values: NDArray[np.int64]) -> tuple[str, ...]:
    figures = (cell.p50_ms, cell.p90_ms, cell.p99_ms, cell.p999_ms, float(values.max()) * 1e-6)
    return (label(cell), f"{values.size:,}", *(words.milliseconds(value) for value in figures))
