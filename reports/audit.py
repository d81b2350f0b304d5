"""``rtfloor audit`` on paper: one line per published figure, by source, and what contradicts itself at the end."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from results.audit import AGREES, CANNOT, CONTRADICTS, MEASURED, counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from results.audit import Finding

# What stands in a line's first column; one that nobody expected stands out by a mark as well.
_SHORT = {AGREES: "agrees", CONTRADICTS: "CONTRADICTS", MEASURED: "measured", CANNOT: "cannot"}
LEGEND = """\
agrees       recomputed from other figures, it meets the printed digits
CONTRADICTS  recomputed from other figures, it does not
measured     rtfloor measures something comparable: the command does
cannot       it cannot be recomputed here, and why
"""


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A legend; a heading per source and per claim; a line per row: verdict, id, what was printed, recomputed."""
    yield LEGEND
    for source, in_source in groupby(findings, key=lambda found: found.row.source):
        yield source.title
        yield source.url
        for _, in_claim in groupby(in_source, key=lambda found: found.row.claim):
            rows = list(in_claim)
            shared = {found.row.conditions for found in rows}
            yield f"  {rows[0].row.claim} {rows[0].row.title}" + (f" ({shared.pop()})" if any(shared) else "")
            yield from map(_line, rows)
        yield ""


def _line(found: Finding) -> str:
    row = found.row
    verdict = "CHANGED" if found.changed else _SHORT[found.verdict]
    mark = " " if found.expected else "!"
    where = f"line {row.line}" if row.lines else ""
    printed = f"ours: {row.printed}" if row.origin == "derived" else row.printed
    why = f"; {row.why}" if row.why else ""
    return f"  {mark} {verdict:11}  {row.id:16} {where:8} {printed:18} {row.what}: {found.shown}{why}"


def summary(findings: Sequence[Finding], elsewhere: Sequence[str]) -> Iterator[str]:
    """What contradicts itself and why; what is not as expected; and how many rows there are of each kind."""
    known = [found for found in findings if found.verdict == CONTRADICTS and found.expected]
    if known:
        yield "contradictions, all known:"
        for found in known:
            yield f"  {found.row.id} says {found.row.printed}; recomputed: {found.shown}. {_sentence(found.row.why)}"
    problems = [found.problem for found in findings if found.problem] + list(elsewhere)
    if problems:
        yield "not as expected:"
        yield from (f"  {problem}" for problem in problems)
    yield counted(findings, len(problems))


def counted(findings: Sequence[Finding], problems: int) -> str:
    """How many rows there are of each kind, one sentence."""
    found = counts(list(findings))
    known = "" if problems else " (all known and explained)"
    rows = "1 row" if len(findings) == 1 else f"{len(findings)} rows"
    said = f"{found[AGREES]} agree, {found[CONTRADICTS]} contradict{known if found[CONTRADICTS] else ''}"
    said += f", {found[MEASURED]} we measure ourselves, {found[CANNOT]} cannot be recomputed here"
    return f"{rows}: {said}" + (f"; {problems} not as expected" if problems else "")


def document(
    findings: Sequence[Finding], elsewhere: Sequence[str], listed: Sequence[Finding] | None = None
) -> dict[str, Any]:
    """The same as JSON values.

    Args:
        findings: what the verdict and the counts are about.
        elsewhere: what is wrong beside them, sentences.
        listed: those of them that are given row by row; all, where it is None.
    """
    problems = [found.problem for found in findings if found.problem] + list(elsewhere)
    rows = findings if listed is None else listed
    sources = {found.row.source.key: found.row.source for found in rows}
    return {
        "ok": not problems,
        "counts": dict(counts(list(findings))),
        "problems": problems,
        "sources": {key: {"title": source.title, "url": source.url} for key, source in sources.items()},
        "rows": [found.to_json() for found in rows],
    }


def contradictions_table(findings: Sequence[Finding]) -> str:
    """Known contradictions in Markdown, as they stand in ``docs/published.md``."""
    head = ["| figure | printed | recomputed | why |", "|---|---|---|---|"]
    wrong = [found for found in findings if found.verdict == CONTRADICTS]
    rows = [
        f"| `{row.id}` {row.title}: {row.what} | {row.printed} | {found.shown} | {row.why} |"
        for found, row in ((found, found.row) for found in wrong)
    ]
    return "\n".join([*head, *rows]) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
