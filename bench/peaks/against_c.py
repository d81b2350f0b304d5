"""Our kernels against kernels in C, in one process, in turns: ``python -m bench.peaks.against_c --out DIR``.

The C side (``against_c.c``) has kernels, a gate and a stopwatch of its own, compiled by the system's C compiler.
Both sides work on the same memory, on the same CPUs, and their answers are checked in the same way. In every round
all pairs come in random order; within a pair the two sides take turns in going first.
"""

from __future__ import annotations

import ctypes
import json
import math
import random
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench import host
from bench.peaks import movers
from bench.peaks.crew import Crew, aligned, function
from bench.peaks.jit import Compiler
from bench.peaks.jobs import Arithmetic, Job, Movement, thread_bytes
from bench.peaks.kernels import TABLES, arm_features, machine, offered
from bench.peaks.topology import read_topology
from bench.peaks.worksets import worksets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SOURCE = Path(__file__).with_suffix(".c")
FLAGS = ["-O3", "-march=native", "-shared", "-fPIC"]
LEGACY = ["-mno-avx", "-DLEGACY"]
REPEAT_S = 6e-3
# How far the best repeats of both sides may lie apart.
ARITHMETIC_LIMIT, BANDWIDTH_LIMIT = 0.05, 0.10
OURS, THEIRS = "ours", "C"


@dataclass
class Pair:
    """The same work on both sides.

    Attributes:
        jobs: ours and theirs, which differ in where the kernel is.
        rounds: of the loop, the same for both.
        rates: per second, a value of each side for every round.
    """

    jobs: dict[str, Job]
    rounds: int = 0
    rates: dict[str, list[float]] = field(default_factory=lambda: {OURS: [], THEIRS: []})

    def best(self, side: str) -> float:
        """The highest rate."""
        return max(self.rates[side])


@dataclass(frozen=True)
class Row:
    """One line of the answer.

    Attributes:
        what: such as ``fp32, avx512f`` or ``L1, read``.
        threads: that ran at once.
        ours_per_s, c_per_s: the best of all repeats: operations or bytes per second.
        best_ratio: of those two, ours over C's.
        median_ratio: of the pairs of repeats that followed each other.
        limit: how far ``best_ratio`` may be from 1.
    """

    what: str
    threads: int
    ours_per_s: float
    c_per_s: float
    best_ratio: float
    median_ratio: float
    repeats: int
    limit: float

    @property
    def within(self) -> bool:
        """Whether the two agree."""
        return abs(self.best_ratio - 1) <= self.limit


