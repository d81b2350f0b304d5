"""What several sections of the page are made of: sections, origins, figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.charts.canvas import inline
from reports.page.html import Html, join, tag
from reports.page.tables import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.charts.chart import Chart

# So many races are open; those after them are one click away.
OPEN_MOST = 3


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        name: its anchor.
        title: its heading.
        body: what stands in it.
        short: its name in the navigation; the title where empty.
    """

    name: str
    title: str
    body: Html
    short: str = ""

    def html(self) -> Html:
        """The element."""
        return tag("section", tag("h2", self.title), self.body, id=self.name)


def origin(kind: str, detail: str | None = None) -> Html:
    """Where a figure comes from: a small label, the same everywhere.

    Args:
        kind: ``measured``, ``published`` or ``derived``.
        detail: host and run, source and line, or formula; shown when pointed at.
    """
    return tag("span", kind, class_=f"origin {kind}", title=detail)


def figures(charts: Sequence[Chart]) -> Html:
    """Charts below each other, each with its figures in a table that opens; many races are folded."""
    made = []
    for number, chart in enumerate(charts):
        several = len(charts) > 1
        drawn = figure(chart)
        if several and number >= OPEN_MOST:
            made.append(tag("details", tag("summary", chart.group), drawn, class_="race"))
        else:
            made.append(drawn)
    return join(made)


def figure(chart: Chart) -> Html:
    """One chart with its note and its figures as text."""
    drawn = Html(inline(chart.figure, chart.title, chart.description, chart.drawn))
    numbers = tag("details", tag("summary", "the figures as a table"), plain(chart.columns, chart.rows, chart.title))
    return tag(
        "figure",
        tag("div", drawn, class_="chart"),
        tag("figcaption", join(map(origin, chart.origins), " "), " ", chart.note),
        numbers,
    )


def listed(rows: Sequence[tuple[str, object]]) -> Html:
    """Names and what they stand for; what is empty is left out."""
    pairs = [join([tag("dt", name), tag("dd", value)]) for name, value in rows if value not in (None, "")]
    return tag("dl", *pairs, class_="facts")
