"""What a sweep found, as a section of the page; no section for a run that was none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.effects import HEAD, HINTS, View, columns, default_of, sentences, views
from reports.page.html import Html, join, tag
from reports.page.parts import Section, figure, origin
from reports.page.tables import Column, Value, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.charts.chart import Chart
    from reports.source import Source
    from results.effects import Effect

COLUMNS = tuple(
    Column(name, number=name in {"ratio", "rounds"}, filter=name == "axis", hint=HINTS.get(name)) for name in HEAD
)


def effects_section(source: Source, charts: Sequence[Chart]) -> list[Section]:
    """Every sweep: what matters drawn, then in words, then as a table.

    Args:
        source: the run.
        charts: of its sweeps.
    """
    found = views(source.facts, source.cells)
    if not found:
        return []
    # A chart for each sweep that measured anything, in the same order.
    drawn = iter(charts)
    said = tag(
        "p",
        "Each value beside the default, all others as they are. Ratios of medians of fresh processes, compared within "
        "rounds; their intervals allow for how many there are. ",
        origin("derived", "trimmed means of log ratios; see docs/sweeps.md"),
    )
    parts = [said]
    for view in found:
        parts += _sweep(view, next(drawn, None) if any(one.ratio is not None for one in view.rows) else None)
    return [Section("effects", "What matters", join(parts), "Sweep")]


def _sweep(view: View, chart: Chart | None) -> list[Html]:
    rows = [_row(view, one) for one in view.rows]
    rows += [
        [axis, value, default_of(view, axis), "", "", f"not tried: {why}", ""]
        for axis, value, why in view.sweep.left_out
    ]
    told = [one.told_apart for one in view.rows]
    shown = table(COLUMNS, rows, f"Every value: {view.title}", filters=True, marked=told)
    return [
        tag("h3", view.title),
        *([figure(chart)] if chart is not None else []),
        tag("ul", *(tag("li", line) for line in sentences(view))),
        tag("details", tag("summary", f"Every value: {view.title}"), shown, class_="race"),
    ]


def _row(view: View, one: Effect) -> list[object]:
    values: list[object] = list(columns(view, one))
    values[HEAD.index("ratio")] = Value(values[HEAD.index("ratio")], one.ratio)
    values[HEAD.index("rounds")] = Value(values[HEAD.index("rounds")], one.rounds)
    return values
