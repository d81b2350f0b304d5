"""Arithmetic kernels for x86-64, from SSE2 to AVX-512."""

from __future__ import annotations

import numpy as np

from bench.peaks.accumulate import STARTS, Kernel, Vector, accumulate, ones

NAMES = {"float32": "float", "float64": "double", "float16": "half"}
SUFFIXES = {"float32": "ps", "float64": "pd", "float16": "ph"}
PRECISIONS = {"float32": "fp32", "float64": "fp64", "float16": "fp16"}
# As many whole numbers as a type can count without a gap.
COUNTS = {"float32": 1 << 24, "float64": 1 << 53, "float16": 1 << 11}
REGISTERS = {128: "xmm", 256: "ymm", 512: "zmm"}
# A multiply-add takes 4 to 6 clocks and two begin in each; 12 also fit the 16 registers of AVX.
ACCUMULATORS = {128: 12, 256: 12, 512: 24}
# The sums of products in several steps keep their accumulators busy for one clock only, and need room.
IN_STEPS = 8
WORD = "int32"


def _vector(element: str, bits: int) -> Vector:
    lanes = bits // (8 * np.dtype(element).itemsize)
    return Vector(f"<{lanes} x {NAMES.get(element, 'i32')}>", element, lanes)


def _fused(element: str, bits: int, isa: str, need: str, features: str) -> Kernel:
    """``llvm.fma``: one instruction, rounded once."""
    vector = _vector(element, bits)
    function = f"@llvm.fma.v{vector.lanes}f{8 * np.dtype(element).itemsize}"
    return Kernel(
        precision=PRECISIONS[element],
        isa=isa,
        needs=frozenset({need}),
        flops=2 * vector.lanes * ACCUMULATORS[bits],
        ir=accumulate(
            vector,
            ACCUMULATORS[bits],
            ["{d} = call {v} " + function + "({v} %o0, {v} %o1, {v} {c})"],
            features=features,
            operands=[vector.type] * 2,
            declarations=[f"declare {vector.type} {function}({vector.type}, {vector.type}, {vector.type})"],
        ),
        operands=ones(element, 2 * vector.bytes),
        element=element,
        elements=vector.lanes * ACCUMULATORS[bits],
        step=1,
        exact=COUNTS[element] - STARTS,
        instruction=f"vfmadd231{SUFFIXES[element]} {REGISTERS[bits]}",
        accumulators=ACCUMULATORS[bits],
    )


def _two_steps(element: str, bits: int, isa: str, need: str, features: str, pointless: tuple[str, ...] = ()) -> Kernel:
    """A multiplication and an addition, for those that cannot do both at once."""
    vector = _vector(element, bits)
    v, suffix = "v" if bits > 128 else "", f"{SUFFIXES[element]} {REGISTERS[bits]}"
    return Kernel(
        precision=PRECISIONS[element],
        isa=isa,
        needs=frozenset({need}),
        flops=2 * vector.lanes * ACCUMULATORS[bits],
        ir=accumulate(
            vector,
            ACCUMULATORS[bits],
            ["%m{i} = fmul {v} %x{i}, %o1", "{d} = fadd {v} {c}, %m{i}"],
            features=features,
            operands=[vector.type] * 2,
            chain=True,
        ),
        operands=ones(element, 2 * vector.bytes),
        element=element,
        elements=vector.lanes * ACCUMULATORS[bits],
        step=1,
        exact=COUNTS[element] - STARTS,
        instruction=f"{v}add{suffix}",
        steps=f"{v}mul{SUFFIXES[element]} and {v}add{suffix}",
        accumulators=ACCUMULATORS[bits],
        pointless=frozenset(pointless),
    )


