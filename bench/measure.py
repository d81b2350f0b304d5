"""The stopwatch. Nothing else in rtfloor times a call."""

from __future__ import annotations

import gc
import time
from array import array
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.baton import Baton


class Target(Protocol):
    """What :func:`sample` needs of a layout."""

    call: Callable[[Any], Any]
    rotations: int
    # From what a call returned to its outputs, where they are elsewhere; None where it returned them.
    collect: Callable[[Any], Any] | None

    def feeds(self, number: int) -> Any: ...
    def absorb(self, outputs: Any) -> None: ...


@dataclass
class Samples:
    """Timed calls of one process.

    Attributes:
        wall_ns: one wall time per call, host arrays in to host arrays out.
        cpu_ns: CPU time of the whole process over the same call; its ratio to the wall time
            shows calls during which somebody else had the processor.
        last: the last outputs, one per rotation of the inputs, as (call number, outputs).
    """

    wall_ns: array[int]
    cpu_ns: array[int]
    last: deque[tuple[int, Any]]

    def wall(self) -> NDArray[np.int64]:
        """Wall times in nanoseconds, shape (calls,); a copy, so that more calls can follow."""
        return np.array(self.wall_ns, np.int64)

    def cpu(self) -> NDArray[np.int64]:
        """CPU times in nanoseconds, shape (calls,); a copy."""
        return np.array(self.cpu_ns, np.int64)


def sample(
    target: Target,
    duration_s: float,
    least: int,
    most: int,
    before: Samples | None = None,
    baton: Baton | None = None,
) -> Samples:
    """Call and time until the duration is over.

    The clock is read right before and right after the call; everything else (choosing inputs,
    CPU time, states, deciding to stop) happens outside. Garbage is collected first and the
    collector is off while timing: one full collection can take longer than a hundred calls.

    Args:
        target: a layout.
        duration_s: how long to go on.
        least: calls that are made however long they take.
        most: calls after which to stop.
        before: samples to append to.
        baton: where another process computes in turns with this one; what it takes is no part of the duration.
    """
    samples = before or Samples(array("q"), array("q"), deque(maxlen=target.rotations))
    wall, cpu, last = samples.wall_ns, samples.cpu_ns, samples.last
    call, feeds_of, absorb, collect = target.call, target.feeds, target.absorb, target.collect
    clock, cpu_clock = time.perf_counter_ns, time.process_time_ns
    number = first = len(wall)
    keep = target.rotations
    finish: int | None = None

    def unkept() -> None:
        absorb(call(feeds_of(number)))

    gc.collect()
    gc.disable()
    try:
        begin = end = clock()
        deadline = end + int(duration_s * 1e9)
        while True:
            if baton is not None and baton.over(end):
                away = baton.rest(unkept, number)
                begin, end, deadline = begin + away, end + away, deadline + away
            made = number - first
            if finish is None and (made >= most - keep or end + keep * (end - begin) >= deadline):
                room = keep if made < keep else made + keep
                finish = most if made >= most - keep else max(least, room)
            feeds = feeds_of(number)
            cpu_begin = cpu_clock()
            begin = clock()
            outputs = call(feeds)
            end = clock()
            cpu.append(cpu_clock() - cpu_begin)
            wall.append(end - begin)
            # Only the last calls' outputs are kept, and the first ones' while they may be the last:
            # holding on to all would make the engine's allocator work differently from a plain loop's.
            if made < keep or (finish is not None and made >= finish - keep):
                if collect is not None:
                    outputs = collect(outputs)
                last.append((number, outputs))
            absorb(outputs)
            number += 1
            if finish is not None and made + 1 >= finish:
                return samples
    finally:
        gc.enable()


def timed(call: Callable[[Any], Any], feeds: Any) -> tuple[int, Any]:
    """One call: its wall time in nanoseconds, and what it returned."""
    begin = time.perf_counter_ns()
    outputs = call(feeds)
    return time.perf_counter_ns() - begin, outputs


def timer_cost_ns(repeats: int = 2000) -> float:
    """Median cost of one clock reading pair, nanoseconds: what every sample contains of the timer."""
    clock = time.perf_counter_ns
    gaps = []
    for _ in range(repeats):
        begin = clock()
        gaps.append(clock() - begin)
    return float(np.median(gaps))
