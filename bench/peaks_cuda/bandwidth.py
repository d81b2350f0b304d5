"""Bytes per second from and to the memories of a GPU, and over its bus."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.peaks_cuda.traffic import SHARED_HALF_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.peaks_cuda.traffic import Stream
    from runtimes.gpu.device import Function, Gpu

# Of what one pass leaves in the L2, the next may find as much again.
TIMES_L2 = 32
LEAST_BUFFER_BYTES = 256 << 20
# Of the memory that is free now; reading and copying need two buffers.
SHARE_OF_FREE = 1 / 8
# Every multiprocessor may have its data kept twice in an L2 of two halves, so smaller shares are tried as well.
L2_SHARES = (1 / 8, 1 / 4, 1 / 2)
BUS_BYTES = 64 << 20
# What is read; sums of it are checked.
WORD = 3
_STALE = 0


@dataclass(frozen=True)
class Span:
    """How a grid covers a buffer.

    Attributes:
        blocks: of the grid.
        chunks: strides of the whole grid.
        bytes: that it touches in one pass.
    """

    blocks: int
    chunks: int
    bytes: int


def span(stream: Stream, blocks: int, most_bytes: int) -> Span | None:
    """The largest part of a buffer that a grid covers evenly; None where one stride is larger than the buffer."""
    stride = blocks * stream.block * stream.thread_bytes
    chunks = most_bytes // stride
    return Span(blocks, chunks, chunks * stride) if chunks else None


def buffer_bytes(l2_bytes: int, free_bytes: int) -> int:
    """A size that the L2 hardly helps with, and that leaves the GPU's memory to others."""
    wanted = max(LEAST_BUFFER_BYTES, TIMES_L2 * l2_bytes)
    return min(wanted, int(free_bytes * SHARE_OF_FREE))


def l2_spans(stream: Stream, multiprocessors: int, per_multiprocessor: int, l2_bytes: int) -> list[Span]:
    """Ways to go over a part of the L2: few or many blocks, small or large shares of it."""
    found = {}
    blocks = 1
    while blocks <= per_multiprocessor:
        for share in L2_SHARES:
            part = span(stream, blocks * multiprocessors, int(l2_bytes * share))
            if part is not None:
                found[part.blocks, part.chunks] = part
        blocks *= 2
    return list(found.values())


