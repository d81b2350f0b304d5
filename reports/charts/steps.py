"""A ladder step by step: measured here beside published, on one logarithmic axis, with what each step saved."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from reports import ladder_steps, words
from reports.charts.canvas import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    SERIES,
    beside,
    figure,
    heading,
    log_scale,
    origin_style,
    style,
)
from reports.charts.chart import Chart, slug
from results.ladder import gain_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from results.ladder import Ladder, Rung

LABEL_MOST = 24
# Room right of the longest bar for what it says, as a power of the range.
ROOM = 0.42
SIDES = {"measured": SERIES[0], "published": MUTED}
HEIGHT = 0.56


def steps(ladder: Ladder | None, host: Mapping[str, Any]) -> Chart | None:
    """Bars of every step here, and of the published ones beside them; None without a step that has a time.

    Args:
        ladder: of the run; None where it has none.
        host: facts about the machine.
    """
    if ladder is None or not any(rung.measured for rung in ladder.rungs):
        return None
    sides = ["measured", *(["published"] if ladder.series is not None else [])]
    estimates = [rung for rung in ladder.rungs if rung.estimate is not None]
    rows = len(ladder.rungs) + len(estimates)
    fig = figure(9.6 if len(sides) > 1 else 7.0, 1.75 + 0.52 * rows)
    panels = fig.subplots(1, len(sides), sharey=True, squeeze=False)[0]
    low, most = _ends(ladder, sides)
    for side, axes in zip(sides, panels, strict=True):
        style(axes)
        log_scale(axes.xaxis)
        axes.set_xlim(low, most * (most / low) ** ROOM)
        for place, rung in enumerate(ladder.rungs):
            _step(axes, ladder, place, rung, side, low)
        if side == "published":
            for place, rung in enumerate(estimates, len(ladder.rungs)):
                _estimate(axes, ladder, place, rung, low)
        axes.set_title(_above(ladder, side, host), fontsize=9, fontweight="normal", color=MUTED, loc="left")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
        axes.set_ylim(rows - 0.4, -0.6)
    titles = [rung.title for rung in ladder.rungs]
    titles += [rung.estimate.label for rung in estimates if rung.estimate is not None]
    panels[0].set_yticks(range(rows), [textwrap.fill(one, LABEL_MOST, break_long_words=False) for one in titles])
    unit = "milliseconds per call" if ladder.audio_s is None else "RTF, time over audio"
    said = f"{unit}, logarithmic; shorter is better. Pale: what a step saved; bright: the largest saving."
    fig.supxlabel(said, x=0.012, ha="left", fontsize=8.8, color=MUTED)
    name = ladder_steps.title(ladder)
    heading(fig, f"{name}: {_headline(ladder, sides)}")
    return Chart(
        name=slug("steps", ladder.model, ladder.signal),
        title=f"{name}, step by step",
        description=f"{name}. {'. '.join(ladder_steps.sentences(ladder))}.",
        figure=fig,
        columns=ladder_steps.COLUMNS,
        rows=[ladder_steps.row(ladder, rung) for rung in ladder.rungs],
        note="Filled: measured here. Hatched: published. Dashed: an estimate, nobody measured it. ÷: so many times "
        "less time than the step before.",
        group=name,
        origins=(*sides, *(["derived"] if estimates and len(sides) > 1 else [])),
    )


def _headline(ladder: Ladder, sides: list[str]) -> str:
    """Which step gained most, here and there, in a few words."""
    told = []
    for side in sides:
        rung = ladder.largest(side)
        found = None if rung is None else gain_of(rung, side)
        if rung is not None and found is not None:
            where = "here" if side == "measured" else "published"
            told.append(f"{where} {rung.title.removeprefix('… ')} {ladder_steps.gain(found, brief=True)}")
    return f"gained most: {'; '.join(told)}" if told else "no step gained anything"


def _above(ladder: Ladder, side: str, host: Mapping[str, Any]) -> str:
    """What a panel shows, and on which machine."""
    if side == "measured":
        return f"here, measured\n{textwrap.shorten(ladder_steps.machine(ladder, host), 52, placeholder='…')}"
    return f"published\n{ladder_steps.published_machine(ladder)}"


def _value(ladder: Ladder, rung: Rung, side: str) -> float | None:
    """Where a bar ends: RTF, or milliseconds where the audio is not known."""
    if side == "measured":
        return None if rung.measured is None else _on_axis(ladder, rung.measured.time_s)
    return None if rung.published is None else _on_axis(ladder, rung.published.step.seconds)


def _on_axis(ladder: Ladder, seconds: float) -> float:
    rtf = ladder.rtf(seconds)
    return seconds * 1e3 if rtf is None else rtf


def _ends(ladder: Ladder, sides: list[str]) -> tuple[float, float]:
    values = [value for side in sides for rung in ladder.rungs if (value := _value(ladder, rung, side)) is not None]
    if len(sides) > 1:
        values += [_on_axis(ladder, rung.estimate.seconds) for rung in ladder.rungs if rung.estimate is not None]
    return min(values) / 1.7, max(values)


def _step(axes: Axes, ladder: Ladder, place: int, rung: Rung, side: str, low: float) -> None:
    value = _value(ladder, rung, side)
    if value is None:
        why = ladder_steps.short(rung.why_not) if side == "measured" else "not published"
        text = textwrap.fill(why, 44, max_lines=2, placeholder="…")
        axes.text(low * 1.03, place, text, va="center", color=MUTED, fontsize=8.5, fontstyle="italic")
        return
    largest = ladder.largest(side) is rung
    found = gain_of(rung, side)
    end = max(value, value if found is None else value * found.ratio)
    if end > value:
        looks: dict[str, Any] = {"facecolor": SERIES[5] if largest else GRID, "edgecolor": ACCENT if largest else MUTED}
        axes.barh(place, end - value, left=value, height=HEIGHT, zorder=1.5, linewidth=0.9, **looks)
    axes.barh(place, value - low, left=low, height=HEIGHT, zorder=2, **origin_style(side, SIDES[side]))
    spread = _spread(ladder, rung, side)
    if spread is not None:
        axes.plot(spread, [place, place], color=INK, linewidth=1.4, zorder=4, solid_capstyle="butt")
        end = max(end, spread[1])
    beside(axes, _said(ladder, rung, side), end, place, bold=largest)


def _spread(ladder: Ladder, rung: Rung, side: str) -> tuple[float, float] | None:
    """An interval of what was measured, or what rounding leaves open."""
    if side == "published":
        if rung.published is None:
            return None
        return _on_axis(ladder, rung.published.step.low_s), _on_axis(ladder, rung.published.step.high_s)
    ends = rung.measured.interval_s if rung.measured is not None else None
    return None if ends is None else (_on_axis(ladder, ends.low), _on_axis(ladder, ends.high))


def _said(ladder: Ladder, rung: Rung, side: str) -> str:
    """A bar's figures: a published one with the digits that were printed, and no more."""
    value, found = _value(ladder, rung, side), gain_of(rung, side)
    assert value is not None
    shown = words.digits(value)
    if side == "published" and rung.published is not None and ladder.audio_s is not None:
        shown = f"{rung.published.step.rtf:g}"
    if found is None:
        return shown
    if found.same:
        return f"{shown} · the same"
    several = ", several steps" if side == "measured" and ladder_steps.since(ladder, rung) else ""
    unsure = "" if found.sure else ", unsure"
    return f"{shown} · {ladder_steps.gain(found, brief=True)}{several}{unsure}"


def _estimate(axes: Axes, ladder: Ladder, place: int, rung: Rung, low: float) -> None:
    assert rung.estimate is not None
    value = _on_axis(ladder, rung.estimate.seconds)
    axes.barh(place, value - low, left=low, height=HEIGHT, zorder=2, **origin_style("derived", MUTED))
    beside(axes, f"{rung.estimate.rtf:g} · an estimate", value, place, bold=False)
