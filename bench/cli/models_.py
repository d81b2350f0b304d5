"""``rtfloor models``: the zoo."""

from __future__ import annotations

import json

import click

from bench.cli.flags import json_flag
from models.facts import zoo


@click.command(name="models")
@click.argument("what", type=click.Choice(["list"]), default="list")
@json_flag
def models_command(*, what: str, as_json: bool) -> None:
    """List the models that ship with rtfloor, with their forms and where their figures come from."""
    del what
    entries = [
        {
            "name": entry.name,
            "title": entry.title,
            "forms": list(entry.forms),
            "audio_s": entry.audio.seconds,
            "parameters": entry.parameters,
            "parameters_published": entry.parameters_published,
            "published_in": entry.published_in,
            "provenance": entry.provenance,
        }
        for entry in zoo().values()
    ]
    if as_json:
        click.echo(json.dumps({"models": entries}))
        return
    for entry in zoo().values():
        audio = f"{entry.audio.seconds * 1000:.2f} ms of audio per call"
        click.echo(f"{entry.name:10} {entry.title}")
        click.echo(f"{'':10} forms: {', '.join(entry.forms)}; {audio}; {entry.parameters:,} parameters")
        click.echo(f"{'':10} {entry.provenance}")
