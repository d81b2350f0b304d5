"""What a gate found, as a section of the page; no section for a run that is none, or has not come to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import gate as gates
from reports.page.html import join, tag
from reports.page.parts import Section, figures, origin
from reports.page.tables import Column, table
from results.gate import of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.charts.chart import Chart
    from reports.source import Source


def gate_section(source: Source, charts: Sequence[Chart]) -> list[Section]:
    """The verdict, the chart, every comparison in words and as a table."""
    outcome = of_run(source.facts, source.cells, source.records)
    if outcome is None:
        return []
    lines = list(gates.sentences(outcome))
    shown = [list(gates.row(one)) for one in outcome.verdicts]
    body = [
        tag("p", tag("strong", lines[0]), " ", origin("measured")),
        tag("ul", *(tag("li", line.strip()) for line in lines[1:])),
        figures(charts),
        table([Column(name) for name in gates.COLUMNS], shown, "Every comparison"),
    ]
    return [Section("gate", "The gate's verdict", join(body), "Gate")]
