"""What a gate found: every change with its interval, over the band of changes too small for a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports import gate as gates
from reports.charts.canvas import GRID, INK, MUTED, SERIES, WARN, figure, heading, style
from reports.charts.chart import Chart
from results.gate import IMPROVED, INCONCLUSIVE, PASS, QUIET, REGRESSED, WRONG
from results.gate_spec import BASELINE, CANDIDATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from results.gate import Gated, Verdict

ROW_IN, MARGIN_IN = 0.34, 1.25
COLOURS = {PASS: SERIES[0], IMPROVED: SERIES[0], REGRESSED: SERIES[1], WRONG: SERIES[1], INCONCLUSIVE: MUTED}
NAME_MOST = 52


def gate_chart(outcome: Gated) -> Chart | None:
    """Changes in percent; None where nothing was compared."""
    rows = [one for one in outcome.verdicts if one.seen is not None]
    if not rows:
        return None
    fig = figure(8.6, MARGIN_IN + ROW_IN * len(outcome.verdicts))
    axes = fig.subplots()
    style(axes)
    axes.axvline(0, color=MUTED, linewidth=1.0, zorder=1)
    axes.set_ylim(len(outcome.verdicts) - 0.4, -0.6)
    for place, one in enumerate(outcome.verdicts):
        _row(axes, place, one)
    axes.set_yticks(range(len(outcome.verdicts)), [_name(one) for one in outcome.verdicts])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.3g} %" if value else "0"))
    axes.set_xlabel("change of the candidate beside its baseline: left is better", loc="left", fontsize=9)
    gate = outcome.gate
    heading(fig, f"{outcome.verdict}: {gate.says[CANDIDATE]} beside {gate.says[BASELINE]}")
    return Chart(
        name="gate",
        title=f"Gate: {gate.says[CANDIDATE]} beside {gate.says[BASELINE]}",
        description=". ".join(gates.line(one) for one in outcome.verdicts),
        figure=fig,
        columns=gates.COLUMNS,
        rows=[gates.row(one) for one in outcome.verdicts],
        note="The grey band is what is too small for a verdict; beyond doubt is what keeps clear of 0. The thin line "
        "below is the same with contended calls left in.",
        origins=("derived",),
    )


def _row(axes: Axes, place: int, one: Verdict) -> None:
    band = one.min_effect * 100
    axes.fill_between([-band, band], place - 0.42, place + 0.42, color=GRID, linewidth=0, zorder=0.6)
    colour = WARN if one.verdict == INCONCLUSIVE else COLOURS[one.verdict]
    if one.seen is not None:
        if one.seen.low is not None and one.seen.high is not None:
            axes.plot(
                [one.seen.low * 100, one.seen.high * 100],
                [place, place],
                color=colour,
                linewidth=5,
                solid_capstyle="butt",
                zorder=2,
            )
        axes.plot(one.seen.estimate * 100, place, marker="o", markersize=5.5, color=INK, zorder=4)
    if one.view == QUIET and one.other is not None and one.other.low is not None and one.other.high is not None:
        below = place + 0.26
        axes.plot([one.other.low * 100, one.other.high * 100], [below, below], color=MUTED, linewidth=1.1, zorder=2)
    said = one.verdict if one.seen is None else f"{one.verdict}  {gates.change(one.objective, one.seen.estimate)}"
    axes.annotate(
        said,
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=9,
        color=INK,
        fontweight="bold" if one.verdict in (REGRESSED, WRONG) else "normal",
    )


def _name(one: Verdict) -> str:
    name = f"{one.pair.title} {one.objective}"
    return name if len(name) <= NAME_MOST else f"{name[: NAME_MOST - 1]}…"
