"""``rtfloor peaks``: what this machine could do at most."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from bench.cli.flags import json_flag
from bench.errors import UserError

if TYPE_CHECKING:
    from results.peaks import Peaks


@click.command()
@json_flag
@click.option("--again", is_flag=True, help="Forget what earlier sittings found, and start afresh.")
@click.option("--quick", is_flag=True, help="A few seconds, without what calls cost.")
@click.option("--known", is_flag=True, help="Measure nothing: show what earlier sittings found.")
@click.option(
    "--threads",
    multiple=True,
    metavar="N|all",
    help="Numbers of threads to measure; repeatable.  [default: 1, 2, 4, … and all]",
)
@click.option("--gpu", is_flag=True, help="Of the first NVIDIA GPU, and not of the processors.")
def peaks(*, as_json: bool, again: bool, quick: bool, known: bool, threads: tuple[str, ...], gpu: bool) -> None:
    """Measure the peaks of this machine's processors, or of its GPU, in about half a minute.

    Operations per second by precision and instruction set, bytes per second by cache level, and what a call of each
    runtime costs before any arithmetic; of a GPU what launches, graphs and small copies cost. Figures are kept per
    machine and only ever get better: whatever else it does makes them too low, never too high.
    """
    from bench import host
    from bench.peaks import all_threads, host_peaks, known_peaks
    from bench.progress import watcher
    from bench.spawn import spawn
    from bench.suite import parse_threads

    if gpu:
        if known or threads:
            raise UserError("--gpu is about the whole device: leave out --threads and --known")
        _show(_of_gpu(again=again, quick=quick), as_json=as_json)
        return
    if known and (again or quick or threads):
        raise UserError("--known measures nothing: leave out --again, --quick and --threads, or --known itself")
    cpus = host.cpus()
    parsed = [parse_threads(value, "--threads") for value in threads]
    if most := max((value for value in parsed if isinstance(value, int) and value > cpus), default=0):
        raise UserError(f"--threads {most}: this machine lends {cpus} CPUs; name 1 to {cpus}, or all")
    numbers = [value if isinstance(value, int) else cpus for value in parsed] or all_threads(cpus)
    if known:
        found = known_peaks()
    else:
        watch = watcher()
        try:
            found = host_peaks(spawn, numbers, quick=quick, say=watch.say, again=again)
        finally:
            watch.end()
    _show(found, as_json=as_json)


def _of_gpu(*, again: bool, quick: bool) -> Peaks | str:
    from bench.peaks_cuda import gpu_peaks
    from bench.progress import watcher
    from bench.spawn import spawn

    watch = watcher()
    try:
        return gpu_peaks(spawn, say=watch.say, quick=quick, again=again)
    finally:
        watch.end()


def _show(found: Peaks | str, *, as_json: bool) -> None:
    if isinstance(found, str):
        raise UserError(found)
    if as_json:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False))
        return
    from bench.peaks.show import show

    show(found)