def _assembled(
    precision: str,
    bits: int,
    isa: str,
    need: str,
    features: str,
    instruction: str,
    each: int,
    element: str,
    constraint: str,
) -> Kernel:
    """One instruction that multiplies and adds, ``each`` products per element of an accumulator.

    Written as assembly, because LLVM changes its functions for these from version to version; ``constraint`` says
    which registers it takes: ``v`` any, ``x`` the first 16.
    """
    vector = _vector("float32" if precision == "bf16" else WORD, bits)
    call = f'asm "{instruction} $3, $2, $0", "={constraint},0,{constraint},{constraint}"'
    integer = precision == "int8"
    return Kernel(
        precision=precision,
        isa=isa,
        needs=frozenset({need}),
        flops=2 * each * vector.lanes * ACCUMULATORS[bits],
        ir=accumulate(
            vector,
            ACCUMULATORS[bits],
            ["{d} = call {v} " + call + "({v} {c}, {v} %o0, {v} %o1)"],
            features=features,
            operands=[vector.type] * 2,
        ),
        operands=ones(element, 2 * vector.bytes),
        element=vector.element,
        elements=vector.lanes * ACCUMULATORS[bits],
        step=each,
        exact=(1 << 62) if integer else COUNTS["float32"] // each - STARTS,
        instruction=f"{instruction.removeprefix('{{vex}} ')} {REGISTERS[bits]}",
        accumulators=ACCUMULATORS[bits],
    )


def _bytes_in_steps(bits: int, isa: str, need: str, features: str, pointless: tuple[str, ...] = ()) -> Kernel:
    """Products of bytes to sums of 32 bits in three instructions, for those without VNNI."""
    vector = _vector(WORD, bits)
    v = "v" if bits > 128 else ""
    register = "v" if bits == 512 else "x"
    three = f'"={register},{register},{register}"' if v else '"=x,0,x"'
    order = "$2, $1, $0" if v else "$2, $0"
    return Kernel(
        precision="int8",
        isa=isa,
        needs=frozenset({need}),
        flops=2 * 4 * vector.lanes * IN_STEPS,
        ir=accumulate(
            vector,
            IN_STEPS,
            [
                # The first has no accumulator: what it does must not look the same in every round.
                f'%m{{i}} = call {{v}} asm sideeffect "{v}pmaddubsw {order}", {three}({{v}} %o0, {{v}} %o1)',
                f'%w{{i}} = call {{v}} asm "{v}pmaddwd {order}", {three}({{v}} %m{{i}}, {{v}} %o2)',
                "{d} = add {v} {c}, %w{i}",
            ],
            features=features,
            operands=[vector.type] * 3,
        ),
        operands=ones("int8", 2 * vector.bytes) + ones("int16", vector.bytes),
        element=WORD,
        elements=vector.lanes * IN_STEPS,
        step=4,
        exact=1 << 62,
        instruction=f"{v}pmaddubsw {REGISTERS[bits]}",
        steps=f"{v}pmaddubsw, {v}pmaddwd and {v}paddd {REGISTERS[bits]}",
        accumulators=IN_STEPS,
        pointless=frozenset(pointless),
    )


LEGACY = "+sse2,+ssse3,-avx"
AVX = "+avx,-avx2,-fma,-avx512f"
FMA = "+avx2,+fma,-avx512f"
AVX512 = "+avx512f,+avx512bw,+avx512dq,+avx512vl"

KERNELS = (
    *(_two_steps(element, 128, "sse2", "sse2", LEGACY) for element in ("float32", "float64")),
    *(_two_steps(element, 256, "avx", "avx", AVX, ("fma",)) for element in ("float32", "float64")),
    *(_fused(element, 256, "fma", "fma", FMA) for element in ("float32", "float64")),
    *(_fused(element, 512, "avx512f", "avx512f", AVX512) for element in ("float32", "float64")),
    _fused("float16", 512, "avx512_fp16", "avx512fp16", f"{AVX512},+avx512fp16"),
    _assembled("bf16", 512, "avx512_bf16", "avx512bf16", f"{AVX512},+avx512bf16", "vdpbf16ps", 2, "bf16", "v"),
    _bytes_in_steps(128, "ssse3", "ssse3", LEGACY, ("avx2",)),
    _bytes_in_steps(256, "avx2", "avx2", FMA),
    _bytes_in_steps(512, "avx512bw", "avx512bw", AVX512),
    _assembled("int8", 256, "avx_vnni", "avxvnni", "+avx2,+avxvnni,-avx512f", "{{vex}} vpdpbusd", 4, "int8", "x"),
    _assembled("int8", 512, "avx512_vnni", "avx512vnni", f"{AVX512},+avx512vnni", "vpdpbusd", 4, "int8", "v"),
)
