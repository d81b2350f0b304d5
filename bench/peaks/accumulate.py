"""The shape that all vector arithmetic kernels have: accumulators that do not wait for each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.peaks.ir import Carried, at, kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Start values are small and not all equal, so that a mixed-up accumulator shows.
STARTS = 7


@dataclass(frozen=True)
class Kernel:
    """An arithmetic kernel and what its answer must be.

    Attributes:
        precision: of the factors, as in :class:`results.peaks.Arithmetic`.
        isa: its instruction set, as Linux calls it; with the instruction where one set has several.
        needs: features, as LLVM calls them, without which it cannot run.
        flops: operations per round, a multiply-add being two.
        ir: the kernel. ``out`` has the accumulators, ``a`` the operands.
        operands: what ``a`` points to.
        element: NumPy's name for the type of an accumulator's elements.
        elements: of all accumulators together.
        step: by how much every element grows in a round.
        exact: rounds for which that growth is exact; past them rounding may hold it back.
        instruction: of the processor, as an assembler writes it; appears ``accumulators`` times in the loop.
        accumulators: that do not depend on each other.
        steps: what it takes where that is more than one instruction.
        pointless: features that make this kernel a slower way to do the same.
        tiles: whether the operating system must be asked for AMX first.
    """

    precision: str
    isa: str
    needs: frozenset[str]
    flops: int
    ir: str
    operands: bytes
    element: str
    elements: int
    step: int
    exact: int
    instruction: str
    accumulators: int
    steps: str = ""
    pointless: frozenset[str] = frozenset()
    tiles: bool = False

    @property
    def name(self) -> str:
        """For a sentence about it."""
        return f"{self.precision} with {self.isa}"

    @property
    def source(self) -> str:
        """In words, what was run."""
        return f"kernel of ours: {self.accumulators} × {self.steps or self.instruction}, independent of each other"

    def start(self) -> NDArray[np.generic]:
        """The accumulators before the first round, shape ``(elements,)``."""
        return (np.arange(self.elements) % STARTS * self.step).astype(self.element)

    def wrong(self, answer: NDArray[np.generic], rounds: int) -> str:
        """What is wrong with the accumulators after so many rounds; empty when nothing is.

        Integers wrap around, as the instructions do. Where rounding may hold the sums back, they must have
        grown as far as they do exactly.
        """
        begin = np.arange(self.elements) % STARTS * self.step
        right = begin + self.step * min(rounds, self.exact)
        if np.issubdtype(self.element, np.integer):
            bad = answer != (begin + self.step * rounds).astype(np.int64).astype(self.element)
        elif rounds <= self.exact:
            bad = answer != right
        else:
            # Not "less than": what is no number at all must not pass.
            bad = ~(answer.astype(np.float64) >= right)
        if not bad.any():
            return ""
        first = int(np.flatnonzero(bad)[0])
        return f"after {rounds} rounds element {first} is {answer[first]} and not {right[first]}"


@dataclass(frozen=True)
class Vector:
    """A vector register's worth of something.

    Attributes:
        type: in LLVM IR, such as ``<16 x float>``.
        element: NumPy's name for the elements' type.
        lanes: how many elements.
    """

    type: str
    element: str
    lanes: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return np.dtype(self.element).itemsize * self.lanes


def ones(element: str, size_bytes: int) -> bytes:
    """So many bytes of ones; ``bf16`` is known, too."""
    one = np.array([0x3F80], np.uint16) if element == "bf16" else np.ones(1, element)
    return one.tobytes() * (size_bytes // one.itemsize)


def accumulate(
    vector: Vector,
    accumulators: int,
    inside: Sequence[str],
    *,
    features: str,
    operands: Sequence[str],
    declarations: Sequence[str] = (),
    chain: bool = False,
) -> str:
    """A kernel's IR.

    Args:
        vector: an accumulator.
        accumulators: how many.
        inside: the instructions for one accumulator; ``{v}`` is its type, ``{c}`` its value before, ``{d}`` after,
            ``{i}`` its number; ``%o0``, ``%o1`` … are the operands.
        features: for the code generator.
        operands: the types of those, all of an accumulator's size; ``a`` has them one behind the other.
        declarations: of functions that ``inside`` calls.
        chain: operand 0 is made anew for every accumulator, as ``%x{i}``, by no instruction at all. Without that,
            a product of two operands that never change would be computed once, ahead of the loop. On x86 only.
    """
    numbers = range(accumulators)
    before: list[str] = []
    for number, kind in enumerate(operands):
        before += [at(f"%a{number}", "%a", number * vector.bytes), f"%o{number} = load {kind}, ptr %a{number}"]
    for i in numbers:
        before += [at(f"%p{i}", "%out", i * vector.bytes), f"%s{i} = load {vector.type}, ptr %p{i}"]
    lines: list[str] = []
    for i in numbers:
        if chain:
            last = "%first" if i == 0 else f"%x{i - 1}"
            opaque = f'asm sideeffect "", "=x,0"({vector.type} {last})'
            lines.append(f"%x{i} = call {vector.type} {opaque}")
        lines += [line.format(v=vector.type, c=f"%c{i}", d=f"%d{i}", i=i) for line in inside]
    carried = [Carried(vector.type, f"%c{i}", f"%s{i}", f"%d{i}") for i in numbers]
    if chain:
        carried.append(Carried(vector.type, "%first", "%o0", f"%x{accumulators - 1}"))
    after = [f"store {vector.type} %d{i}, ptr %p{i}" for i in numbers]
    bits = 8 * vector.bytes
    return kernel(before, carried, lines, after, features=features, bits=bits, declarations=declarations)
