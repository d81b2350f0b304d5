"""What a search found, as a section of the page; no section for a run that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports import tuned
from reports.page.html import Html, join, tag
from reports.page.parts import Section, origin
from results.tuned import of_run

if TYPE_CHECKING:
    from reports.source import Source


def search_section(source: Source) -> list[Section]:
    """The pick, how sure it is, what it cost, and the code to paste."""
    outcome = of_run(source.facts, source.cells, source.records)
    if outcome is None:
        return []
    lines = list(tuned.sentences(outcome, source.cells))
    body: list[Html] = [
        tag("p", tag("strong", lines[0]), " ", origin("measured")),
        tag("ul", *(tag("li", line.strip()) for line in lines[1:])),
    ]
    snippet = tuned.snippet_of(outcome, source.facts) or {}
    if snippet.get("model_command"):
        body.append(tag("p", "The model's file: ", tag("code", snippet["model_command"])))
    if snippet.get("settings"):
        settings = "\n".join(f"{key} = {value}" for key, value in snippet["settings"].items())
        body += [tag("p", "Settings, as the vendor calls them:"), tag("pre", settings)]
    if snippet.get("environment"):
        variables = "\n".join(f"{key}={value}" for key, value in snippet["environment"].items())
        body += [tag("p", "Environment:"), tag("pre", variables)]
    if snippet.get("python"):
        body.append(tag("details", tag("summary", "Code to paste"), tag("pre", snippet["python"]), open=True))
    elif snippet.get("why_not"):
        body.append(tag("p", f"No code to paste: {snippet['why_not']}"))
    return [Section("search", "What the search found", join(body), "Search")]
