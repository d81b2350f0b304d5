"""A ladder beside the published one, as a section of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import ladder_steps, words
from reports.page.html import join, tag
from reports.page.parts import Section, figures, origin
from reports.page.tables import Column, Value, table
from results.ladder import of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.charts.chart import Chart
    from reports.source import Source
    from results.ladder import Gain, Ladder, Rung

COLUMNS = (
    Column("step"),
    Column("here", number=True, hint="p50, and RTF over the audio that the published ones are over"),
    Column("published", number=True),
    Column("gain here", number=True, hint="how many times less time than the step before; 95 % interval"),
    Column("published", number=True, hint="the same, with what rounding leaves open"),
    Column("in all here", number=True, hint="how many times less time than the first step; 95 % interval"),
    Column("published", number=True, hint="the same, with what rounding leaves open"),
    Column("cell", hint="which stood for the step, and how many it was chosen from"),
    Column("line", number=True, hint="of the published source, which is named below"),
)


def steps_section(source: Source, charts: Sequence[Chart]) -> list[Section]:
    """One section, or none where the plan has no ladder."""
    ladder = of_run(source.facts, source.cells)
    if ladder is None:
        return []
    said = tag("ul", *(tag("li", line) for line in ladder_steps.sentences(ladder)))
    about = tag("p", "Times here are ", origin("measured"), "; beside them stands what is ", origin("published"), ".")
    shown = table(COLUMNS, [_row(ladder, rung) for rung in ladder.rungs], ladder_steps.title(ladder))
    known = tag("ul", *(tag("li", note) for note in ladder_steps.notes(ladder, source.host)))
    return [Section("steps", "Step by step", join([about, said, figures(charts), shown, known]), "Steps")]


def _row(ladder: Ladder, rung: Rung) -> list[object]:
    """The same as everywhere, with what each figure sorts by."""
    here, there = rung.measured, rung.published
    keys: list[float | None] = [None] * 6
    if here is not None:
        keys[::2] = here.time_s, _ratio(here.gain), _ratio(here.whole)
    if there is not None:
        keys[1::2] = there.step.seconds, _ratio(there.gain), _ratio(there.whole)
    first, *shown, cell, line = ladder_steps.row(ladder, rung)
    if here is None:
        # A sentence would push the figures apart that belong beside each other.
        shown[0], cell = words.NOTHING, rung.why_not
    return [first, *(Value(*pair) for pair in zip(shown, keys, strict=True)), cell, line]


def _ratio(found: Gain | None) -> float | None:
    return None if found is None else found.ratio
