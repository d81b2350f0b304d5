"""The page of one run, from the answer to where figures come from."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from reports import forms, words
from reports.charts.palette import css
from reports.page.answer import answer_section
from reports.page.cells import cells_table, failed_section
from reports.page.effects import effects_section
from reports.page.facts import facts_section, fingerprint, origins_section
from reports.page.gate import gate_section
from reports.page.gpu import gpu_section
from reports.page.html import Html, join, tag, text
from reports.page.nodes import nodes_section
from reports.page.parts import Section, figures
from reports.page.search import search_section
from reports.page.steps import steps_section
from reports.page.tables import Column, Value, table
from reports.page.work import work_section

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reports.charts.chart import Chart
    from reports.source import Source


def page(source: Source, charts: Mapping[str, Sequence[Chart]]) -> str:
    """One run as one HTML document that needs nothing else.

    Args:
        source: the run.
        charts: by section, see :mod:`reports.charts.every`.
    """
    sections = [
        answer_section(source),
        *gate_section(source, charts["gate"]),
        *search_section(source),
        *steps_section(source, charts["steps"]),
        *effects_section(source, charts["effects"]),
        Section("ladder", "Ladder", join([figures(charts["ladder"]), tag("h3", "All cells"), cells_table(source)])),
        _floor_section(source, charts["floor"]),
        _charted("tails", "Distributions and tails", "Tails", charts["tails"], "No cell has two samples."),
        _charted("samples", "Samples in order", "Samples", charts["samples"], "Nothing was timed."),
        _charted("phases", "Cold and warm", "Cold start", charts["phases"], "No process said what its phases took."),
        _charted(
            "layouts",
            "Threads and layouts",
            "Layouts",
            charts["layouts"],
            "No signal was measured in two layouts, or on two numbers of threads.",
        ),
        _quality_section(source, charts["quality"]),
        *work_section(source),
        nodes_section(source),
        *gpu_section(source),
        failed_section(source),
        facts_section(source),
        origins_section(source),
    ]
    return document(source.title, subtitle(source), sections)


def subtitle(source: Source) -> Html:
    """Where and when."""
    where = source.host.get("cpu") or "unknown processor"
    created = str(source.facts.get("created") or "")[:10]
    versions = source.facts.get("rtfloor")
    peaks = source.floors.peaks.get("gpu")
    parts = [
        where,
        peaks.title if peaks is not None else "",
        f"host {fingerprint(source)}",
        created,
        f"run {source.name}",
        f"rtfloor {versions}" if versions else "",
    ]
    return tag("p", " · ".join(part for part in parts if part), class_="muted")


def document(title: str, about: Html, sections: Sequence[Section]) -> str:
    """Sections as a document of its own."""
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = _asset("style.css").replace("@light@", css(dark=False)).replace("@dark@", css(dark=True))
    links = tag(
        "ul", *(tag("li", tag("a", section.short or section.title, href=f"#{section.name}")) for section in sections)
    )
    parts = {
        "script_hash": f"sha256-{digest}",
        "title": text(f"{title} — rtfloor"),
        "style": style,
        "header": join([tag("h1", title), about]),
        "nav": links,
        "main": join(section.html() for section in sections),
        "footer": tag("p", "Made by rtfloor from the run file alone. RTF is time over audio: lower is better."),
        "script": script,
    }
    # Split first and put together once: what a run file says is never searched for placeholders.
    pieces = _asset("page.html").split("@")
    return "".join(parts.get(piece, piece) if number % 2 else piece for number, piece in enumerate(pieces))


def _charted(name: str, title: str, short: str, charts: Sequence[Chart], nothing: str) -> Section:
    return Section(name, title, figures(charts) if charts else tag("p", nothing), short)


def _floor_section(source: Source, charts: Sequence[Chart]) -> Section:
    said = tag(
        "p",
        "The floor is what nobody can beat on this hardware at this precision: the longer of arithmetic over peak "
        "arithmetic and compulsory bytes over bandwidth. It is derived; the bars are measured.",
    )
    if charts:
        return Section("floor", "Distance from the floor", join([said, figures(charts)]), "Floor")
    cells = [cell for cells in source.races.values() for cell in cells]
    reasons = sorted({source.floors.why_not(cell) for cell in cells if source.floors.of(cell) is None})
    why = f"Not known for this run: {'; '.join(reasons) or 'nothing was measured'}."
    return Section("floor", "Distance from the floor", join([said, tag("p", why)]), "Floor")


def _quality_section(source: Source, charts: Sequence[Chart]) -> Section:
    """Forms and precisions: the trade, then what each rewriting gains."""
    if not charts:
        return Section(
            "quality",
            "Quality against latency",
            tag("p", "One form at one precision was measured, so there is nothing to trade; add --form to the run."),
            "Quality",
        )
    parts = [figures(charts)]
    for race, rows in forms.form_rows(source.cells).items():
        said = tag("ul", *(tag("li", line.replace("`", "")) for line in forms.gains(rows)))
        columns = [
            Column("runtime", filter=True),
            Column("form", filter=True),
            Column("p50", number=True),
            Column("beside", hint="the form it is compared with"),
            Column("ratio", number=True, hint="of p50; below 1 is faster"),
            Column("95 % interval"),
            Column("signal to error", number=True, hint="beside the form raw"),
            Column("P(AI) moved by", hint="the detection chain's score, where there is one"),
            Column("status", filter=True),
        ]
        shown = [_form_row(row) for row in rows]
        caption = f"Forms beside each other: {words.race(race)}"
        body = join([said, table(columns, shown, caption, filters=True)])
        parts.append(tag("details", tag("summary", caption), body, class_="race"))
    return Section("quality", "Quality against latency", join(parts), "Quality")


def _form_row(row: forms.FormRow) -> list[object]:
    cell, interval = row.cell, row.interval
    return [
        words.runtime(cell),
        cell.spec["form"],
        Value(words.milliseconds(cell.p50_ms), cell.p50_ms),
        row.base,
        Value(words.NOTHING if row.ratio is None else f"{row.ratio:.3f}", row.ratio),
        words.NOTHING if interval is None else f"{interval.low:.3f} to {interval.high:.3f}",
        Value(forms.quality(cell), (cell.quality or {}).get("snr_db")),
        forms.shift(cell),
        cell.status,
    ]


@cache
def _asset(name: str) -> str:
    return resources.files("reports.page").joinpath(name).read_text("utf-8")
