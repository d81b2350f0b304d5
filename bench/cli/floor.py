"""``rtfloor floor``: how far from what the hardware could do at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.flags import json_flag, results_flag
from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.floor_view import Measured, Wanted
    from reports.floor import FloorView
    from results.peaks import Peaks

KINDS = (".png", ".svg", ".md", ".json")

EPILOG = """\b
Examples:
  rtfloor floor                                            the newest run, on this machine
  rtfloor floor --hardware ryzen-7-5800x --out floor.png   what was published, over what that chip could do
  rtfloor floor --hardware rtx-3060 --out floor.svg
  rtfloor floor --model net.onnx --shape x=1,80,100        what a model of yours could take at best, here
"""


@click.command(epilog=EPILOG)
@click.argument("run", required=False)
@click.option("--hardware", default=None, metavar="NAME|FILE", help="Profile of another machine, or a .toml of yours.")
@click.option("--model", default=None, metavar="NAME|FILE", help="Zoo model or .onnx file to draw lines for.")
@click.option("--form", default=None, help="Form of it, such as raw or ln.")
@click.option("--signal", type=click.Choice(["mono", "stereo"]), default=None, help="One channel, or two.")
@click.option("--threads", multiple=True, type=click.IntRange(min=1), help="Thread budget; repeatable.")
@click.option("--precision", "precisions", multiple=True, help="Arithmetic, such as fp32 or fp16; repeatable.")
@click.option("--shape", "shapes", multiple=True, metavar="INPUT=1,2,3", help="Sizes of a dynamic input of a file.")
@click.option("--audio-seconds", type=float, default=None, help="Audio answered for by one call of a file, seconds.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, metavar="FILE", help="Write .png, .svg, .md or .json."
)
@click.option("--dark", is_flag=True, help="Draw for a dark background.")
@results_flag
@json_flag
def floor(
    *,
    run: str | None,
    hardware: str | None,
    model: str | None,
    form: str | None,
    signal: str | None,
    threads: tuple[int, ...],
    precisions: tuple[str, ...],
    shapes: tuple[str, ...],
    audio_seconds: float | None,
    out: Path | None,
    dark: bool,
    results: Path | None,
    as_json: bool,
) -> None:
    """Draw times over the floor: a RUN of this machine, or what was published for --hardware.

    The floor is what arithmetic and memory allow at most; no runtime needs to be installed.
    """
    from bench.floor_view import Wanted

    if out is not None and out.suffix.lower() not in KINDS:
        raise UserError(f"--out {out}: the name must end in one of {', '.join(KINDS)}")
    if model is None and (shapes or audio_seconds is not None):
        raise UserError("--shape and --audio-seconds describe a file of yours: name it with --model FILE.onnx")
    wanted = Wanted(_model(model, shapes, audio_seconds), form, signal, threads, precisions)
    views = _views(run, hardware, wanted, results)
    if out is not None:
        _write(views, out, dark=dark)
    if as_json:
        click.echo(json.dumps([view.to_json() for view in views], ensure_ascii=False, allow_nan=False))
        return
    _print(views, out)


def _model(text: str | None, shapes: tuple[str, ...], audio_seconds: float | None) -> Any:
    from bench.cli.flags import file_spec, is_file

    if text is None or not is_file(text):
        return text
    return file_spec(Path(text).stem, text, shapes=shapes, audio_seconds=audio_seconds)


def _views(run: str | None, hardware: str | None, wanted: Wanted, results: Path | None) -> list[FloorView]:
    from bench.floor_view import machine_view
    from reports.floor import run_views

    if hardware is not None:
        from results.hardware import hardware as profile

        return [machine_view(profile(hardware), wanted, _measured(run, results, needed=run is not None))]
    if wanted.model is not None:
        return [machine_view(_host(), wanted, _measured(run, results, needed=run is not None))]
    measured = _measured(run, results, needed=True)
    assert measured is not None
    views = run_views(measured.cells, measured.floors, measured.where)
    if not views:
        first = next((cell for cell in measured.cells if cell.status == "ok"), None)
        why = measured.floors.why_not(first) if first else "nothing in it was right"
        raise UserError(f"{measured.where} has no floors: {why}")
    return views


def _measured(run: str | None, results: Path | None, *, needed: bool) -> Measured | None:
    """The run to take measured times from; without a name the newest, if there is one."""
    from bench import paths
    from bench.floor_view import Measured
    from results.floors import Floors
    from results.runfile import RunFile
    from results.summary import summarise

    folder = results or paths.default_results()
    if not needed and run is None and not paths.list_runs(folder):
        return None
    path = paths.find_run(run or "latest", folder)
    with RunFile.read(path) as opened:
        facts, cells = opened.facts(), summarise(opened.cells(), list(opened.records()))
    host = str(facts["host"]["cpu"])
    return Measured(cells, Floors(facts, _kept(facts)), host, f"{host}, {path.stem}")


def _kept(facts: Mapping[str, Any]) -> Peaks | None:
    """What 'rtfloor peaks' found, where the run is from this very machine."""
    from bench.peaks.host import known_peaks

    found = known_peaks()
    same = not isinstance(found, str) and found.fingerprint == facts["host"]["fingerprint"]
    return found if same and not isinstance(found, str) else None


def _host() -> Peaks:
    """This machine's own peaks, from the cache or measured now."""
    from bench import host
    from bench.peaks import host_peaks
    from bench.spawn import spawn

    found = host_peaks(spawn, sorted({1, host.cpus()}), quick=True, say=lambda text: click.echo(text, err=True))
    if isinstance(found, str):
        raise UserError(found)
    return found


def _write(views: list[FloorView], out: Path, *, dark: bool) -> None:
    from reports.floor import markdown

    kind = out.suffix.lower()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if kind == ".json":
            documents = [view.to_json() for view in views]
            out.write_text(json.dumps(documents, ensure_ascii=False, allow_nan=False, indent=1) + "\n", "utf-8")
        elif kind == ".md":
            out.write_text("\n".join(markdown(view) for view in views), "utf-8")
        else:
            for view, path in zip(views, _paths(out, len(views)), strict=True):
                _draw(view, path, dark=dark)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}; name another --out") from None


def _draw(view: FloorView, path: Path, *, dark: bool) -> None:
    from reports.charts import canvas
    from reports.charts.floor import floor_chart

    figure = floor_chart(view)
    (canvas.svg if path.suffix.lower() == ".svg" else canvas.png)(figure, path, dark=dark)


def _paths(out: Path, count: int) -> list[Path]:
    """One file per race: the first has the name that was given, the others a number more."""
    return [out if number == 1 else out.with_stem(f"{out.stem}-{number}") for number in range(1, count + 1)]


def _print(views: list[FloorView], out: Path | None) -> None:
    from rich.console import Console

    from reports.floor import table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=170)
    for view in views:
        console.print(table(view))
        console.print(view.answer(), markup=False)
        for note in view.notes:
            console.print(f"note: {note}", markup=False)
    if out is not None:
        drawn = out.suffix.lower() in {".png", ".svg"}
        written = ", ".join(map(str, _paths(out, len(views) if drawn else 1)))
        console.print(f"written: {written}", markup=False, soft_wrap=True)
