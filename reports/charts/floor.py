"""The floor chart: times as bars, and under them the lines that the hardware draws."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from reports import words
from reports.charts.canvas import ACCENT, GRID, INK, MUTED, RAISED, SERIES, SURFACE, beside, figure, origin_style, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reports.floor import Bar, FloorView, Line

WIDTH_IN = 8.6
# Colour and dashes of the lines: the floor is solid, whatever is above it is not.
LOOKS = {
    "floor": (ACCENT, "-", 2.2),
    "ideal": (SERIES[2], (0, (6, 2)), 1.6),
    "none": (MUTED, (0, (2, 2)), 1.4),
    "launch": (SERIES[3], (0, (6, 2, 1, 2)), 1.4),
    "graph": (SERIES[4], (0, (3, 1, 1, 1)), 1.4),
}
# Starting something takes no arithmetic.
LAUNCHES = ("launch", "graph")
# Characters of a bar's label in one line.
LABEL_MOST = 34
ROOM_FOR_TEXT = 7.0
# Marks within a decade: as many as find room beside each other.
STEPS, TICKS_MOST = ((1, 2, 5), (1, 3), (1,)), 8


def floor_chart(view: FloorView) -> Figure:
    """Bars of times on a logarithmic axis, over vertical lines for the bounds, with gaps as factors.

    Args:
        view: what to draw; needs a line at least.
    """
    rows = len(view.bars)
    labels = [textwrap.fill(bar.label, LABEL_MOST, break_long_words=False, break_on_hyphens=False) for bar in view.bars]
    each_in = 0.46 if any("\n" in label for label in labels) else 0.36
    fig = figure(WIDTH_IN, 1.75 + each_in * max(rows, 1))
    axes = style(fig.add_subplot(), grid="")
    own = [bar.floor_s for bar in view.bars if bar.floor_s]
    least = min([line.seconds for line in view.lines] + [bar.seconds for bar in view.bars] + own)
    most = max([bar.seconds for bar in view.bars] or [line.seconds for line in view.lines])
    low, high = least / 1.8, most * ROOM_FOR_TEXT
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(max(rows, 1) - 0.4, -0.6)
    _lines(axes, view.lines, low)
    for place, bar in enumerate(view.bars):
        _bar(axes, place, bar, low, view)
    axes.set_yticks(range(rows), labels)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    ticks = _ticks(low, most * 1.5)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.6)
    unit = "p50 per call" if view.audio_s is None else f"p50 per {words.milliseconds(view.audio_s * 1e3)} of audio"
    fig.supxlabel(f"{unit}, logarithmic. {_legend(view)}", x=0.012, ha="left", fontsize=8.8, color=MUTED)
    best = view.best
    gap = ""
    if best is not None and best.gap is not None:
        gap = " — BELOW the floor: something is wrong"
        if best.gap >= 1:
            gap = f" — the best is {words.digits(best.gap)} × the floor"
    fig.suptitle(view.title + gap, x=0.012, ha="left", fontsize=11.5, fontweight="bold", color=INK)
    return fig


def description(view: FloorView) -> str:
    """The chart in words."""
    bars = "; ".join(f"{bar.label} {words.milliseconds(bar.seconds * 1e3)}, {bar.origin}" for bar in view.bars)
    lines = "; ".join(f"{line.label} {words.milliseconds(line.seconds * 1e3)}" for line in view.lines)
    return f"{view.answer()}. Bars: {bars}. Lines: {lines}."


def _bar(axes: Axes, place: int, bar: Bar, low: float, view: FloorView) -> None:
    best = bar is view.best
    colour = SERIES[0] if best else MUTED
    axes.barh(
        place,
        bar.seconds - low,
        left=low,
        height=0.56,
        zorder=2,
        **origin_style(_look(bar), colour),
    )
    if bar.interval_s is not None:
        axes.plot(bar.interval_s, [place, place], color=INK, linewidth=1.4, zorder=4)
    headline = next((line.seconds for line in view.lines if line.kind == "floor"), None)
    if bar.floor_s is not None and (headline is None or not math.isclose(bar.floor_s, headline, rel_tol=0.02)):
        # This one computes at another precision: its own floor, as a tick across its bar.
        axes.plot([bar.floor_s] * 2, [place - 0.4, place + 0.4], color=ACCENT, linewidth=2.2, zorder=5)
    text = words.milliseconds(bar.seconds * 1e3)
    if bar.gap is not None:
        text += f" · {words.digits(bar.gap)} × floor"
        if bar.precision and headline is not None and not math.isclose(bar.floor_s or 0, headline, rel_tol=0.02):
            text += f" in {bar.precision}"
    end = max(bar.seconds, bar.interval_s[1] if bar.interval_s else 0)
    beside(axes, text, end, place, bold=best)


def _look(bar: Bar) -> str:
    """The looks of a bar: what was worked out from a published ratio looks published, an estimate does not."""
    if bar.estimate:
        return "derived"
    return "measured" if bar.origin == "measured" else "published"


def _lines(axes: Axes, lines: tuple[Line, ...], low: float) -> None:
    floor = next((line for line in lines if line.kind == "floor"), None)
    if floor is not None:
        axes.axvspan(low, floor.seconds, facecolor=RAISED, zorder=0)
    ordered = sorted(lines, key=lambda line: line.seconds)
    for height, line in enumerate(ordered):
        colour, dashes, width = LOOKS[line.kind]
        # Edged, so that it can be seen on top of a bar as well.
        axes.axvline(line.seconds, color=SURFACE, linewidth=width + 1.6, zorder=3)
        axes.axvline(line.seconds, color=colour, linestyle=dashes, linewidth=width, zorder=3.5)
        # One above the other, so that lines close together can still be read; each label starts at its line.
        axes.annotate(
            f"{line.label}{'' if line.kind in LAUNCHES else f', {line.precision}'}: "
            f"{words.milliseconds(line.seconds * 1e3)}",
            (line.seconds, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 4 + 12 * (len(ordered) - 1 - height)),
            textcoords="offset points",
            color=colour,
            fontsize=8.8,
            fontweight="bold" if line.kind == "floor" else "normal",
            annotation_clip=False,
        )
        axes.annotate(
            "",
            (line.seconds, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 14 + 12 * (len(ordered) - 1 - height)),
            textcoords="offset points",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )


def _legend(view: FloorView) -> str:
    """Which looks mean what, named only where they occur."""
    looks = {
        "filled: measured": any(bar.origin == "measured" for bar in view.bars),
        "hatched: published": any(_look(bar) == "published" for bar in view.bars),
        "outlined: an estimate": any(bar.estimate for bar in view.bars),
    }
    shown = [look for look, there in looks.items() if there]
    bases = sorted({line.basis for line in view.lines})
    looks_text = f"{', '.join(shown).capitalize()}. " if shown else ""
    return f"{looks_text}Lines: derived from {' and '.join(bases)}. Grey: out of reach."


def _tick(seconds: float) -> str:
    return f"{seconds * 1e3:g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:g} µs"


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in STEPS:
        ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(ticks) <= TICKS_MOST:
            break
    return ticks
