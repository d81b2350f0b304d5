"""The ladder: the fastest right cell of each runtime, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import words
from reports.budgets import budgets
from reports.charts.canvas import (
    GRID,
    INK,
    MUTED,
    SERIES,
    SURFACE,
    beside,
    figure,
    heading,
    log_scale,
    origin_style,
    style,
)
from reports.charts.chart import Chart, label, slug
from reports.source import best_per_runtime
from results.ranking import ROUNDS_LEAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from reports.table import Race
    from results.summary import CellSummary

# Beyond this factor short bars would be too short to see, and the axis becomes logarithmic.
LINEAR_MOST = 12.0
# Room to the right of the longest bar, for its label.
ROOM = 1.38
# An interval's end is drawn up to so many times the longest bar.
INTERVAL_MOST = 2.5
# Names of budgets closer than this share of the width would meet.
BUDGET_APART = 0.18


def ladder(race: Race, cells: list[CellSummary]) -> Chart | None:
    """Bars of p50, with its interval, the p99, and the factor to the fastest; None where nothing was timed."""
    best = best_per_runtime(cells)
    if not best:
        return None
    fig = figure(8.2, 1.15 + 0.46 * len(best))
    axes = style(fig.add_subplot())
    fastest = best[0]
    start, most = _axis(axes, best)
    published = _budgets(axes, start, most * 1.05)
    for place, cell in enumerate(best):
        _bar(axes, place, cell, fastest, start)
    axes.set_yticks(range(len(best)), [label(cell) for cell in best])
    axes.set_ylim(len(best) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"milliseconds per call{' (logarithmic)' if start else ''}; shorter is better", loc="left")
    rows = [_row(cell, fastest) for cell in best]
    name = words.race(race)
    told = "; ".join(f"{row[0]} {row[1]}, {row[4]}" for row in rows)
    title = f"Ladder: {name}"
    heading(fig, title)
    return Chart(
        name=slug("ladder", *race),
        title=title,
        description=f"Fastest right cell of each runtime for {name}, p50 per call. {told}.",
        figure=fig,
        columns=("cell", "p50", "95 % interval", "p99", "beside the fastest", "origin"),
        rows=[(*row, "measured") for row in rows],
        note="Bars: p50, measured here. Line across a bar: its 95 % interval, where there is one. Diamond: p99.",
        group=name,
        origins=("measured", "published") if published else ("measured",),
    )


def factor(cell: CellSummary, fastest: CellSummary) -> str:
    """How much slower than the fastest, in words that admit ties."""
    if cell.cell == fastest.cell:
        return "fastest"
    ratio = (cell.p50_ms or 0.0) / (fastest.p50_ms or 1.0)
    return f"{words.digits(ratio)} ×" + (", tied" if tied(cell, fastest) else "")


def tied(cell: CellSummary, fastest: CellSummary) -> bool:
    """Whether the two were compared and could not be told apart; a single process each is no comparison."""
    return cell.rank == fastest.rank and min(cell.processes, fastest.processes) >= ROUNDS_LEAST


def _axis(axes: Axes, cells: Sequence[CellSummary]) -> tuple[float, float]:
    """Choose the scale; returns where bars begin, and the furthest that anything reaches."""
    times = [cell.p50_ms or 0.0 for cell in cells]
    ends = [end for cell in cells for end in (cell.p99_ms, *(cell.p50_ci_ms or ())) if end is not None]
    # An interval from three wild processes can be far wider than all times; it may leave the chart.
    most = min(max([*times, *ends]), INTERVAL_MOST * max(times))
    far = max(times) > LINEAR_MOST * min(times)
    start = min(times) / 2 if far else 0.0
    if far:
        log_scale(axes.xaxis)
        axes.set_xlim(start, most * (most / start) ** 0.42)
    else:
        axes.set_xlim(0, most * ROOM)
    return start, most


def _budgets(axes: Axes, low: float, high: float) -> bool:
    """Dotted lines where applications draw theirs, names that would meet one above the other; whether there are any."""
    last = -1.0
    height = 0
    shown = [budget for budget in budgets() if low < budget.most_ms <= high]
    for budget in shown:
        x = float(axes.transAxes.inverted().transform(axes.transData.transform((budget.most_ms, 0)))[0])
        height = (height + 1) % 2 if x - last < BUDGET_APART else 0
        last = x
        axes.axvline(budget.most_ms, color=MUTED, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        axes.annotate(
            budget.name,
            (budget.most_ms, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2 + 10 * height),
            textcoords="offset points",
            ha="center",
            color=MUTED,
            fontsize=8,
            annotation_clip=False,
        )
    return bool(shown)


def _bar(axes: Axes, place: int, cell: CellSummary, fastest: CellSummary, start: float) -> None:
    assert cell.p50_ms is not None
    first = cell.cell == fastest.cell or tied(cell, fastest)
    colour = SERIES[0] if first else MUTED
    look = origin_style("measured", colour)
    axes.barh(place, cell.p50_ms - start, left=start, height=0.52, zorder=2, alpha=None if first else 0.55, **look)
    end = cell.p50_ms
    if cell.p50_ci_ms is not None:
        axes.plot(cell.p50_ci_ms, [place, place], color=INK, linewidth=1.6, zorder=4, solid_capstyle="butt")
        end = max(end, min(cell.p50_ci_ms[1], axes.get_xlim()[1] / ROOM))
    if cell.p99_ms is not None:
        axes.plot([cell.p50_ms, cell.p99_ms], [place, place], color=GRID, linewidth=1, zorder=1.5)
        axes.plot(
            cell.p99_ms,
            place,
            marker="D",
            markersize=4.5,
            color=INK,
            markeredgecolor=SURFACE,
            markeredgewidth=0.8,
            zorder=5,
        )
        end = max(end, cell.p99_ms)
    beside(axes, f"{words.milliseconds(cell.p50_ms)} · {factor(cell, fastest)}", end, place, bold=first)


def _row(cell: CellSummary, fastest: CellSummary) -> tuple[str, str, str, str, str]:
    interval = words.NOTHING
    if cell.p50_ci_ms is not None:
        interval = f"{words.milliseconds(cell.p50_ci_ms[0])} to {words.milliseconds(cell.p50_ci_ms[1])}"
    return (
        label(cell),
        words.milliseconds(cell.p50_ms),
        interval,
        words.milliseconds(cell.p99_ms),
        factor(cell, fastest),
    )
