"""What every value of a sweep does: those that matter above, and below, closer up, those that cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports.charts.canvas import GRID, INK, MUTED, SERIES, SURFACE, figure, heading, style
from reports.charts.chart import Chart, slug
from reports.effects import HEAD, columns, interval, label, percent, ratio, sentences
from results.effects import FASTER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from reports.effects import View
    from results.effects import Effect

ROWS_MOST = 60
NAME_MOST = 46
ROW_IN, MARGIN_IN, BETWEEN_IN = 0.215, 0.75, 0.8
# Below, an interval many times as wide as most is cut off, or nothing would be seen of the others.
WIDE = 2.5
TICKS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 2, 2.5, 3, 4, 5, 7),
    *(10, 20, 50, 100, 200, 500, 1000),
)
# Steps that a close-up may have.
STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
TICKS_MOST = 9
# Ends closer to each other than this have few ticks between them that are round on a logarithmic scale.
NARROW = 1.5


def effects_chart(view: View) -> Chart | None:
    """Ratios with intervals, by size; None where nothing was measured."""
    measured = [one for one in view.rows if one.ratio is not None]
    if not measured:
        return None
    largest = sorted((one for one in measured if one.told_apart), key=lambda one: -one.size)[:ROWS_MOST]
    told = sorted(largest, key=lambda one: (one.verdict != FASTER, -one.size))
    rest = [one for one in measured if not one.told_apart]
    shown = told, _fewer(rest, ROWS_MOST - len(told))
    parts = [part for part in shown if part]
    rows = sum(map(len, parts))
    fig = figure(8.6, MARGIN_IN + ROW_IN * rows + BETWEEN_IN * len(parts))
    drawn = fig.subplots(len(parts), 1, squeeze=False, height_ratios=[len(part) + 1.2 for part in parts])[:, 0]
    for axes, part in zip(drawn, parts, strict=True):
        _panel(axes, part, view)
    if shown[0]:
        _above(drawn[0], shown[0])
    if shown[1]:
        _close_up(drawn[-1], shown[1])
    heading(fig, f"What matters: {view.title}")
    said = sentences(view)
    return Chart(
        name=slug("effects", view.title),
        title=f"What matters: {view.title}",
        description=f"Ratio of times per value of each axis. {'. '.join(said)}.",
        figure=fig,
        columns=HEAD,
        rows=[columns(view, one) for one in view.rows],
        note=_note(view, rows, len(measured)),
        group=view.title,
        origins=("derived",),
    )


def _fewer(rest: Sequence[Effect], most: int) -> list[Effect]:
    """The largest of those that cannot be told, in the order of their ratios, and the copies last."""
    equal = [one for one in rest if one.arm.kind == "copy"]
    values = [one for one in rest if one.arm.kind != "copy"][: max(most - len(equal), 0)]
    return [*sorted(values, key=lambda one: one.ratio or 1.0), *equal]


def _panel(axes: Axes, part: Sequence[Effect], view: View) -> None:
    style(axes)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = view.band
    if low < high:
        axes.axvspan(low, high, color=GRID, linewidth=0, zorder=0.6)
    axes.axvline(1, color=MUTED, linewidth=1.0, zorder=1)
    axes.set_ylim(len(part) - 0.4, -0.6)
    names = [_name(one) for one in part]
    axes.set_yticks(range(len(part)), names)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for place, (one, name) in enumerate(zip(part, axes.get_yticklabels(), strict=True)):
        name.set_color(INK if one.told_apart else MUTED)
        name.set_fontweight("bold" if one.told_apart else "normal")
        name.set_fontstyle("italic" if one.arm.kind == "copy" else "normal")
        _row(axes, place, one)


def _row(axes: Axes, place: int, one: Effect) -> None:
    assert one.ratio is not None
    assert one.interval is not None
    ends, line = [one.interval.low, one.interval.high], [place, place]
    if one.told_apart:
        colour = SERIES[0] if one.verdict == FASTER else SERIES[1]
        axes.plot([1.0, one.ratio], line, color=colour, linewidth=8, solid_capstyle="butt", zorder=2)
        axes.plot(ends, line, color=INK, linewidth=1.3, solid_capstyle="butt", zorder=3)
        axes.plot(ends, line, color=INK, marker="|", markersize=6, linestyle="none", zorder=3)
        _beside(axes, place, f"{ratio(one.ratio)} ×", 8, bold=True)
        _beside(axes, place, interval(one), 62)
        return
    marker, size = ("D", 4.2) if one.arm.kind == "copy" else ("o", 4.8)
    axes.plot(ends, line, color=MUTED, linewidth=1.1, solid_capstyle="butt", zorder=2)
    axes.plot(one.ratio, place, marker=marker, markersize=size, color=MUTED, markerfacecolor=SURFACE, zorder=3)
    _beside(axes, place, percent(one.hidden or 0.0), 8)


def _beside(axes: Axes, place: int, said: str, points: int, *, bold: bool = False) -> None:
    """Write figures to the right of the axes, so many points from it."""
    axes.annotate(
        said,
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(points, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=9,
        color=INK if bold else MUTED,
        fontweight="bold" if bold else "normal",
    )


def _above(axes: Axes, part: Sequence[Effect]) -> None:
    """The scale of what matters: the whole range, with 1 on it."""
    ends = [end for one in part if one.interval is not None for end in (one.interval.low, one.interval.high)]
    low, high = min(*ends, 1.0), max(*ends, 1.0)
    room = (high / low) ** 0.06
    axes.set_xlim(low / room, high * room)
    low, high = axes.get_xlim()
    narrow = high / low < NARROW
    _ticks(axes, _steps(low, high) if narrow else _sparse([tick for tick in TICKS if low <= tick <= high], low, high))
    _headings(axes, "Told apart from the default", "time and its interval")
    pairs = "; two together: × what each alone would give" if any(one.arm.kind == "pair" for one in part) else ""
    axes.set_xlabel(f"× the time of the default (logarithmic): left is faster{pairs}", loc="left", fontsize=9)


def _close_up(axes: Axes, part: Sequence[Effect]) -> None:
    """The scale of what cannot be told: alike on both sides of 1."""
    bounds = [max(one.hidden or 0.0, abs((one.ratio or 1.0) - 1)) for one in part]
    widest = min(max(bounds), WIDE * float(np.median(bounds))) or 0.001
    axes.set_xlim(1 / (1 + widest * 1.08), 1 + widest * 1.08)
    low, high = axes.get_xlim()
    for place, one in enumerate(part):
        assert one.interval is not None
        for beyond, edge, marker in ((one.interval.low < low, low, 4), (one.interval.high > high, high, 5)):
            if beyond:
                axes.plot(edge, place, marker=marker, markersize=5, color=MUTED, clip_on=False, zorder=4)
    _ticks(axes, _sparse(_steps(low, high), low, high, most=7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{(value - 1) * 100:+.3g} %" if value != 1 else "0"))
    _headings(axes, "Cannot be told from nothing, closer up", "could hide")
    axes.set_xlabel("difference to the default: left is faster", loc="left", fontsize=9)


def _headings(axes: Axes, left: str, right: str) -> None:
    axes.set_title(left, fontsize=9.5, fontweight="bold", loc="left", color=INK, pad=6)
    axes.annotate(
        right,
        (1.0, 1.0),
        xycoords="axes fraction",
        xytext=(8, 6),
        textcoords="offset points",
        va="baseline",
        fontsize=8.5,
        color=MUTED,
    )


def _ticks(axes: Axes, places: Sequence[float]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _steps(low: float, high: float) -> list[float]:
    """Ticks at equal steps from 1 to both sides."""
    step = next((one for one in STEPS if (high - low) / one <= TICKS_MOST), 1.0)
    first, last = int(np.ceil((low - 1) / step)), int(np.floor((high - 1) / step))
    return [1 + step * number for number in range(first, last + 1)]


def _sparse(ticks: Sequence[float], low: float, high: float, most: int = 14) -> list[float]:
    """Ticks whose names do not meet, where so many fit beside each other; 1 is always one of them."""
    least = np.log(high / low) / most
    kept = [1.0]
    for tick in sorted(ticks, key=lambda tick: abs(np.log(tick))):
        if all(abs(np.log(tick / other)) >= least for other in kept):
            kept.append(tick)
    return sorted(kept)


def _name(one: Effect) -> str:
    name = "copy of the default" if one.arm.kind == "copy" else label(one)
    return name if len(name) <= NAME_MOST else f"{name[: NAME_MOST - 1]}…"


def _note(view: View, shown: int, measured: int) -> str:
    text = "Intervals hold together: in 19 sweeps of 20 all of them are right. "
    if view.copies:
        text += "The grey band is how far cells came out apart that are equal. "
    text += "“Could hide” is the largest effect that the interval allows."
    return text + (f" Of {measured} effects the {shown} largest." if shown < measured else "")
