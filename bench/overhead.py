"""Gate the harness's own cost: pytest-benchmark over this code and over that of an earlier commit, in turns.

``python -m bench.overhead --against HEAD~1``. The benchmarks are those of this checkout (``tests/overhead``); what
they run is the code of one commit or the other, each time in a fresh process. Verdicts are made as those of
``rtfloor gate``.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench import at_ref, paths
from bench.errors import UserError
from bench.spawn import ROOT
from results.gate import INCONCLUSIVE, REGRESSED, called
from results.gate_spec import CONFIDENCE
from results.signed_rank import looks, shift

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from results.signed_rank import Shift

BENCHMARKS = Path("tests") / "overhead" / "test_overhead.py"
MIN_EFFECT = 0.20
PAIRS_MOST = 16
TIMEOUT_S = 300.0
# Enough for a median; many processes say more than long ones.
SHORT = ("--benchmark-max-time=0.15", "--benchmark-min-rounds=3", "--benchmark-warmup=off", "--benchmark-disable-gc")

# Name of a benchmark -> median of one process, seconds.
Medians = dict[str, float]


@dataclass(frozen=True)
class Cost:
    """What came of one benchmark.

    Attributes:
        name: of the benchmark.
        verdict: as a gate's.
        shift: of the logs; None before the first look.
        pairs: how many pairs it rests on.
    """

    name: str
    verdict: str
    shift: Shift | None
    pairs: int


def compare(run: Callable[[int], Medians], seed: int, most: int = PAIRS_MOST) -> list[Cost]:
    """Measure both sides in turns until every benchmark has its verdict.

    Args:
        run: one process of side 0, the earlier code, or 1.
        seed: of the coins that decide who goes first.
        most: pairs.
    """
    coins = random.Random(seed)  # noqa: S311  # an order, no secret
    differences: dict[str, list[float]] = {}
    found: dict[str, Cost] = {}
    for _ in range(most):
        order = [0, 1] if coins.random() < 0.5 else [1, 0]
        medians = dict(zip(order, (run(side) for side in order), strict=True))
        for name in medians[0].keys() & medians[1].keys():
            differences.setdefault(name, []).append(math.log(medians[1][name] / medians[0][name]))
        if not differences:
            raise UserError("the two commits have no benchmark in common that runs on both")
        found = {name: _cost(name, values, len(differences), most) for name, values in differences.items()}
        if all(cost.verdict != INCONCLUSIVE for cost in found.values()):
            break
    return [found[name] for name in sorted(found)]


def _cost(name: str, differences: list[float], benchmarks: int, most: int) -> Cost:
    """The verdict of the first look that decides."""
    last = Cost(name, INCONCLUSIVE, None, len(differences))
    for look in looks((1.0 - CONFIDENCE) / 2.0 / benchmarks, most):
        if look.pairs > len(differences):
            break
        seen = shift(differences[: look.pairs], look.error)
        assert seen is not None, "looks are at counts that can prove something"
        last = Cost(name, called(seen, math.log1p(MIN_EFFECT)) or INCONCLUSIVE, seen, look.pairs)
        if last.verdict != INCONCLUSIVE:
            break
    return last


def measured(root: Path) -> Medians:
    """One process: every benchmark once over the code below ``root``.

    Raises:
        UserError: pytest gave no figures, or failed over this checkout.
    """
    with tempfile.TemporaryDirectory(prefix="rtfloor-overhead-") as folder:
        target = Path(folder) / "benchmarks.json"
        command = [sys.executable, "-P", "-m", "pytest", str(ROOT / BENCHMARKS), "--rootdir", str(ROOT), "-q"]
        command += [
            "-c",
            str(ROOT / "pyproject.toml"),
            "-o",
            "addopts=",
            "-o",
            "pythonpath=tests",
            "-p",
            "no:cacheprovider",
        ]
        command += ["--benchmark-only", *SHORT, f"--benchmark-json={target}"]
        # A pytest that runs us, in several processes at that, is none of this one's business.
        ours = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        environment = {**ours, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        # Benchmarks that an earlier commit cannot run are left out; this one has to run them all.
        if not target.exists() or (root == ROOT and done.returncode != 0):
            raise UserError(f"pytest gave no figures over {root}: {(done.stdout + done.stderr).strip()[-600:]}")
        found = json.loads(target.read_text("utf-8"))
    return {str(one["name"]): float(one["stats"]["median"]) for one in found["benchmarks"]}


def before(ref: str) -> at_ref.Tree | None:
    """The code to compare with; None where this is no checkout, or has no such commit.

    Args:
        ref: as git understands it; empty for the commit before this one.
    """
    if at_ref.repository(ROOT) != ROOT:
        return None
    try:
        return at_ref.tree(ROOT, ref or "HEAD~1", paths.cache() / "trees")
    except UserError:
        if ref:
            raise
        return None


def told(costs: list[Cost], sides: Mapping[str, str]) -> str:
    """A line per benchmark."""
    lines = [f"the harness's own cost, {sides['candidate']} beside {sides['baseline']}:"]
    for cost in costs:
        change = ""
        if cost.shift is not None:
            ends = [math.expm1(end) * 100 for end in (cost.shift.estimate, cost.shift.low, cost.shift.high)]
            change = f" {ends[0]:+.1f} % ({ends[1]:+.1f} to {ends[2]:+.1f} %) over {cost.pairs} pairs"
        lines.append(f"  {cost.verdict}: {cost.name}{change}")
    return "\n".join(lines)


@click.command()
@click.option("--against", default="", metavar="GIT_REF", help="The earlier commit.  [default: the one before this]")
@click.option("--pairs", type=click.IntRange(min=1), default=PAIRS_MOST, show_default=True)
@click.option("--seed", type=int, default=0)
def main(against: str, pairs: int, seed: int) -> None:
    """Say whether this code's own cost is above that of an earlier commit; ends as ``rtfloor gate`` does."""
    try:
        tree = before(against)
        if tree is None:
            click.echo("NOTHING WAS COMPARED: there is no earlier commit here; name one with --against")
            return
        roots = (tree.folder, ROOT)
        costs = compare(lambda side: measured(roots[side]), seed, pairs)
    except UserError as error:
        click.echo(f"bench.overhead: {error}", err=True)
        sys.exit(2)
    click.echo(told(costs, {"baseline": tree.commit[:12], "candidate": "the working tree"}))
    verdicts = {cost.verdict for cost in costs}
    sys.exit(1 if REGRESSED in verdicts else 3 if INCONCLUSIVE in verdicts else 0)


if __name__ == "__main__":
    main()
