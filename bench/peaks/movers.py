"""Kernels that move bytes, count clocks, fill memory, and start several threads at the same moment.

The loops that move bytes go round a working set without a branch at its end: the offset is set back to 0 by a
conditional move, so that no mispredicted jump shows in a set of a few hundred vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.peaks.ir import Carried, at, kernel

if TYPE_CHECKING:
    from collections.abc import Collection

# How many streams of a working set each has: a copy has one that it reads and one that it writes. Only ``add`` shows
# cores that load twice and store once in the same clock.
STREAMS = {"read": 1, "write": 1, "copy": 2, "add": 3}
# Vectors per round, and sums that take turns in adding them up.
UNROLLED, SUMS = 16, 8
# The widest vectors first: LLVM's feature, what the code generator may use, bits.
WIDTHS = (
    ("avx512f", "+avx512f,+avx512bw,+avx512dq,+avx512vl", 512),
    ("avx2", "+avx2,-avx512f", 256),
    ("avx", "+avx,-avx2,-avx512f", 256),
    ("sse2", "+sse2,-avx", 128),
    ("neon", "+neon", 128),
)
POINTERS = {
    "read": {"from": "%a"},
    "write": {"to": "%b"},
    "copy": {"from": "%a", "to": "%b"},
    "add": {"from": "%a", "too": "%second", "to": "%b"},
}
STORED = {"write": "%value", "copy": "%v{i}", "add": "%x{i}"}
# Additions that wait for each other, in one round of the clock's loop.
ADDITIONS = 64


@dataclass(frozen=True)
class Mover:
    """A loop over streams of ``bytes`` bytes each, in steps.

    Attributes:
        kind: ``read``: ``out`` gets the sums of all 32-bit words at ``a``; ``write``: the first vector at ``out`` goes
            everywhere at ``b``; ``copy``: from ``a`` to ``b``; ``add``: the words at ``a`` and those behind them, added
            up, to ``b``.
        isa: whose vectors it moves.
        bits: of a vector.
        ir: the kernel. A round is one step; ``bytes`` must be a whole number of them.
    """

    kind: str
    isa: str
    bits: int
    ir: str

    @property
    def step_bytes(self) -> int:
        """What one round goes over in each stream."""
        return UNROLLED * self.bits // 8

    @property
    def out_bytes(self) -> int:
        """What ``out`` must have room for."""
        return SUMS * self.bits // 8

    @property
    def source(self) -> str:
        """In words, what was run."""
        return f"kernel of ours: {UNROLLED} vectors of {self.bits} bits a round ({self.isa}), no non-temporal stores"


def movers(features: Collection[str]) -> tuple[Mover, ...]:
    """One of each kind, with the widest vectors of a processor with these features (LLVM's words)."""
    for isa, setting, bits in WIDTHS:
        if isa in features:
            return tuple(Mover(kind, isa, bits, _ir(kind, setting, bits)) for kind in STREAMS)
    return ()


def _ir(kind: str, features: str, bits: int) -> str:
    size = bits // 8
    vector = f"<{bits // 32} x i32>"
    before = [f"%value = load {vector}, ptr %out"] if kind == "write" else []
    carried = [Carried("i64", "%offset", "0", "%following")]
    inside: list[str] = [
        f"%{name} = getelementptr i8, ptr {base}, i64 %offset" for name, base in POINTERS[kind].items()
    ]
    if kind == "add":
        before.append("%second = getelementptr i8, ptr %a, i64 %bytes")
    after: list[str] = []
    stores: list[str] = []
    for i in range(UNROLLED):
        if kind != "write":
            inside += [at(f"%f{i}", "%from", i * size), f"%v{i} = load {vector}, ptr %f{i}"]
        if kind == "read":
            sum_before = f"%c{i}" if i < SUMS else f"%s{i - SUMS}"
            inside.append(f"%s{i} = add {vector} {sum_before}, %v{i}")
            continue
        if kind == "add":
            inside += [at(f"%g{i}", "%too", i * size), f"%w{i} = load {vector}, ptr %g{i}"]
            inside.append(f"%x{i} = add {vector} %v{i}, %w{i}")
        store = [at(f"%t{i}", "%to", i * size), f"store {vector} {STORED[kind].format(i=i)}, ptr %t{i}"]
        # A copy is faster out of L2 when it loads everything first; a sum is faster in L1 when it does not.
        (stores if kind == "copy" else inside).extend(store)
    inside += stores
    if kind == "read":
        last = UNROLLED - SUMS
        carried += [Carried(vector, f"%c{i}", "zeroinitializer", f"%s{last + i}") for i in range(SUMS)]
        for i in range(SUMS):
            after += [at(f"%o{i}", "%out", i * size), f"store {vector} %s{last + i}, ptr %o{i}"]
    inside += [
        f"%onwards = add i64 %offset, {UNROLLED * size}",
        "%around = icmp uge i64 %onwards, %bytes",
        "%following = select i1 %around, i64 0, i64 %onwards",
    ]
    return kernel(before, carried, inside, after, features=features, bits=bits)


def clock(machine: str) -> str:
    """Additions of which each waits for the one before: one clock each. ``out`` has the sum, ``a`` the summand.

    Of two registers, because some processors add small constants for nothing.
    """
    arm = machine == "aarch64"
    # On x86 an addition also sets the flags, which the loop's own counter must not be kept in.
    one, lost = ("add $0, $0, $1", "") if arm else ("addq $1, $0", ",~{flags}")
    lines = "\\0A".join([one] * ADDITIONS)
    chain = f'asm sideeffect "{lines}", "=r,r,0{lost}"(i64 %summand, i64 %sum)'
    return kernel(
        ["%summand = load i64, ptr %a", "%start = load i64, ptr %out"],
        [Carried("i64", "%sum", "%start", "%more")],
        [f"%more = call i64 {chain}"],
        ["store i64 %more, ptr %out"],
        features="",
        bits=128,
    )


def fill() -> str:
    """Word i at ``a`` becomes i and all words at ``b`` become 0, ``n`` each: who runs it gets the memory near."""
    return kernel(
        [],
        [Carried("i64", "%i", "0", "%next")],
        [
            "%pa = getelementptr i32, ptr %a, i64 %i",
            "%pb = getelementptr i32, ptr %b, i64 %i",
            "%word = trunc i64 %i to i32",
            "store i32 %word, ptr %pa",
            "store i32 0, ptr %pb",
            "%next = add i64 %i, 1",
        ],
        [],
        features="",
        bits=128,
    )


def timed() -> str:
    """``timed``: a kernel, started when so many threads have come to the gate, between two looks at the clock.

    Arguments: the kernel and its five; rounds to warm up with, 0 for none; the gate (a counter), and what it
    counts up to; the two times to write, each as seconds and nanoseconds; the number of the clock.
    """
    return """
declare i32 @clock_gettime(i32, ptr)

define void @timed(ptr %kernel, ptr %out, ptr %a, ptr %b, i64 %bytes, i64 %n, i64 %warm,
                   ptr %gate, i64 %target, ptr %times, i32 %clock) nounwind {
entry:
  %cold = icmp eq i64 %warm, 0
  br i1 %cold, label %arrive, label %heat
heat:
  call void %kernel(ptr %out, ptr %a, ptr %b, i64 %bytes, i64 %warm)
  br label %arrive
arrive:
  %before = atomicrmw add ptr %gate, i64 1 seq_cst
  br label %wait
wait:
  %arrived = load atomic i64, ptr %gate seq_cst, align 8
  %open = icmp uge i64 %arrived, %target
  br i1 %open, label %go, label %wait
go:
  %end = getelementptr i8, ptr %times, i64 16
  %x = call i32 @clock_gettime(i32 %clock, ptr %times)
  call void %kernel(ptr %out, ptr %a, ptr %b, i64 %bytes, i64 %n)
  %y = call i32 @clock_gettime(i32 %clock, ptr %end)
  ret void
}
"""
