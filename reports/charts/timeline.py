"""Samples in the order they were taken: warm-up, slow phases and processes that differ can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports import words
from reports.charts.canvas import INK, MUTED, RAISED, WARN, figure, heading, style
from reports.charts.chart import Chart, label, looks, slug
from reports.charts.thin import envelope
from reports.source import best_per_runtime

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reports.charts.chart import Look
    from reports.source import Source
    from reports.table import Race
    from results.record import Record
    from results.summary import CellSummary

# Stretches over a panel's width, and at least for each process.
STRETCHES, STRETCHES_LEAST = 320, 12
PANELS_MOST = 6
POINTS_MOST = 10


def timeline(source: Source, race: Race, cells: list[CellSummary]) -> Chart | None:
    """A panel per runtime: lowest to highest as a band, the median as a line, warm-up and processes marked."""
    best = [cell for cell in best_per_runtime(cells) if source.processes.get(cell.cell)][:PANELS_MOST]
    if not best:
        return None
    fig = figure(8.2, 0.85 + 1.25 * len(best))
    found = looks(str(cell.spec["runtime"]) for cell in best)
    panels = fig.subplots(len(best), 1, squeeze=False)[:, 0]
    rows = []
    for axes, cell in zip(panels, best, strict=True):
        records = source.processes[cell.cell]
        _panel(style(axes, grid="y"), cell, records, found[str(cell.spec["runtime"])])
        rows.append(_row(cell, records))
    panels[-1].set_xlabel("call, in the order of processes; each panel has its own scale", loc="left")
    name = words.race(race)
    told = "; ".join(f"{row[0]}: {row[1]} processes, medians {row[4]}" for row in rows)
    title = f"Samples in order: {name}"
    heading(fig, title)
    return Chart(
        name=slug("samples", *race),
        title=title,
        description=f"Every timed call in order, for {name}. {told}.",
        figure=fig,
        columns=("cell", "processes", "samples", "left out as warm-up", "medians of processes"),
        rows=rows,
        note="Line: median of a stretch of calls; band: its fastest to its slowest call, cut off at the p99.9 of all. "
        "Grey: warm-up, left out of every figure. Dashed: a new process begins.",
        group=name,
    )


def _panel(axes: Axes, cell: CellSummary, records: list[Record], look: Look) -> None:
    start = 0
    stretches = max(STRETCHES // len(records), STRETCHES_LEAST)
    tops, lows = [], []
    for record in records:
        middles, low, median, high = (values * 1.0 for values in envelope(record.wall_ns, stretches))
        where = middles + start
        axes.fill_between(where, low * 1e-6, high * 1e-6, color=look.colour, alpha=0.28, linewidth=0, zorder=2)
        # A call or a few are no line: each gets a point.
        point = look.marker if record.wall_ns.size <= POINTS_MOST else ""
        axes.plot(where, median * 1e-6, color=look.colour, linewidth=1.1, marker=point, markersize=3, zorder=3)
        if record.warmup:
            axes.axvspan(start, start + record.warmup, facecolor=RAISED, edgecolor=MUTED, linewidth=0, zorder=0)
        if start:
            axes.axvline(start, color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1)
        if record.facts.get("steady") is False:
            axes.annotate(
                "still warming up",
                (start, 1),
                xycoords=("data", "axes fraction"),
                fontsize=7.5,
                color=WARN,
                xytext=(3, -8),
                textcoords="offset points",
            )
        start += record.wall_ns.size
        tops.append(record.settled_ns if record.settled_ns.size else record.wall_ns)
        lows.append(low.min() * 1e-6)
    top = float(np.quantile(np.concatenate(tops), 0.999)) * 1e-6
    bottom = min(lows)
    span = max(top - bottom, 0.02 * top)  # a clock that is too coarse gives one and the same time again and again
    axes.set_ylim(bottom - span * 0.08, top + span * 0.12)
    axes.set_xlim(0, start)
    axes.set_ylabel("ms")
    axes.set_title(label(cell), loc="left", fontsize=9, fontweight="bold", color=INK, pad=3)
    axes.locator_params(axis="y", nbins=3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _row(cell: CellSummary, records: list[Record]) -> tuple[str, ...]:
    medians = sorted(value * 1e-6 for value in cell.medians_ns.values())
    spread = f"{words.milliseconds(medians[0])} to {words.milliseconds(medians[-1])}" if medians else words.NOTHING
    total = sum(record.wall_ns.size for record in records)
    return label(cell), str(len(records)), f"{total:,}", f"{cell.warmup_samples:,}", spread
