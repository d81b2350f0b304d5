"""What a kernel is, what it must answer, and the frame that every arithmetic kernel shares.

An arithmetic kernel keeps some accumulators per thread, adds the same product to each of them again and again, and
leaves the least and the greatest of them behind. Starting values, operands and the number of iterations arrive at
run time, so that no compiler can know the answer; the host knows it, because operands are ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of an accumulator word.
WORD_BYTES = {"f32": 4, "f16x2": 4, "bf16x2": 4, "s32": 4, "f64": 8}


@dataclass(frozen=True)
class Kernel:
    """One arithmetic kernel as PTX, and everything the host must know of it.

    Its parameters are ``out`` (two words per thread: the least and the greatest accumulator, compared as bits),
    ``clocks`` (64 bits per block: clock cycles it took), ``start`` (one word per accumulator), ``iterations``
    (32 bits, at least 1), ``a`` and ``b`` (64 bits: the operands' bits).

    Attributes:
        name: its entry point, and what it is called in notes.
        precision: as in :class:`results.peaks.Arithmetic`.
        isa: likewise.
        instruction: the PTX instruction it repeats.
        text: the PTX module.
        block: threads in a block.
        capability: the least compute capability, such as 80 for 8.0.
        flops: operations of one block in one iteration, a multiply-add being two.
        accumulators: words per thread.
        number: what is in a word: ``f32``, ``f64``, ``f16x2``, ``bf16x2``, ``s32``.
        start: of every accumulator.
        gain: what one iteration adds to every accumulator.
        exact_to: sums up to here are exact whatever the order of summing; past it they stick somewhere above.
            None for integers, which wrap.
        a, b: the operands' bits.
        sass: machine instructions that do the work, for those who look: the start of their name.
        sass_count: how many of them one warp executes in one iteration.
        group: kernels of one group are measured in one process.
        only: the capabilities it is for, where that is not every one from ``capability`` on.
    """

    name: str
    precision: str
    isa: str
    instruction: str
    text: str
    block: int
    capability: int
    flops: int
    accumulators: int
    number: str
    start: int
    gain: int
    exact_to: int | None
    a: int
    b: int
    sass: str
    sass_count: int
    group: str
    only: tuple[int, ...] = ()

    @property
    def word_bytes(self) -> int:
        """Size of an accumulator word."""
        return WORD_BYTES[self.number]

    def runs_on(self, capability: int) -> bool:
        """Whether a GPU of this compute capability has its instructions."""
        return capability in self.only if self.only else capability >= self.capability

    def answer(self, iterations: int) -> int:
        """What every accumulator holds after so many iterations, were sums exact."""
        return self.start + self.gain * iterations


def arithmetic_text(
    name: str,
    *,
    version: str,
    target: str,
    block: int,
    accumulators: int,
    bits: int,
    setup: Sequence[str],
    loop: Sequence[str],
    registers: Sequence[str] = (),
    shared_bytes: int = 0,
) -> str:
    """The PTX of an arithmetic kernel.

    Args:
        name: of the entry point.
        version: of the PTX language.
        target: the architecture it is written for.
        block: threads in a block.
        accumulators: how many; they are ``%x0`` onwards.
        bits: of an accumulator, 32 or 64.
        setup: lines before the loop; they find the operands in ``%a`` and ``%b`` (``%a64``, ``%b64`` where 64 bits
            are meant) and the thread's number in ``%t``.
        loop: lines of one iteration.
        registers: declarations that ``setup`` and ``loop`` need.
        shared_bytes: of shared memory under the name ``tile``; 0 for none.
    """
    width = bits // 8
    held = [f"%x{index}" for index in range(accumulators)]
    lines = [
        f".version {version}",
        f".target {target}",
        ".address_size 64",
        "",
        f".visible .entry {name}(",
        "  .param .u64 out, .param .u64 clocks, .param .u64 start,",
        "  .param .u32 iterations, .param .b64 a, .param .b64 b",
        f") .maxntid {block}, 1, 1",
        "{",
        *([f"  .shared .align 1024 .b8 tile[{shared_bytes}];"] if shared_bytes else []),
        f"  .reg .b{bits} %x<{accumulators}>;",
        f"  .reg .b{bits} %least, %most;",
        "  .reg .b64 %out, %clocks, %start, %a64, %b64, %offset, %begin, %end;",
        "  .reg .b32 %a, %b, %n, %t, %block, %size, %thread;",
        "  .reg .pred %more, %first;",
        *(f"  {line}" for line in registers),
        "  ld.param.u64 %out, [out];",
        "  ld.param.u64 %clocks, [clocks];",
        "  ld.param.u64 %start, [start];",
        "  ld.param.u32 %n, [iterations];",
        "  ld.param.b64 %a64, [a];",
        "  ld.param.b64 %b64, [b];",
        "  cvt.u32.u64 %a, %a64;",
        "  cvt.u32.u64 %b, %b64;",
        "  mov.u32 %t, %tid.x;",
        "  mov.u32 %block, %ctaid.x;",
        "  mov.u32 %size, %ntid.x;",
        "  mad.lo.u32 %thread, %block, %size, %t;",
        # Loaded from different places: for all the compiler knows, accumulators differ.
        *(f"  ld.global.b{bits} {register}, [%start+{width * index}];" for index, register in enumerate(held)),
        *(f"  {line}" for line in setup),
        "  bar.sync 0;",
        "  mov.u64 %begin, %clock64;",
        "again:",
        # Unrolled further, the loop would no longer hold what is counted.
        '  .pragma "nounroll";',
        *(f"  {line}" for line in loop),
        "  sub.u32 %n, %n, 1;",
        "  setp.ne.u32 %more, %n, 0;",
        "  @%more bra again;",
        "  mov.u64 %end, %clock64;",
        f"  mov.b{bits} %least, {held[0]};",
        f"  mov.b{bits} %most, {held[0]};",
        *(line for register in held[1:] for line in _extremes(bits, register)),
        f"  mul.wide.u32 %offset, %thread, {2 * width};",
        "  add.u64 %out, %out, %offset;",
        f"  st.global.b{bits} [%out], %least;",
        f"  st.global.b{bits} [%out+{width}], %most;",
        "  sub.u64 %end, %end, %begin;",
        "  mul.wide.u32 %offset, %block, 8;",
        "  add.u64 %clocks, %clocks, %offset;",
        "  setp.eq.u32 %first, %t, 0;",
        "  @%first st.global.b64 [%clocks], %end;",
        "  ret;",
        "}",
        "",
    ]
    return "\n".join(lines)


def _extremes(bits: int, register: str) -> tuple[str, str]:
    # Compared as bits, which orders positive numbers of every format, and two equal halves like one.
    return f"  min.u{bits} %least, %least, {register};", f"  max.u{bits} %most, %most, {register};"
