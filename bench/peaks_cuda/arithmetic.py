"""Run one arithmetic kernel, and tell whether what it answers is what it must be."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.peaks_cuda.kernel import Kernel
    from runtimes.gpu.device import Gpu

_WORDS = {4: "<u4", 8: "<u8"}


class ArithmeticProbe:
    """A kernel on every multiprocessor of a GPU, as many blocks as fit at a time.

    Raises:
        CudaError: it does not compile or does not fit.
    """

    def __init__(self, gpu: Gpu, kernel: Kernel, multiprocessors: int) -> None:
        self.kernel, self._gpu = kernel, gpu
        self.function = gpu.compile(kernel.text, kernel.name, kernel.block)
        self.grid = multiprocessors * self.function.per_multiprocessor
        self.work = float(kernel.flops * self.grid)
        self._words = 2 * self.grid * kernel.block
        self._out = gpu.allocate(self._words * kernel.word_bytes)
        self._clocks = gpu.allocate(8 * self.grid)
        start = gpu.allocate(kernel.accumulators * kernel.word_bytes)
        gpu.put(start, encode(kernel.number, kernel.start, kernel.accumulators))
        self._start = start

    def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
        """One launch; seconds."""
        # What an earlier launch left behind must not be taken for this one's answer.
        self._gpu.fill(self._out, 0xFFFFFFFF, self._words * self.kernel.word_bytes // 4)
        arguments = (
            ctypes.c_uint64(self._out),
            ctypes.c_uint64(self._clocks),
            ctypes.c_uint64(self._start),
            ctypes.c_uint32(iterations),
            ctypes.c_uint64(self.kernel.a),
            ctypes.c_uint64(self.kernel.b),
        )
        return self._gpu.time(lambda: self._gpu.launch(self.function, self.grid, arguments), meanwhile)

    def wrong(self, iterations: int) -> str:
        """What is wrong with what all threads left behind."""
        return wrong(self.kernel, self._gpu.get(self._out, self._words, _WORDS[self.kernel.word_bytes]), iterations)

    def clock_hz(self, seconds: float) -> float | None:
        """Cycles of the block that took longest, per second of the whole launch: a little low."""
        cycles = int(self._gpu.get(self._clocks, self.grid, "<u8").max())
        return cycles / seconds if seconds > 0 and cycles else None


def wrong(kernel: Kernel, words: NDArray[Any], iterations: int) -> str:
    """Compare accumulators with what they must be.

    Args:
        kernel: that left them behind.
        words: as unsigned integers.
        iterations: of the launch.

    Returns:
        What is wrong, the end of a sentence; empty when nothing is.
    """
    values = decode(kernel.number, words)
    must: int | float = kernel.answer(iterations)
    if kernel.exact_to is None:
        must %= 1 << 32
        bad = values != must
        said = f"{must}"
    elif must <= kernel.exact_to:
        bad = values != must
        said = f"{must}"
    else:
        # Past its last exact value a sum sticks where one more addend is lost in rounding.
        bad = ~((values >= kernel.exact_to) & (values <= must))
        said = f"between {kernel.exact_to} and {must}"
    if not bad.any():
        return ""
    share = float(bad.mean())
    first = f"after {iterations} iterations a sum was {values[bad][0]:g} and must be {said}"
    return f"{first} ({share:.0%} of the sums are wrong)"


def encode(number: str, value: int, count: int) -> NDArray[Any]:
    """So many accumulator words of one value."""
    if number == "f64":
        return np.full(count, value, "<f8").view("<u8")
    if number == "f32":
        return np.full(count, value, "<f4").view("<u4")
    if number == "f16x2":
        return np.full(2 * count, value, "<f2").view("<u4")
    if number == "bf16x2":
        # A small whole number needs the upper half of its fp32 bits only.
        half = np.full(1, value, "<f4").view("<u4")[0] >> 16
        return np.full(count, half << 16 | half, "<u4")
    return np.full(count, value, "<u4")


def decode(number: str, words: NDArray[Any]) -> NDArray[Any]:
    """The numbers in accumulator words, both halves of pairs."""
    if number == "f64":
        return words.view("<f8")
    if number == "f32":
        return words.view("<f4")
    if number == "f16x2":
        return words.view("<f2").astype("<f4")
    if number == "bf16x2":
        return (words.view("<u2").astype("<u4") << 16).view("<f4")
    return words
