"""Arithmetic kernels for 64-bit ARM: vectors of 128 bits. SVE is left alone, see docs/peaks.md."""

from __future__ import annotations

import numpy as np

from bench.peaks.accumulate import STARTS, Kernel, Vector, accumulate, ones
from bench.peaks.x86 import COUNTS, NAMES, PRECISIONS

# Four multiply-adds of four clocks each begin at once on the widest cores; there are 32 registers.
ACCUMULATORS = 24
SUFFIXES = {"float32": "4s", "float64": "2d", "float16": "8h"}


def _fused(element: str, isa: str, need: str) -> Kernel:
    """``llvm.fma``: one instruction, rounded once."""
    size = np.dtype(element).itemsize
    vector = Vector(f"<{16 // size} x {NAMES[element]}>", element, 16 // size)
    function = f"@llvm.fma.v{vector.lanes}f{8 * size}"
    return Kernel(
        precision=PRECISIONS[element],
        isa=isa,
        needs=frozenset({need}),
        flops=2 * vector.lanes * ACCUMULATORS,
        ir=accumulate(
            vector,
            ACCUMULATORS,
            ["{d} = call {v} " + function + "({v} %o0, {v} %o1, {v} {c})"],
            features=f"+neon,+{need}",
            operands=[vector.type] * 2,
            declarations=[f"declare {vector.type} {function}({vector.type}, {vector.type}, {vector.type})"],
        ),
        operands=ones(element, 2 * vector.bytes),
        element=element,
        elements=vector.lanes * ACCUMULATORS,
        step=1,
        exact=COUNTS[element] - STARTS,
        instruction=f"fmla {SUFFIXES[element]}",
        accumulators=ACCUMULATORS,
    )


def _dot(precision: str, isa: str, need: str, instruction: str, halves: str, each: int) -> Kernel:
    """One instruction that multiplies and adds, ``each`` products per element of an accumulator.

    LLVM's name of it ends in the types it is for: ``halves``.
    """
    integer = precision == "int8"
    vector = Vector("<4 x i32>", "int32", 4) if integer else Vector("<4 x float>", "float32", 4)
    factor = "<16 x i8>" if integer else "<8 x bfloat>"
    function = f"@llvm.aarch64.neon.{instruction}{halves}"
    return Kernel(
        precision=precision,
        isa=isa,
        needs=frozenset({need}),
        flops=2 * each * vector.lanes * ACCUMULATORS,
        ir=accumulate(
            vector,
            ACCUMULATORS,
            ["{d} = call {v} " + f"{function}({{v}} {{c}}, {factor} %o0, {factor} %o1)"],
            features=f"+neon,+{need}",
            operands=[factor] * 2,
            declarations=[f"declare {vector.type} {function}({vector.type}, {factor}, {factor})"],
        ),
        operands=ones("int8" if integer else "bf16", 2 * vector.bytes),
        element=vector.element,
        elements=vector.lanes * ACCUMULATORS,
        step=each,
        exact=(1 << 62) if integer else COUNTS["float32"] // each - STARTS,
        instruction=f"{instruction} 4s",
        accumulators=ACCUMULATORS,
    )


KERNELS = (
    _fused("float32", "asimd", "neon"),
    _fused("float64", "asimd", "neon"),
    _fused("float16", "asimdhp", "fullfp16"),
    _dot("bf16", "bf16, bfdot", "bf16", "bfdot", ".v4f32.v8bf16", 2),
    _dot("bf16", "bf16, bfmmla", "bf16", "bfmmla", "", 4),
    _dot("int8", "asimddp", "dotprod", "sdot", ".v4i32.v16i8", 4),
    _dot("int8", "i8mm", "i8mm", "smmla", ".v4i32.v16i8", 8),
)
