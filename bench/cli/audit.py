"""``rtfloor audit``: published figures, recomputed."""

from __future__ import annotations

import difflib
import json
import sys
from typing import TYPE_CHECKING

import click

from bench.cli.flags import json_flag
from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from results.audit import Finding

EPILOG = """\b
Examples:
  rtfloor audit                     every figure of every source, and the verdict on it
  rtfloor audit --contradictions    what does not add up, and why
  rtfloor audit --only A29 --only D06
Exit codes: 0 every verdict is as expected; 1 one is not, or a figure was changed by hand; 2 bad input.
"""


@click.command(epilog=EPILOG)
@click.option("--only", multiple=True, metavar="ID", help="A claim such as A29, or a row such as A29.gain; repeatable.")
@click.option("--contradictions", is_flag=True, help="Only what contradicts itself.")
@json_flag
def audit(*, only: tuple[str, ...], contradictions: bool, as_json: bool) -> None:
    """Recompute published figures from each other, and say which agree.

    A figure stands for everything it can have been before it was rounded; two agree when those meet.
    """
    from reports import audit as report
    from results.audit import CONTRADICTS, audit_published

    findings, elsewhere = audit_published(*zoo_facts())
    shown = _chosen(findings, only)
    elsewhere = [] if only else elsewhere
    if as_json:
        listed = [found for found in shown if found.verdict == CONTRADICTS] if contradictions else shown
        click.echo(json.dumps(report.document(shown, elsewhere, listed), ensure_ascii=False, allow_nan=False))
    else:
        if not contradictions:
            click.echo("\n".join(report.lines(shown)))
        click.echo("\n".join(report.summary(shown, elsewhere)))
    if elsewhere or any(found.problem for found in shown):
        sys.exit(1)


def zoo_facts() -> tuple[dict[str, dict[str, float]], dict[str, tuple[int, str]]]:
    """What models of the zoo have, and what they were built to match; results knows no models."""
    from models.facts import zoo

    entries = zoo().items()
    facts: dict[str, dict[str, float]] = {
        name: {"parameters": entry.parameters, "nodes": entry.nodes, "frames": entry.audio.frames}
        for name, entry in entries
    }
    claims = {
        name: (entry.parameters_published, entry.published_in or "")
        for name, entry in entries
        if entry.parameters_published
    }
    return facts, claims


def _chosen(findings: Sequence[Finding], only: Sequence[str]) -> list[Finding]:
    known = {found.row.claim for found in findings} | {found.row.id for found in findings}
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"; near to it: {', '.join(near)}" if near else ""
            raise UserError(f"there is no published figure {name!r}{hint}; 'rtfloor audit' lists them all")
    if not only:
        return list(findings)
    return [found for found in findings if {found.row.claim, found.row.id} & set(only)]
