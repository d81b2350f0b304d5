"""``python -m bench.study measure DIR`` makes the runs, ``python -m bench.study check DIR`` judges them.

The study of the gate: ``gates DIR KIND`` and ``check-gates DIR``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.study import check as checking
from bench.study import measure as measuring
from bench.study.gate_check import DRAWN, tallies, told, wrong
from bench.study.gates import NAMES
from bench.study.gates import measure as measure_gates


@click.group()
def study() -> None:
    """The search beside trying everything, and beside Optuna's TPE sampler."""


@study.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--repetitions", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--suite", default="tune", show_default=True)
def measure(folder: Path, repetitions: int, suite: str) -> None:
    """Try everything, the leaders once more, then search again and again. What is there is not made again."""
    measuring.everything(folder, suite)
    measuring.leaders(folder)
    for number in range(1, repetitions + 1):
        measuring.search(folder, suite, number)


@study.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--replays", type=click.IntRange(min=0), default=100, show_default=True)
def check(folder: Path, replays: int) -> None:
    """Judge the runs in FOLDER; ends with status 1 where the search does not keep its promise."""
    verdict = checking.judge(folder, replays)
    click.echo(checking.told(verdict))
    sys.exit(0 if verdict.kept else 1)


@study.command("gates")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("kind", type=click.Choice(NAMES))
@click.option("--count", type=click.IntRange(min=1), default=60, show_default=True)
def gates(folder: Path, kind: str, count: int) -> None:
    """Make real gates of a KIND until there are so many."""
    measure_gates(folder, kind, count)


@study.command("check-gates")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--drawn", type=click.IntRange(min=1), default=DRAWN, show_default=True)
def check_gates(folder: Path, drawn: int) -> None:
    """Judge the gates in FOLDER; ends with status 1 where a promise is not kept."""
    found, wrongs = tallies(folder, drawn), wrong(folder)
    click.echo(told(found, wrongs))
    sys.exit(0 if all(one.kept for one in found) and set(wrongs) <= {"wrong"} else 1)


if __name__ == "__main__":
    study()
