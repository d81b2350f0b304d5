"""``rtfloor show``: a run's table again, from its file alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from bench.cli.flags import json_flag, results_flag

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("run", required=False)
@results_flag
@json_flag
def show(*, run: str | None, results: Path | None, as_json: bool) -> None:
    """Show a RUN: a path, a name, or 'latest'. Without one, list the runs there are.

    No runtime needs to be installed.
    """
    from bench import paths

    folder = results or paths.default_results()
    if run is None:
        runs = [str(path) for path in paths.list_runs(folder)]
        if as_json:
            click.echo(json.dumps({"runs": runs}))
        else:
            click.echo("\n".join(runs) or f"there are no runs in {folder} yet; make one with 'rtfloor run cpu'")
        return
    present(paths.find_run(run, folder), as_json=as_json)


def present(path: Path, *, as_json: bool) -> None:
    """Print a run: one JSON document, or the headline, the tables, and the answer last."""
    from results.runfile import RunFile

    with RunFile.read(path) as opened:
        if as_json:
            from reports.document import document

            click.echo(json.dumps(document(opened), ensure_ascii=False, allow_nan=False))
            return
        facts, cells, records = opened.facts(), opened.cells(), list(opened.records())
    from rich.console import Console

    from reports.answer import answer, headline
    from reports.table import tables
    from results.noise import noise
    from results.summary import summarise

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=170)
    summaries = summarise(cells, records)
    console.print(
        headline(facts["plan"]["title"], noise(records), facts["status"], facts.get("ended_by")), markup=False
    )
    for warning in facts["warnings"]:
        console.print(f"warning: {warning}", markup=False)
    console.print(tables(summaries, console))
    for line in answer(summaries):
        console.print(line, markup=False)
    console.print(f"run file: {path}  (again: rtfloor show {path})", markup=False, soft_wrap=True)
