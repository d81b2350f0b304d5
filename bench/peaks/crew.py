"""Threads that run compiled kernels together, each on a CPU and in memory of its own."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

POINTER, INTEGER = ctypes.c_void_p, ctypes.c_int64
# Of ``timed``: the kernel, its five arguments, rounds to warm up with, gate, target, times, clock.
TIMED = (*(POINTER,) * 4, *(INTEGER,) * 3, POINTER, INTEGER, POINTER, ctypes.c_int)
LARGE_PAGE = 2 << 20
OUT_BYTES = 1 << 14
# Copies that begin at the same place in a page would make loads wait for stores to other pages.
STAGGER = 1 << 10


@dataclass(frozen=True)
class Memory:
    """What one thread works on.

    Attributes:
        out: accumulators, sums; bytes.
        a: read; 32-bit words.
        b: written; 32-bit words.
    """

    out: NDArray[np.uint8]
    a: NDArray[np.uint32]
    b: NDArray[np.uint32]


@dataclass(frozen=True)
class Work:
    """What every thread is to do.

    Attributes:
        kernel: its address.
        bytes: its working set.
        rounds: of its loop.
        warm: rounds before the clock starts.
        operands: address of what ``a`` is to point to; None means the thread's own memory.
    """

    kernel: int
    bytes: int
    rounds: int
    warm: int = 0
    operands: int | None = None


class Crew:
    """So many threads, waiting for work.

    Args:
        timed: where the compiled :func:`bench.peaks.movers.timed` is.
        fill: where the compiled :func:`bench.peaks.movers.fill` is.
        cpus: the CPU of each thread.
        sizes: how many bytes each thread reads from at most, and writes to.
    """

    def __init__(self, timed: int, fill: int, cpus: Sequence[int], sizes: Sequence[int]) -> None:
        self.memory = [Memory(_zeros(OUT_BYTES), *_pair(size)) for size in sizes]
        self.pinned = True
        self._timed, self._fill = function(timed), fill
        self._times = _zeros(len(cpus) * 128).view(np.int64).reshape(len(cpus), 16)
        self._gate = _zeros(128).view(np.uint64)
        self._arrived = len(cpus)  # each comes to the gate once to fill its memory
        self._orders: list[SimpleQueue[tuple[Callable[..., None], Work, int] | None]] = [SimpleQueue() for _ in cpus]
        self._done: SimpleQueue[int] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._serve, args=(number, cpu), daemon=True) for number, cpu in enumerate(cpus)
        ]
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            self._done.get()

    def run(self, threads: int, work: Work, timed: Callable[..., None] | None = None) -> float:
        """Do it on so many threads at once.

        Args:
            threads: how many.
            work: what each does.
            timed: in place of the crew's own.

        Returns:
            Seconds from the earliest begin to the latest end.
        """
        self._arrived += threads
        for number in range(threads):
            self._orders[number].put((timed or self._timed, work, self._arrived))
        for _ in range(threads):
            self._done.get()
        times = self._times[:threads, :4]
        begins = times[:, 0] * 10**9 + times[:, 1]
        ends = times[:, 2] * 10**9 + times[:, 3]
        return float(ends.max() - begins.min()) * 1e-9

    def close(self) -> None:
        """Let the threads go."""
        for orders in self._orders:
            orders.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, number: int, cpu: int) -> None:
        try:
            os.sched_setaffinity(0, {cpu})
        except (AttributeError, OSError):
            self.pinned = False
        memory = self.memory[number]
        out, a, b = (array.ctypes.data for array in (memory.out, memory.a, memory.b))
        gate, times = self._gate.ctypes.data, self._times[number].ctypes.data
        # Memory belongs to the part of the machine that touches it first.
        self._timed(self._fill, out, a, b, 0, memory.a.size, 0, gate, 0, times, time.CLOCK_MONOTONIC)
        self._done.put(number)
        while (order := self._orders[number].get()) is not None:
            timed, work, target = order
            source = a if work.operands is None else work.operands
            timed(
                *(work.kernel, out, source, b, work.bytes, work.rounds, work.warm),
                *(gate, target, times, time.CLOCK_MONOTONIC),
            )
            self._done.put(number)


def function(address: int) -> Callable[..., None]:
    """The function ``timed`` at an address; while it runs, other Python threads do, too."""
    return ctypes.CFUNCTYPE(None, *TIMED)(address)


def aligned(content: bytes) -> NDArray[np.uint8]:
    """A copy of some bytes where vectors of any width may be loaded."""
    array = _zeros(max(len(content), 1))
    array[: len(content)] = np.frombuffer(content, np.uint8)
    return array


def _pair(size: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    first = _zeros(size + STAGGER)[:size]
    second = _zeros(size + STAGGER)[STAGGER : STAGGER + size]
    return first.view(np.uint32), second.view(np.uint32)


def _zeros(size: int) -> NDArray[np.uint8]:
    """Untouched memory, in large pages where the system has them: what its tables cost is not what is measured."""
    whole = -(-size // LARGE_PAGE) * LARGE_PAGE + LARGE_PAGE if size >= LARGE_PAGE else size
    area: Any = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= LARGE_PAGE:
        with suppress(AttributeError, OSError):
            area.madvise(mmap.MADV_HUGEPAGE)
    array = np.frombuffer(area, np.uint8)
    begin = -array.ctypes.data % LARGE_PAGE if size >= LARGE_PAGE else 0
    return array[begin : begin + size]