def compile_c(folder: Path, compiler: str) -> dict[str, int]:
    """Compile the C side; where each of its functions is.

    Raises:
        ClickException: there is no such compiler, or it refuses the file.
    """
    found: dict[str, int] = {}
    kernels = (f"c_{one.precision}_{one.isa}" for one in TABLES[machine()])
    wanted = [*kernels, *(f"c_{kind}" for kind in movers.STREAMS), "c_timed"]
    variants: list[list[str]] = [[], LEGACY] if machine() == "x86_64" else [[]]
    for number, flags in enumerate(variants):
        target = folder / f"kernels{number}.so"
        try:
            command = [compiler, *FLAGS, *flags, str(SOURCE), "-o", str(target)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise click.ClickException(f"there is no C compiler {compiler!r} here; name another with --cc") from None
        if result.returncode != 0:
            raise click.ClickException(f"{compiler} refuses {SOURCE.name}: {result.stderr.strip()[:400]}")
        library = ctypes.CDLL(str(target))
        for name in wanted:
            # A processor has some of them, and each of the two files has some of those.
            if exported := getattr(library, name, None):
                found[name] = int(ctypes.cast(exported, ctypes.c_void_p).value or 0)
    return found


def make_pairs(compiler: Compiler, theirs: dict[str, int], sets: dict[int, list[tuple[str, int]]]) -> list[Pair]:
    """Everything that both sides can do, for every number of threads."""
    features = compiler.features() | arm_features()
    pairs = []
    for kernel in offered(machine(), features):
        address = theirs.get(f"c_{kernel.precision}_{kernel.isa}")
        if address is None:
            continue
        # The C kernels load three operands, whether they need them or not.
        operands, ours = aligned(kernel.operands + bytes(64)), compiler.address(kernel.ir)
        for threads in sets:
            sides: dict[str, Job] = {
                side: Arithmetic(kernel, threads, where, operands) for side, where in ((OURS, ours), (THEIRS, address))
            }
            pairs.append(Pair(sides))
    for mover in movers.movers(features):
        ours, address = compiler.address(mover.ir), theirs[f"c_{mover.kind}"]
        for threads, several in sets.items():
            for level, size in several:
                pairs.append(
                    Pair(
                        {
                            OURS: Movement(mover, threads, ours, level, size),
                            THEIRS: Movement(mover, threads, address, level, size),
                        }
                    )
                )
    return pairs


def compare(pairs: Sequence[Pair], crew: Crew, c_timed: Callable[..., None], budget_s: float, seed: int) -> None:
    """Fill in the rates.

    Raises:
        ClickException: an answer is wrong.
    """
    timed = {OURS: None, THEIRS: c_timed}
    for pair in pairs:
        pair.rounds = max(job.rounds_for(crew, REPEAT_S, timed[side]) for side, job in pair.jobs.items())
    generator = random.Random(seed)  # noqa: S311  # an order, no secret
    end, turn = time.monotonic() + budget_s, 0
    while time.monotonic() < end:
        for pair in generator.sample(pairs, len(pairs)):
            for side in (OURS, THEIRS) if turn % 2 else (THEIRS, OURS):
                job = pair.jobs[side]
                seconds, wrong = job.run(crew, pair.rounds, timed[side])
                if wrong:
                    raise click.ClickException(f"{job.name}, {side}, {job.threads} threads: {wrong}")
                pair.rates[side].append(job.rate(pair.rounds, seconds))
        turn += 1


def rows(pairs: Iterable[Pair]) -> list[Row]:
    """One row per kernel and number of threads; of a level, each side has its best working set."""
    groups: dict[tuple[str, int, float], list[Pair]] = {}
    for pair in pairs:
        job = pair.jobs[OURS]
        if isinstance(job, Arithmetic):
            key = (f"{job.kernel.precision}, {job.kernel.isa}", job.threads, ARITHMETIC_LIMIT)
        else:
            assert isinstance(job, Movement)
            key = (f"{job.level}, {job.mover.kind}", job.threads, BANDWIDTH_LIMIT)
        groups.setdefault(key, []).append(pair)
    return [_row(*key, several) for key, several in groups.items()]


def _row(what: str, threads: int, limit: float, several: Sequence[Pair]) -> Row:
    ours, theirs = (max(pair.best(side) for pair in several) for side in (OURS, THEIRS))
    # The working set that is best for C: what a reader of a C benchmark would have chosen.
    chosen = max(several, key=lambda pair: pair.best(THEIRS))
    logs = [math.log(one / other) for one, other in zip(chosen.rates[OURS], chosen.rates[THEIRS], strict=True)]
    median = math.exp(statistics.median(logs))
    return Row(what, threads, ours, theirs, ours / theirs, median, len(logs), limit)


def markdown(found: Sequence[Row]) -> str:
    """The rows as a table."""
    lines = [
        "| what | threads | ours, G/s | C, G/s | best / best | median of pairs |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.what} | {row.threads} | {row.ours_per_s / 1e9:.1f} | {row.c_per_s / 1e9:.1f} "
        f"| {row.best_ratio:.3f}{'' if row.within else ' **outside**'} | {row.median_ratio:.3f} |"
        for row in found
    ]
    return "\n".join(lines) + "\n"


def _version(compiler: str) -> str:
    result = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.split("\n", 1)[0]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=None, metavar="DIR", help="Write figures there, too.")
@click.option("--seconds", type=float, default=90.0, show_default=True, help="How long to compare.")
@click.option("--cc", default="gcc", show_default=True, help="The C compiler.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order.")
def main(*, out: Path | None, seconds: float, cc: str, seed: int) -> None:
    """Compare the kernels of 'rtfloor peaks' with kernels in C; exit code 1 where they disagree."""
    topology = read_topology(host.usable_cpus())
    everyone = len(topology.order)
    sets = {
        threads: [(one.level, one.bytes) for one in worksets(topology, threads, host.memory_bytes())]
        for threads in sorted({1, everyone})
    }
    compiler = Compiler()
    with tempfile.TemporaryDirectory(prefix="rtfloor-c-") as folder:
        theirs = compile_c(Path(folder), cc)
        addresses = (compiler.address(movers.timed(), "timed"), compiler.address(movers.fill()))
        crew = Crew(*addresses, topology.order, thread_bytes(sets))
        pairs = make_pairs(compiler, theirs, sets)
        compare(pairs, crew, function(theirs["c_timed"]), seconds, seed)
        crew.close()
    found = rows(pairs)
    table = markdown(found)
    click.echo(table, nl=False)
    if out is not None:
        _write(out, found, table, {"compiler": compiler.version, "c_compiler": f"{_version(cc)}, {' '.join(FLAGS)}"})
    outside = [f"{row.what} on {row.threads}" for row in found if not row.within]
    if outside:
        raise click.ClickException(f"too far apart: {'; '.join(outside)}")


def _write(out: Path, found: Sequence[Row], table: str, compilers: dict[str, str]) -> None:
    facts = host.host_facts()
    kept = ("cpu", "cpu_id", "isa", "cpus_usable", "caches", "virtual")
    document: dict[str, Any] = {
        "what": "kernels of rtfloor peaks against kernels in C: python -m bench.peaks.against_c",
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": {key: facts[key] for key in kept},
        **compilers,
        "rows": [asdict(row) for row in found],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "against_c.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (out / "against_c.md").write_text(table, "utf-8")


if __name__ == "__main__":
    main()
