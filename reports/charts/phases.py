"""Cold and warm: what passes before the first answer, beside an answer when everything is warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import words
from reports.charts.canvas import INK, SERIES, SURFACE, figure, heading, legend, style
from reports.charts.chart import Chart, label, slug
from reports.source import best_per_runtime
from results.summary import PHASES

if TYPE_CHECKING:
    from reports.table import Race
    from results.summary import CellSummary

NAMES = {"start": "process", "import": "import", "load": "load", "first_call": "first call"}
COLOURS = (SERIES[3], SERIES[5], SERIES[0], SERIES[4])


def phases(race: Race, cells: list[CellSummary]) -> Chart | None:
    """Stacked bars of the phases of a cold start; None where no phases are known."""
    best = [cell for cell in best_per_runtime(cells) if cell.cold_ms is not None]
    if not best:
        return None
    fig = figure(8.2, 1.45 + 0.42 * len(best))
    axes = style(fig.add_subplot())
    most = max(cell.cold_ms or 0.0 for cell in best)
    for place, cell in enumerate(best):
        left = 0.0
        for colour, phase in zip(COLOURS, PHASES, strict=True):
            width = cell.phases_ms[phase]
            axes.barh(
                place,
                width,
                left=left,
                height=0.54,
                facecolor=colour,
                edgecolor=SURFACE,
                linewidth=1.2,
                label=NAMES[phase] if not place else None,
                zorder=2,
            )
            left += width
        text = f"{words.milliseconds(cell.cold_ms)}, then {words.milliseconds(cell.p50_ms)}"
        axes.annotate(
            text, (left, place), xytext=(6, 0), textcoords="offset points", va="center", color=INK, fontsize=9.5
        )
    axes.set_xlim(0, most * 1.36)
    axes.set_yticks(range(len(best)), [label(cell) for cell in best])
    axes.set_ylim(len(best) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("milliseconds from starting a process to its first answer", loc="left")
    legend(axes, 4)
    rows = [_row(cell) for cell in best]
    name = words.race(race)
    told = "; ".join(f"{row[0]}: {row[5]} cold, {row[6]} warm" for row in rows)
    title = f"Cold start: {name}"
    heading(fig, title)
    return Chart(
        name=slug("phases", *race),
        title=title,
        description=f"Time from starting a process to its first answer, for {name}. {told}.",
        figure=fig,
        columns=("cell", *NAMES.values(), "cold in all", "warm p50", "compiled ahead"),
        rows=rows,
        note="Medians over processes, measured, in the order of the legend. Files were in the page "
        "cache; compiling ahead is not in the bars.",
        group=name,
    )


def _row(cell: CellSummary) -> tuple[str, ...]:
    built = words.NOTHING if cell.build_s is None else words.milliseconds(cell.build_s * 1e3)
    each = [words.milliseconds(cell.phases_ms[phase]) for phase in PHASES]
    return label(cell), *each, words.milliseconds(cell.cold_ms), words.milliseconds(cell.p50_ms), built
