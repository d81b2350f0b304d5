"""One process's sitting: compile, check, and repeat everything in random order until the time is up."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bench.peaks import amx, movers
from bench.peaks.crew import Crew, aligned
from bench.peaks.jit import Compiler
from bench.peaks.jobs import Arithmetic, Clock, Job, Movement, thread_bytes
from bench.peaks.kernels import arm_features, machine, offered
from runtimes.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CHECKED_ROUNDS = 1000
CLOCK_REPEAT_S = 0.3e-3
# A clock is looked at this often at a time: a thread that had to wait would look like a slow clock.
CLOCK_LOOKS = 3


@dataclass(frozen=True)
class Order:
    """What a sitting is asked for.

    Attributes:
        cpus: in the order in which threads take them.
        worksets: by number of threads: level and bytes per thread. Its keys say which numbers are measured.
        budget_s: for the repeats.
        rounds_least: repeats of everything, however long they take; 0 only checks the answers.
        repeat_s: about how long one repeat takes.
        seed: of the order.
        without: instruction sets that are left out.
        only: if not empty, the only instruction set.
    """

    cpus: tuple[int, ...]
    worksets: Mapping[int, Sequence[tuple[str, int]]]
    budget_s: float
    rounds_least: int
    repeat_s: float
    seed: int
    without: frozenset[str] = frozenset()
    only: str = ""


@dataclass
class Found:
    """What came of it.

    Attributes:
        offered: the instruction sets of this processor that there are kernels for.
        refused: what could not be measured, and why.
        rates: a job and its repeats.
        pinned: whether every thread kept to its CPU.
        compiler: which one, and for which processor.
    """

    offered: tuple[str, ...]
    refused: dict[str, str] = field(default_factory=dict)
    rates: list[tuple[Job, list[float]]] = field(default_factory=list)
    pinned: bool = True
    compiler: str = ""


def sit(order: Order, clock: Callable[[], float] = time.monotonic) -> Found:
    """Measure.

    Raises:
        UnavailableError: llvmlite is missing, or there are no kernels for this architecture.
    """
    compiler = Compiler()
    features = compiler.features() | arm_features()
    kernels = offered(machine(), features)
    if not kernels:
        raise UnavailableError(f"there are no kernels for this processor ({machine()}); they are for x86-64 and ARM64")
    found = Found(tuple(dict.fromkeys(one.isa for one in kernels)), compiler=f"{compiler.version}, for {compiler.cpu}")
    wanted = [one for one in kernels if one.isa not in order.without and order.only in ("", one.isa)]
    if any(one.tiles for one in wanted) and (reason := amx.ask_permission()):
        found.refused.update({one.name: reason for one in wanted if one.tiles})
        wanted = [one for one in wanted if not one.tiles]
    threads = sorted(order.worksets)
    crew = Crew(
        compiler.address(movers.timed(), "timed"),
        compiler.address(movers.fill()),
        order.cpus[: threads[-1]],
        thread_bytes(order.worksets),
    )
    try:
        jobs: list[Job] = []
        for kernel in wanted:
            try:
                address = compiler.address(kernel.ir)
            except UnavailableError as error:
                found.refused[kernel.name] = str(error)
                continue
            operands = aligned(kernel.operands)
            several = [Arithmetic(kernel, number, address, operands) for number in threads]
            jobs += _right(several, crew, found.refused)
        if not order.only:
            jobs += _right(_movements(order, features, compiler), crew, found.refused)
            summand, address = aligned(np.ones(1, np.int64).tobytes()), compiler.address(movers.clock(machine()))
            jobs += _right([Clock(number, address, summand) for number in threads], crew, found.refused)
        if order.rounds_least:
            found.rates = _repeat(jobs, crew, order, clock, found.refused)
    finally:
        crew.close()
    found.pinned = crew.pinned
    return found


def _movements(order: Order, features: frozenset[str], compiler: Compiler) -> list[Job]:
    compiled = [(mover, compiler.address(mover.ir)) for mover in movers.movers(features)]
    return [
        Movement(mover, number, address, level, size)
        for mover, address in compiled
        for number, sets in order.worksets.items()
        for level, size in sets
    ]


def _right(jobs: Sequence[Job], crew: Crew, refused: dict[str, str]) -> list[Job]:
    """Those whose answers are right; why the others are not goes to ``refused``."""
    good: list[Job] = []
    for job in jobs:
        _, wrong = job.run(crew, -(-CHECKED_ROUNDS // job.unit) * job.unit)
        if wrong:
            refused.setdefault(job.name, f"its answer is wrong: {wrong}")
        else:
            good.append(job)
    return good


def _repeat(
    jobs: Sequence[Job], crew: Crew, order: Order, clock: Callable[[], float], refused: dict[str, str]
) -> list[tuple[Job, list[float]]]:
    """Every job in turn, again and again, so that a slow phase of the machine falls on all of them alike."""
    end = clock() + order.budget_s
    rounds = [job.rounds_for(crew, CLOCK_REPEAT_S if isinstance(job, Clock) else order.repeat_s) for job in jobs]
    rates: list[list[float]] = [[] for _ in jobs]
    turn, generator = 0, random.Random(order.seed)  # noqa: S311  # an order, no secret
    while turn < order.rounds_least or clock() < end:
        numbers = list(range(len(jobs)))
        generator.shuffle(numbers)
        for number in numbers:
            if turn >= order.rounds_least and clock() >= end:
                break
            job = jobs[number]
            looks = CLOCK_LOOKS if isinstance(job, Clock) else 1
            runs = [job.run(crew, rounds[number]) for _ in range(looks)]
            if wrong := next((text for _, text in runs if text), ""):
                refused[job.name] = f"its answer was wrong while it was timed: {wrong}"
            else:
                rates[number].append(job.rate(rounds[number], min(seconds for seconds, _ in runs)))
        turn += 1
    return list(zip(jobs, rates, strict=True))
