"""All charts of a run, by the section of the page they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.charts.chart import Chart, distinct, slug
from reports.charts.effects import effects_chart
from reports.charts.floor import description, floor_chart
from reports.charts.gate import gate_chart
from reports.charts.ladder import ladder
from reports.charts.layouts import layouts
from reports.charts.phases import phases
from reports.charts.steps import steps
from reports.charts.tails import tails
from reports.charts.timeline import timeline
from reports.charts.tradeoff import tradeoff
from reports.effects import views as sweep_views
from results.gate import of_run as of_gate
from results.ladder import of_run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reports.floor import FloorView
    from reports.source import Source

SECTIONS = ("gate", "steps", "effects", "ladder", "floor", "tails", "samples", "phases", "layouts", "quality")


def charts(source: Source, views: Iterable[FloorView]) -> dict[str, list[Chart]]:
    """Every chart that the run has figures for, by section; no two have one name.

    Args:
        source: the run.
        views: its floors.
    """
    drawn: dict[str, list[Chart | None]] = {section: [] for section in SECTIONS}
    drawn["floor"] = [floor(view) for view in views]
    drawn["effects"] = [effects_chart(view) for view in sweep_views(source.facts, source.cells)]
    if (gated := of_gate(source.facts, source.cells, source.records)) is not None:
        drawn["gate"] = [gate_chart(gated)]
    drawn["steps"] = [steps(of_run(source.facts, source.cells), source.host)]
    for race, cells in source.races.items():
        drawn["ladder"].append(ladder(race, cells))
        drawn["tails"].append(tails(source, race, cells))
        drawn["samples"].append(timeline(source, race, cells))
        drawn["phases"].append(phases(race, cells))
        drawn["quality"].append(tradeoff(race, cells))
    every = [cell for cells in source.races.values() for cell in cells]
    for model, kind in dict.fromkeys((str(cell.spec["model"]), cell.race[1]) for cell in every):
        drawn["layouts"].append(layouts(model, kind, every))
    shown = [(section, chart) for section, found in drawn.items() for chart in found if chart is not None]
    named = distinct([chart for _, chart in shown])
    made: dict[str, list[Chart]] = {section: [] for section in SECTIONS}
    for (section, _), chart in zip(shown, named, strict=True):
        made[section].append(chart)
    return made


def floor(view: FloorView) -> Chart:
    """The floor chart of one race, with its table."""
    bars = [
        (bar.label, f"{bar.seconds * 1e3:.4g} ms", f"{bar.gap:.3g} ×" if bar.gap else "–", bar.origin, bar.note)
        for bar in view.bars
    ]
    lines = [
        (
            f"{line.label}, {line.precision}",
            f"{line.seconds * 1e3:.4g} ms",
            "",
            f"derived from {line.basis}",
            line.formula,
        )
        for line in view.table or view.lines
    ]
    return Chart(
        name=slug("floor", view.title),
        title=f"Floor: {view.title}",
        description=description(view),
        figure=floor_chart(view),
        columns=("", "time", "beside the floor", "origin", "how"),
        rows=[*bars, *lines],
        note=" ".join(view.notes),
        group=view.title,
        origins=tuple(dict.fromkeys([*(bar.origin for bar in view.bars), "derived"])),
    )
