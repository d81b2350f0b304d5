"""What no processor does: a figure past it is a mistake, and since figures only get better, it would stay; pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bench.peaks import amx, arm, x86

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.peaks.accumulate import Kernel
    from results.peaks import Arithmetic, Bandwidth, Call, Peaks

# A clock that was looked at in a slow moment may be a little lower than that of the best repeat.
MARGIN = 1.1
# No processor is near it, not even in a bath of liquid nitrogen.
CLOCK_HZ = 10e9
# On x86 two wide multiply-adds begin in a clock; small cores have four units of 128 bits. The widest ARM core has six.
X86_PER_CLOCK = {16: 4.0, 32: 2.0, 64: 2.0}
ARM_PER_CLOCK = 6.0
# A product of tiles takes the multipliers for 16 clocks. Twice that, for cores to come.
TILES_PER_CLOCK = 2 / 16
# Vectors per clock and core: two loads and a store in L1; in and out of what is behind it; a line of memory.
VECTOR_BYTES = 64
VECTORS_PER_CLOCK, FROM_MEMORY = {"L1": 3, "memory": 1}, 2
# Nothing that Python calls comes back sooner.
CALL_S = 10e-9

Row = TypeVar("Row", "Arithmetic", "Bandwidth", "Call")


def flops_per_clock() -> dict[tuple[str, str], float]:
    """The most operations that one core can do in a clock, by precision and instruction set of our kernels."""
    found = {_key(one): _each(one) * X86_PER_CLOCK[_vector_bytes(one)] for one in x86.KERNELS}
    found |= {_key(one): _each(one) * ARM_PER_CLOCK for one in arm.KERNELS}
    return found | {_key(one): _each(one) * TILES_PER_CLOCK for one in amx.KERNELS}


def bytes_per_clock(level: str) -> float:
    """The most bytes that one core can move in a clock to and from a level."""
    return float(VECTOR_BYTES * VECTORS_PER_CLOCK.get(level, FROM_MEMORY))


def believable(peaks: Peaks) -> tuple[Peaks, tuple[str, ...]]:
    """The peaks without what no processor does.

    Limits hold at the highest clock that was seen. Every thread is taken to have a core of its own: two that share one
    do less, but in a virtual machine nobody can be sure which do.

    Returns:
        What is left, and a sentence for everything that was dropped.
    """
    dropped: list[str] = []
    clock = peaks.clock_hz
    if clock is not None and clock > CLOCK_HZ:
        dropped.append(f"a core clock of {clock / 1e9:.4g} GHz was dropped: no processor has it")
        clock = None
    hertz, per_clock = (clock or CLOCK_HZ) * MARGIN, flops_per_clock()
    at = f"at {(clock or CLOCK_HZ) / 1e9:.2f} GHz"

    def arithmetic(row: Arithmetic) -> str:
        what = f"{row.precision} with {row.isa} on {_threads(row.threads)}"
        if (row.precision, row.isa) not in per_clock:
            return f"{what} was dropped: there is no kernel that measures it"
        most = per_clock[row.precision, row.isa] * hertz * row.threads
        return _beyond(what, row.flops_per_s, most, f"operations/s, and {at}")

    def bandwidth(row: Bandwidth) -> str:
        most = bytes_per_clock(row.level) * hertz * row.threads
        return _beyond(f"{row.kind} of {row.level} on {_threads(row.threads)}", row.bytes_per_s, most, f"B/s, and {at}")

    def call(row: Call) -> str:
        if row.seconds >= CALL_S:
            return ""
        return f"a call of {row.what} in {row.seconds:.3g} s was dropped: none takes less than {CALL_S:g} s"

    kept = replace(
        peaks,
        clock_hz=clock,
        arithmetic=_kept(peaks.arithmetic, arithmetic, dropped),
        bandwidth=_kept(peaks.bandwidth, bandwidth, dropped),
        calls=_kept(peaks.calls, call, dropped),
    )
    return kept, tuple(dropped)


def _beyond(what: str, rate: float, most: float, unit: str) -> str:
    if rate <= most:
        return ""
    return f"{what} was dropped: it is {rate:.3g} {unit} no processor does more than {most:.3g}"


def _kept(rows: Iterable[Row], why: Callable[[Row], str], dropped: list[str]) -> tuple[Row, ...]:
    found = []
    for row in rows:
        if reason := why(row):
            dropped.append(reason)
        else:
            found.append(row)
    return tuple(found)


def _key(kernel: Kernel) -> tuple[str, str]:
    return kernel.precision, kernel.isa


def _each(kernel: Kernel) -> float:
    """Operations of one accumulator in a round: those of one instruction, or of the few that it takes."""
    return kernel.flops / kernel.accumulators


def _vector_bytes(kernel: Kernel) -> int:
    return np.dtype(kernel.element).itemsize * kernel.elements // kernel.accumulators


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"
