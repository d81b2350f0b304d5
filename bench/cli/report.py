"""``rtfloor report``: a run as a page that opens anywhere, with pictures and tables; or several beside each other."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from bench.cli.flags import json_flag, results_flag
from bench.errors import UserError

FORMATS = ("html", "md", "json", "csv", "svg", "png")
# Of a folder; file systems allow 255 bytes.
NAME_MOST = 120
EPILOG = """\b
Examples:
  rtfloor report                              the newest run
  rtfloor report latest --out page            into the folder 'page'
  rtfloor report before after                 two runs beside each other; the first is the base
  rtfloor report --format html --format csv --samples
"""


@click.command(epilog=EPILOG)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@results_flag
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Folder to write to; default: results/reports/<run>.",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    help="Only these; repeat for several. Default: all.",
)
@click.option("--samples", is_flag=True, help="Also write every timed call, as samples.csv.")
@json_flag
def report(
    *,
    runs: tuple[str, ...],
    results: Path | None,
    out: Path | None,
    formats: tuple[str, ...],
    samples: bool,
    as_json: bool,
) -> None:
    """Write a report of a RUN: a path, a name, or 'latest' (the default).

    One HTML page that needs no network, and the same as Markdown, JSON, CSV and pictures. Several RUNs are laid
    beside the first of them. No runtime needs to be installed.
    """
    from bench import paths

    folder = results or paths.default_results()
    found = [paths.find_run(run, folder) for run in runs or ("latest",)]
    if samples and len(found) > 1:
        raise UserError("--samples writes the calls of one run; samples of several are never put together")
    target = out or default_folder(results) / default_name(found)
    files = write(found, target, formats or FORMATS, samples=samples)
    if as_json:
        click.echo(json.dumps({"folder": str(target), "files": [str(path) for path in files]}, ensure_ascii=False))
        return
    kinds = sorted({path.suffix.removeprefix(".") for path in files})
    click.echo(f"report: {files[0]}\n{len(files)} files in {target}: {', '.join(kinds)}")


def write(runs: list[Path], folder: Path, formats: tuple[str, ...] = FORMATS, *, samples: bool = False) -> list[Path]:
    """Write the report of one run, or of several beside the first.

    Args:
        runs: run files.
        folder: where to.
        formats: of :data:`FORMATS`.
        samples: of one run, also every timed call.

    Returns:
        The files, the page first where there is one.

    Raises:
        UserError: several runs have nothing in common that could be compared, or a file cannot be written.
        RunFileError: a run cannot be read.
    """
    from reports import export
    from reports.compare import CompareError
    from reports.source import read

    sources = [read(path) for path in runs]
    try:
        if len(sources) == 1:
            return export.one_run(sources[0], folder, formats, samples=samples).paths
        return export.several_runs(sources, folder, formats).paths
    except CompareError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"the report cannot be written to {folder}: {error.strerror}; choose another --out") from None


def default_folder(results: Path | None) -> Path:
    """Where reports go when nobody says: beside the folder of runs, or inside of one that was named."""
    return Path("results") / "reports" if results is None else results / "reports"


def default_name(runs: list[Path]) -> str:
    """Of the folder of a report: its runs, so that no two sets of them share one."""
    if len(runs) == 1:
        return runs[0].stem
    base, *others = (run.stem for run in runs)
    name = f"{'-and-'.join(reversed(others))}-beside-{base}"
    if len({base, *others}) == len(runs) and len(name) <= NAME_MOST:
        return name
    # Files of one name, or too many of them: their paths tell them from others.
    digest = hashlib.sha256("\0".join(str(run.resolve()) for run in runs).encode()).hexdigest()[:8]
    return f"{others[-1][: NAME_MOST // 3]}-beside-{base[: NAME_MOST // 3]}-{digest}"
