"""``rtfloor baseline``: what was measured, kept for later gates on the same machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.flags import json_flag, results_flag
from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DEFAULT = Path("results") / "baselines"

EPILOG = """\b
Examples:
  rtfloor run --model net.onnx --runtime ort-cpu
  rtfloor baseline save net          the newest run, as a sitting
  rtfloor gate --recorded net        measured again, beside it
  rtfloor baseline show net          every sitting, and where the level changed
"""


def folder_flag(function: Callable[..., Any]) -> Callable[..., Any]:
    """``--baselines``: where baselines are."""
    return click.option(
        "--baselines",
        type=click.Path(path_type=Path),
        default=DEFAULT,
        show_default=True,
        metavar="DIR",
        help="Folder of baselines.",
    )(function)


@click.group(epilog=EPILOG)
def baseline() -> None:
    """Keep what was measured, and see how it went on from sitting to sitting."""


@baseline.command()
@click.argument("name")
@click.argument("run", default="latest")
@click.option("--replace", is_flag=True, help="Begin anew, and forget the sittings there are.")
@folder_flag
@results_flag
def save(*, name: str, run: str, replace: bool, baselines: Path, results: Path | None) -> None:
    """Add a RUN (a path, a name, or 'latest') to the baseline NAME as one sitting."""
    from bench import keep, paths

    path = paths.find_run(run, results or paths.default_results())
    kept, noisy = keep.save(baselines, name, path, anew=replace)
    count = len(kept.sittings)
    click.echo(
        f"baseline {name}: {count} sitting{'s' if count != 1 else ''}, {len(kept.cells)} cells: {baselines / name}.json"
    )
    if noisy:
        click.echo(f"  the machine was not quiet: {kept.sittings[-1].noise}")


@baseline.command("list")
@json_flag
@folder_flag
def list_command(*, as_json: bool, baselines: Path) -> None:
    """List the baselines there are."""
    from results.baselines import read

    found = [read(path) for path in sorted(baselines.glob("*.json"))]
    if as_json:
        entries = [
            {"name": one.name, "machine": one.machine, "fingerprint": one.fingerprint, "sittings": len(one.sittings)}
            for one in found
        ]
        click.echo(json.dumps({"baselines": entries}, ensure_ascii=False))
        return
    if not found:
        click.echo(f"there are no baselines in {baselines} yet; 'rtfloor baseline save NAME' keeps the newest run")
    for one in found:
        newest = f", the newest of {one.sittings[-1].created}" if one.sittings else ""
        click.echo(f"{one.name}: {len(one.cells)} cells, {len(one.sittings)} sittings{newest}, on {one.machine}")


@baseline.command()
@click.argument("name")
@json_flag
@folder_flag
def show(*, name: str, as_json: bool, baselines: Path) -> None:
    """Show every sitting of a baseline, and where the level changed."""
    from bench import keep
    from reports import trend

    found = keep.find(baselines, name)
    if not found.sittings:
        raise UserError(f"baseline {name} has no sittings; 'rtfloor baseline save {name}' adds one")
    if as_json:
        click.echo(json.dumps(trend.entry(found), ensure_ascii=False, allow_nan=False))
        return
    for line in trend.sentences(found):
        click.echo(line)
