"""Sweeps made by hand: what a machine would have said of options whose effects are known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from made import record, spec
from made_runs import FACTS, run_file
from numpy.typing import NDArray

from results.summary import CellSummary
from results.sweep import Arm, Contrast, Sweep

DEFAULT_MS = 20.0
DEFAULT = "net/raw/fake/seq/2"
Values = NDArray[np.float64]
# Logs of what processes differ by, from a generator and a shape.
Noise = Callable[[np.random.Generator, tuple[int, ...]], Values]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Processes differ by 1 %."""
    return 0.01 * rng.standard_normal(shape)


def disturbed(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """The same, and one process in twenty takes 1.3 to 3 times as long."""
    hit = rng.random(shape) < 0.05
    return normal(rng, shape) + hit * np.log(rng.uniform(1.3, 3.0, shape))


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Student's t with three degrees of freedom: now and then a process is far off, to either side."""
    return 0.01 * rng.standard_t(3, shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """An exponential: nobody is faster than undisturbed, and many are slower."""
    return 0.01 * rng.exponential(size=shape)


def one_at_a_time(values: Mapping[str, Sequence[str]], copies: int) -> Sweep:
    """A sweep of these axes, each with the values beside its default."""
    arms = [
        Arm(axis, value, "value", (Contrast((f"{DEFAULT}/{axis}={value}",), (DEFAULT,)),))
        for axis, found in values.items()
        for value in found
    ]
    again = tuple(f"{DEFAULT}/copy={number}" for number in range(1, copies + 1))
    arms += [Arm("copy", str(place), "copy", (Contrast((name,), (DEFAULT,)),)) for place, name in enumerate(again, 1)]
    return Sweep("one-at-a-time", DEFAULT, again, tuple(arms))


def many_axes(axes: int = 28, arms: int = 40, copies: int = 4) -> Sweep:
    """A sweep of the usual size: some axes have one value beside their default, others two."""
    return one_at_a_time(
        {f"axis{n:02}": [f"v{k}" for k in range(1 + (n < arms - axes))] for n in range(axes)},
        copies,
    )


def sweep_cells(sweep: Sweep) -> list[str]:
    """Ids of all cells of a sweep, the default first."""
    named = [name for arm in sweep.arms for one in arm.contrasts for name in (*one.plus, *one.minus)]
    return list(dict.fromkeys((sweep.default, *sweep.copies, *named)))


def medians(
    sweep: Sweep,
    rng: np.random.Generator,
    rounds: int = 10,
    noise: Noise = normal,
    ratios: Mapping[str, float] | None = None,
    drift: float = 0.03,
) -> dict[str, dict[int, float]]:
    """Cell to round to the median of its process in nanoseconds.

    Args:
        sweep: what is measured.
        rng: chance.
        rounds: how many.
        noise: between processes.
        ratios: cell to its time over the default's; 1 for all others.
        drift: standard deviation of what a round does to every cell of it.
    """
    names = sweep_cells(sweep)
    levels = np.log(DEFAULT_MS * 1e6) + np.log([(ratios or {}).get(name, 1.0) for name in names])
    logs = levels[:, None] + noise(rng, (len(names), rounds)) + drift * rng.standard_normal(rounds)
    return {name: dict(enumerate(np.exp(row).tolist())) for name, row in zip(names, logs, strict=True)}


def summaries(found: Mapping[str, Mapping[int, float]]) -> dict[str, CellSummary]:
    """What is said of cells that took so long."""
    return {name: CellSummary(name, spec(), "ok", medians_ns=values) for name, values in found.items()}


def sweep_run(
    path: Path,
    sweeps: Sequence[Sweep],
    found: Mapping[str, Mapping[int, float]],
    failed: Mapping[str, str] | None = None,
    specs: Mapping[str, Mapping[str, Any]] | None = None,
    **facts: Any,
) -> Path:
    """A run file of sweeps.

    Args:
        path: of the file.
        sweeps: as the plan has them.
        found: of :func:`medians`; every process has a hundred calls about its median.
        failed: cells that were not measured, with the reason.
        specs: what cells differ by from :func:`made.spec`.
        facts: replace those of the run.
    """
    wobble = np.linspace(-0.005, 0.005, 101)
    cells: dict[str, dict[str, Any]] = {}
    records = []
    for name, values in found.items():
        why = (failed or {}).get(name)
        cells[name] = spec(**(specs or {}).get(name, {}), **({"status": "failed", "reason": why} if why else {}))
        if why is None:
            records += [
                record(name, number, [int(median * (1 + one)) for one in wobble]) for number, median in values.items()
            ]
    plan = FACTS["plan"] | {"sweeps": [asdict(sweep) for sweep in sweeps]}
    return run_file(path, cells, records, **({"plan": plan} | facts))