class StreamProbe:
    """Reading, writing or copying device memory.

    Args:
        gpu: to run on.
        kind: ``read``, ``write`` or ``copy``.
        function: the kernel that does it.
        reader: the kernel that reads, with as many threads to a block; it checks what the others wrote.
        part: how the grid covers the buffers.
        source: address of a buffer filled with :data:`WORD`.
        target: address of a buffer to write to; not used by reading.
    """

    def __init__(
        self, gpu: Gpu, kind: str, function: Function, reader: Function, part: Span, source: int, target: int = 0
    ) -> None:
        self._gpu, self._kind, self._source, self._target = gpu, kind, source, target
        self.function, self._reader, self.span = function, reader, part
        self._threads = part.blocks * reader.block
        self._out = gpu.allocate(4 * self._threads)
        # What is copied counts twice: once read, once written.
        self.work = float(part.bytes * (2 if kind == "copy" else 1))

    def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
        """So many passes in one launch; seconds."""
        if self._kind == "read":
            self._gpu.fill(self._out, _STALE, self._threads)
        else:
            self._gpu.fill(self._target, _STALE, self.span.bytes // 4)
        passes, chunks = ctypes.c_uint32(iterations), ctypes.c_uint32(self.span.chunks)
        source, target, out = (ctypes.c_uint64(value) for value in (self._source, self._target, self._out))
        arguments: dict[str, tuple[Any, ...]] = {
            "read": (source, out, passes, chunks),
            "write": (target, ctypes.c_uint32(WORD), passes, chunks),
            "copy": (source, target, passes, chunks),
        }
        chosen = arguments[self._kind]
        return self._gpu.time(lambda: self._gpu.launch(self.function, self.span.blocks, chosen), meanwhile)

    def wrong(self, iterations: int) -> str:
        """What is wrong with the sums of what was read, or with what was written."""
        if self._kind == "read":
            return self._wrong_sum(iterations)
        self._gpu.fill(self._out, _STALE, self._threads)
        one, chunks = ctypes.c_uint32(1), ctypes.c_uint32(self.span.chunks)
        arguments = (ctypes.c_uint64(self._target), ctypes.c_uint64(self._out), one, chunks)
        self._gpu.launch(self._reader, self.span.blocks, arguments)
        self._gpu.synchronise()
        return self._wrong_sum(1)

    def _wrong_sum(self, passes: int) -> str:
        words = self.span.bytes // 4 // self._threads
        return wrong_sums(self._gpu.get(self._out, self._threads, "<u4"), words * passes)

    def clock_hz(self, seconds: float) -> float | None:
        """Not watched."""
        del seconds
        return None


class SharedProbe:
    """Reading shared memory, on all multiprocessors at a time.

    Args:
        gpu: to run on.
        stream: what ``function`` was compiled from.
        function: the kernel.
        multiprocessors: of the GPU.
    """

    def __init__(self, gpu: Gpu, stream: Stream, function: Function, multiprocessors: int) -> None:
        self._gpu, self.function = gpu, function
        self.grid = multiprocessors * function.per_multiprocessor
        self.span = Span(self.grid, 1, 2 * SHARED_HALF_BYTES * self.grid)
        self._threads = self.grid * stream.block
        self._words = stream.thread_bytes // 4
        self._out = gpu.allocate(4 * self._threads)
        self.work = float(self.grid * SHARED_HALF_BYTES)

    def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
        """So many halves read in one launch; seconds."""
        self._gpu.fill(self._out, _STALE, self._threads)
        arguments = (ctypes.c_uint64(self._out), ctypes.c_uint32(WORD), ctypes.c_uint32(iterations))
        return self._gpu.time(lambda: self._gpu.launch(self.function, self.grid, arguments), meanwhile)

    def wrong(self, iterations: int) -> str:
        """What is wrong with the sums of what was read."""
        return wrong_sums(self._gpu.get(self._out, self._threads, "<u4"), self._words * iterations)

    def clock_hz(self, seconds: float) -> float | None:
        """Not watched."""
        del seconds
        return None


class BusProbe:
    """Copies between pinned host memory and the GPU.

    Args:
        gpu: to copy to or from.
        host: address of pinned memory.
        device: address of device memory.
        size: bytes of both.
        down: from the host to the device; else from the device to the host.
    """

    def __init__(self, gpu: Gpu, host: int, device: int, size: int, *, down: bool) -> None:
        self._gpu, self._host, self._device, self._size, self._down = gpu, host, device, size, down
        self._view = np.ctypeslib.as_array((ctypes.c_uint32 * (size // 4)).from_address(host))
        self.span = Span(0, 1, size)
        self.work = float(size)

    def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
        """So many copies, one after the other; seconds."""
        words = self._size // 4
        self._view.fill(iterations if self._down else _STALE)
        self._gpu.fill(self._device, _STALE if self._down else iterations, words)
        host, device, size = ctypes.c_void_p(self._host), ctypes.c_uint64(self._device), ctypes.c_size_t(self._size)

        def copies() -> None:
            for _ in range(iterations):
                if self._down:
                    self._gpu.driver.call("cuMemcpyHtoDAsync_v2", device, host, size, self._gpu.stream)
                else:
                    self._gpu.driver.call("cuMemcpyDtoHAsync_v2", host, device, size, self._gpu.stream)

        return self._gpu.time(copies, meanwhile)

    def wrong(self, iterations: int) -> str:
        """What is wrong with the copy."""
        arrived = self._gpu.get(self._device, self._size // 4, "<u4") if self._down else self._view
        return "" if bool((arrived == iterations).all()) else "the copy is not what was copied"

    def clock_hz(self, seconds: float) -> float | None:
        """Not watched."""
        del seconds
        return None


def wrong_sums(sums: Any, words: int) -> str:
    """What is wrong with the sums of threads that each read so many words of one value; empty when nothing is."""
    must = words * WORD % (1 << 32)
    bad = sums != must
    if not bool(bad.any()):
        return ""
    return f"a thread's sum was {int(sums[bad][0])} and must be {must} ({float(bad.mean()):.0%} of the sums are wrong)"
