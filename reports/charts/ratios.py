"""The same cells in two runs: how much faster or slower, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.charts.canvas import INK, MUTED, SERIES, SURFACE, figure, heading, style
from reports.charts.chart import Chart, label, slug
from reports.compare import FASTER, SLOWER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reports.compare import Comparison, Pair

ROWS_MOST = 40
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10, 20, 50, 100)


def ratios(comparison: Comparison, other: int) -> Chart | None:
    """Ratios of one run to the base, the largest change first; None where nothing could be compared."""
    pairs = [pair for pair in comparison.compared if pair.other == other]
    if not pairs:
        return None
    shown = sorted(pairs, key=lambda pair: pair.ratio or 1.0)
    if len(shown) > ROWS_MOST:
        shown = shown[: ROWS_MOST // 2] + shown[-ROWS_MOST // 2 :]
    fig = figure(8.2, 1.3 + 0.27 * len(shown))
    axes = style(fig.add_subplot())
    for place, pair in enumerate(shown):
        _row(axes, place, pair)
    axes.set_xscale("log")
    ends = [end for pair in shown for end in ((pair.interval.low, pair.interval.high) if pair.interval else ())]
    every = [*ends, *(pair.ratio or 1.0 for pair in shown), 0.9, 1.12]
    axes.set_xlim(min(every) / 1.06, max(every) * 1.35)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1, color=MUTED, linewidth=1.2, zorder=1)
    axes.set_yticks(range(len(shown)), [_name(pair) for pair in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    names = [source.name for source in comparison.sources]
    axes.set_xlabel(f"p50 of {names[other]} over that of {names[0]}; left of 1 is faster (logarithmic)", loc="left")
    title = f"{names[other]} beside {names[0]}"
    heading(fig, title)
    rows = [_text(pair) for pair in pairs]
    told = "; ".join(" ".join(row) for row in rows[:ROWS_MOST])
    return Chart(
        name=slug("ratios", names[other], "beside", names[0]),
        title=title,
        description=f"Ratio of p50 per cell, {title}. {told}.",
        figure=fig,
        columns=("cell", "ratio", "95 % interval", "verdict"),
        rows=rows,
        note="Filled: can be told apart, allowing for all cells that are compared. Open: cannot, or no interval could "
        "be made. Ratios are derived from two measurements; processes of the two runs are never paired or pooled."
        + (f" Of {len(pairs)} cells the {ROWS_MOST} that changed most." if len(pairs) > ROWS_MOST else ""),
        group=title,
        origins=("derived",),
    )


def _row(axes: Axes, place: int, pair: Pair) -> None:
    assert pair.ratio is not None
    apart = pair.verdict in {FASTER, SLOWER}
    colour = SERIES[0] if pair.verdict == FASTER else SERIES[1] if pair.verdict == SLOWER else MUTED
    marker = "<" if pair.verdict == FASTER else ">" if pair.verdict == SLOWER else "o"
    if pair.interval is not None:
        axes.plot([pair.interval.low, pair.interval.high], [place] * 2, color=colour, linewidth=1.4, zorder=2)
    axes.plot(
        pair.ratio,
        place,
        marker=marker,
        markersize=7,
        color=colour,
        markerfacecolor=colour if apart else SURFACE,
        zorder=3,
    )
    end = pair.interval.high if pair.interval else pair.ratio
    axes.annotate(
        f"{pair.ratio:.2f}",
        (max(end, pair.ratio), place),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK if apart else MUTED,
    )


def _name(pair: Pair) -> str:
    cell = pair.cells[0]
    return f"{cell.spec['model']} {label(cell)} {cell.spec['threads']}"


def _text(pair: Pair) -> tuple[str, str, str, str]:
    interval = "–" if pair.interval is None else f"{pair.interval.low:.3f} to {pair.interval.high:.3f}"
    return _name(pair), f"{pair.ratio:.3f}", interval, pair.verdict
