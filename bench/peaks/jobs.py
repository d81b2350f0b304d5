"""What one repeat of a measurement is: what to set up, what to run, what the answer must be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.peaks.crew import Work
from bench.peaks.movers import ADDITIONS, STREAMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.peaks.accumulate import Kernel
    from bench.peaks.crew import Crew, Memory
    from bench.peaks.movers import Mover

# Looking at more words of what was written would cost more than writing it.
SAMPLED = 16
POISON, WRITTEN = 0xDEADBEEF, 0x01020304


class Job(ABC):
    """One kernel on so many threads and so much memory.

    Attributes:
        threads: that run at once.
        unit: rounds that belong together; every run does a multiple of them.
        per_round: operations, bytes or clocks of one round of one thread.
    """

    threads: int
    unit: int = 1
    per_round: float

    @property
    @abstractmethod
    def name(self) -> str:
        """For a sentence about it."""

    @abstractmethod
    def what(self) -> dict[str, Any]:
        """What was measured, JSON values."""

    @abstractmethod
    def work(self, rounds: int) -> Work:
        """What every thread is to do."""

    @abstractmethod
    def begin(self, memory: Memory) -> None:
        """Set up a thread's memory before a run."""

    @abstractmethod
    def wrong(self, memory: Memory, work: Work) -> str:
        """What is wrong with a thread's memory after a run; empty when nothing is."""

    def rate(self, rounds: int, seconds: float) -> float:
        """Of all threads together, per second."""
        return self.per_round * rounds * self.threads / seconds

    def run(self, crew: Crew, rounds: int, timed: Any = None) -> tuple[float, str]:
        """Run it once.

        Returns:
            Seconds, and what is wrong with the answers; empty when nothing is.
        """
        for memory in crew.memory[: self.threads]:
            self.begin(memory)
        work = self.work(rounds)
        seconds = crew.run(self.threads, work, timed)
        found = (self.wrong(memory, work) for memory in crew.memory[: self.threads])
        return seconds, next(filter(None, found), "")

    def rounds_for(self, crew: Crew, seconds: float, timed: Any = None) -> int:
        """How many rounds take about so long, tried out."""
        rounds = self.unit
        while True:
            took = min(self.run(crew, rounds, timed)[0] for _ in range(2))
            if took >= seconds / 8:
                return max(round(rounds * seconds / took / self.unit), 1) * self.unit
            rounds = max(2, min(round(seconds / 4 / max(took, 1e-9)), 16)) * rounds


@dataclass
class Arithmetic(Job):
    """A kernel of :mod:`bench.peaks.kernels`; ``address`` is where it is, ``operands`` where its operands are."""

    kernel: Kernel
    threads: int
    address: int
    operands: NDArray[np.uint8]

    def __post_init__(self) -> None:
        self.per_round = float(self.kernel.flops)

    @property
    def name(self) -> str:
        return self.kernel.name

    def what(self) -> dict[str, Any]:
        one = self.kernel
        return {"what": "arithmetic", "precision": one.precision, "isa": one.isa, "source": one.source}

    def work(self, rounds: int) -> Work:
        # Wide units take a moment to wake up.
        return Work(self.address, 0, rounds, max(rounds // 16, 1), self.operands.ctypes.data)

    def begin(self, memory: Memory) -> None:
        start = self.kernel.start()
        memory.out[: start.nbytes] = start.view(np.uint8)

    def wrong(self, memory: Memory, work: Work) -> str:
        size = self.kernel.elements * np.dtype(self.kernel.element).itemsize
        return self.kernel.wrong(memory.out[:size].view(self.kernel.element), work.rounds + work.warm)


@dataclass
class Movement(Job):
    """A kernel of :mod:`bench.peaks.movers` over ``bytes`` bytes of a level, reading and writing together."""

    mover: Mover
    threads: int
    address: int
    level: str
    bytes: int

    def __post_init__(self) -> None:
        streams = STREAMS[self.mover.kind]
        self.unit = self.bytes // streams // self.mover.step_bytes
        assert self.unit, "a working set is at least one step of every stream"
        self._side = self.unit * self.mover.step_bytes
        self.per_round = float(self.mover.step_bytes * streams)
        self._words = self._side // 4
        self._samples = np.unique(np.linspace(0, self._words - 1, SAMPLED).astype(np.int64))

    @property
    def name(self) -> str:
        return f"{self.mover.kind} of {self.level}"

    def what(self) -> dict[str, Any]:
        one = self.mover
        return {"what": "bandwidth", "level": self.level, "kind": one.kind, "bytes": self.bytes, "source": one.source}

    def work(self, rounds: int) -> Work:
        # What shall be in a cache has to get there first.
        return Work(self.address, self._side, rounds, 0 if self.level == "memory" else self.unit)

    def begin(self, memory: Memory) -> None:
        if self.mover.kind == "write":
            memory.out.view(np.uint32)[: self.mover.bits // 32] = WRITTEN
        if self.mover.kind != "read":
            memory.b[self._samples] = POISON

    def wrong(self, memory: Memory, work: Work) -> str:
        if self.mover.kind == "read":
            got = int(memory.out[: self.mover.out_bytes].view(np.uint32).sum(dtype=np.uint32))
            right = work.rounds // self.unit * (self._words * (self._words - 1) // 2) % (1 << 32)
            return "" if got == right else f"the sum of what it read is {got} and not {right}"
        # Word i of what is read is i.
        places = self._samples
        right_words = {"write": WRITTEN, "copy": places, "add": 2 * places + self._words}[self.mover.kind]
        same = bool(np.all(memory.b[places] == np.asarray(right_words) % (1 << 32)))
        return "" if same else "it did not write what it should have written"


@dataclass
class Clock(Job):
    """Additions that wait for each other: their rate is the clock of the core."""

    threads: int
    address: int
    operands: NDArray[np.uint8]

    def __post_init__(self) -> None:
        self.per_round = float(ADDITIONS)

    @property
    def name(self) -> str:
        return "the clock"

    def what(self) -> dict[str, Any]:
        return {"what": "clock"}

    def work(self, rounds: int) -> Work:
        return Work(self.address, 0, rounds, max(rounds // 4, 1), self.operands.ctypes.data)

    def begin(self, memory: Memory) -> None:
        memory.out.view(np.int64)[0] = 0

    def wrong(self, memory: Memory, work: Work) -> str:
        got, right = int(memory.out.view(np.int64)[0]), ADDITIONS * (work.rounds + work.warm)
        return "" if got == right else f"the additions came to {got} and not {right}"

    def rate(self, rounds: int, seconds: float) -> float:
        """Of one core, that of the slowest thread."""
        return self.per_round * rounds / seconds


def thread_bytes(worksets: Mapping[int, Sequence[tuple[str, int]]]) -> list[int]:
    """How much memory each thread needs for the largest working set it takes part in.

    Args:
        worksets: by number of threads: level and bytes per thread.
    """
    most = max(worksets, default=0)
    return [
        max((size for threads, sets in worksets.items() if threads > number for _, size in sets), default=4096)
        for number in range(most)
    ]
