"""``rtfloor show``: a run's table again, from its file alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from bench.cli.flags import json_flag, results_flag

if TYPE_CHECKING:
    from pathlib import Path

VIEWS = ("table", "forms", "work", "gpu")


@click.command()
@click.argument("run", required=False)
@results_flag
@json_flag
@click.option(
    "--view",
    type=click.Choice(VIEWS),
    default="table",
    show_default=True,
    help="table; in Markdown: forms beside each other, work per second of audio, or what a GPU does in a call.",
)
def show(*, run: str | None, results: Path | None, as_json: bool, view: str) -> None:
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
    path = paths.find_run(run, folder)
    if view == "table" or as_json:
        present(path, as_json=as_json)
        return
    click.echo(_page(path, view))


def _page(path: Path, view: str) -> str:
    """One view of a run in Markdown."""
    from reports import forms, gpu, work
    from results.runfile import RunFile
    from results.summary import summarise

    with RunFile.read(path) as opened:
        cells = summarise(opened.cells(), list(opened.records()))
    if view == "forms":
        return forms.markdown(cells) or f"{path} has no race with several forms; add --form to the run"
    if view == "gpu":
        return gpu.markdown(cells) or f"{path} has no cell of a GPU that was looked at"
    rows = work.work_rows(cells)
    return work.markdown(rows) if rows else f"{path} has no two models with known audio on one runtime"


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

    from reports import work
    from reports.answer import answer, headline
    from reports.table import tables
    from results.floors import Floors
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
    rows = work.work_rows(summaries)
    if rows:
        console.print(work.table(rows))
    floors = Floors(facts) if facts.get("peaks") else None
    for line in [*answer(summaries, floors), *work.inversions(rows)]:
        console.print(line, markup=False)
    console.print(f"run file: {path}  (again: rtfloor show {path})", markup=False, soft_wrap=True)
