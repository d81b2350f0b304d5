"""``rtfloor show``: a run's table again, from its file alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from bench.cli.flags import json_flag, results_flag

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

VIEWS = ("table", "effects", "forms", "work", "ladder", "gpu")


@click.command()
@click.argument("run", required=False)
@results_flag
@json_flag
@click.option(
    "--view",
    type=click.Choice(VIEWS),
    default="table",
    show_default=True,
    help="table, or effects of a sweep; in Markdown: forms, work per second of audio, a ladder, or a call on a GPU.",
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
    if view == "effects":
        _effects(path)
        return
    click.echo(_page(path, view))


def _effects(path: Path) -> None:
    """What a sweep found: sentences, then every value in a table."""
    from reports import effects
    from results.runfile import RunFile
    from results.summary import summarise

    with RunFile.read(path) as opened:
        found = effects.views(opened.facts(), summarise(opened.cells(), list(opened.records())))
    if not found:
        click.echo(f"{path} is no sweep; 'rtfloor run --model NAME --sweep one-at-a-time' makes one")
        return
    console = _console()
    for view in found:
        console.print(effects.table(view))
        for line in effects.sentences(view):
            console.print(line, markup=False, soft_wrap=True)


def _page(path: Path, view: str) -> str:
    """One view of a run in Markdown."""
    from reports import forms, gpu, ladder_steps, work
    from results.runfile import RunFile
    from results.summary import summarise

    with RunFile.read(path) as opened:
        facts, cells = opened.facts(), summarise(opened.cells(), list(opened.records()))
    if view == "ladder":
        return ladder_steps.page(facts, cells) or f"{path} has no ladder; 'rtfloor run ladder' measures one"
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
    from reports import effects, ladder_steps, tuned, work
    from reports import gate as gates
    from reports.answer import answer, headline
    from reports.table import tables
    from results.floors import Floors
    from results.gate import of_run as of_gate
    from results.ladder import of_run
    from results.noise import noise
    from results.summary import summarise
    from results.tuned import of_run as of_search

    console = _console()
    summaries = summarise(cells, records)
    console.print(
        headline(facts["plan"]["title"], noise(records), facts["status"], facts.get("ended_by")), markup=False
    )
    for warning in facts["warnings"]:
        console.print(f"warning: {warning}", markup=False)
    console.print(tables(summaries, console))
    if (climbed := of_run(facts, summaries)) is not None:
        console.print(ladder_steps.table(climbed, facts["host"]))
    for swept in effects.views(facts, summaries):
        head = f"\nsweep of {swept.title} (all of it: rtfloor show {path} --view effects)"
        console.print(head, markup=False, soft_wrap=True)
        for line in effects.sentences(swept):
            console.print(f"  {line}", markup=False, soft_wrap=True)
    rows = work.work_rows(summaries)
    if rows:
        console.print(work.table(rows))
    floors = Floors(facts) if facts.get("peaks") else None
    for line in [*answer(summaries, floors), *work.inversions(rows)]:
        console.print(line, markup=False)
    if (outcome := of_gate(facts, summaries, records)) is not None:
        if outcome.verdicts:
            console.print(gates.table(outcome))
        for line in gates.sentences(outcome):
            console.print(line, markup=False, soft_wrap=True)
    if (search := of_search(facts, summaries, records)) is not None:
        for line in tuned.sentences(search, summaries, facts):
            console.print(line, markup=False, soft_wrap=True)
    console.print(f"run file: {path}  (again: rtfloor show {path})", markup=False, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=170)
