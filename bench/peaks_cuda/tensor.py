"""Kernels for tensor cores, by the instruction that every one of them since Ampere has: ``mma.sync``.

Shapes, fragments and types: PTX ISA, "Matrix multiply-accumulate operation using mma instruction". A warp multiplies
an M × K by a K × N matrix and adds the product to an M × N one. With all elements one, each sum grows by K, wherever
in the fragments an element lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.peaks_cuda.kernel import WORD_BYTES, Kernel, arithmetic_text

BLOCK = 256
WARPS = BLOCK // 32
# Independent products in flight per warp, and how often each is added to in one iteration.
CHAINS = 8
STEPS = 8
GROUP = "tensor"


@dataclass(frozen=True)
class _Shape:
    """One ``mma.sync``: registers are per thread; ``exact_to`` is in units of K."""

    name: str
    precision: str
    sums: str
    m: int
    n: int
    k: int
    types: str
    a_registers: int
    b_registers: int
    sum_registers: int
    number: str
    one: int
    exact_to: int | None
    capability: int
    version: str
    sass: str
    only: tuple[int, ...] = ()


# Where an architecture lacks an instruction, the compiler puts others in its place, finds that all products are the
# same, and computes one of them: the answer is right and the rate is not. Seen in the machine code for fp8 on 9.0 and
# 10.0; so fp8 is left to those that have it. On 10.0 the deep fp64 product falls into shallow ones.
#
# A sum in fp32 of products of ones is exact for 20 bits and more. Fp8 products are summed in fewer bits than fp32 has,
# and sums in fp16 may be rounded after every part of a product: bounds that hold whatever the hardware does.
_SHAPES = (
    _Shape("mma_fp16", "fp16", "fp32 sum", 16, 8, 16, "f32.f16.f16.f32", 4, 2, 4, "f32", 0x3C003C00, 1 << 20, 80, "7.0",
           "HMMA"),
    _Shape("mma_fp16_fp16", "fp16", "fp16 sum", 16, 8, 16, "f16.f16.f16.f16", 4, 2, 2, "f16x2", 0x3C003C00, 1 << 9, 80,
           "7.0", "HMMA"),
    _Shape("mma_bf16", "bf16", "fp32 sum", 16, 8, 16, "f32.bf16.bf16.f32", 4, 2, 4, "f32", 0x3F803F80, 1 << 20, 80,
           "7.0", "HMMA"),
    _Shape("mma_tf32", "tf32", "fp32 sum", 16, 8, 8, "f32.tf32.tf32.f32", 4, 2, 4, "f32", 0x3F800000, 1 << 20, 80,
           "7.0", "HMMA"),
    _Shape("mma_int8", "int8", "int32 sum", 16, 8, 32, "s32.s8.s8.s32", 4, 2, 4, "s32", 0x01010101, None, 80, "7.0",
           "IMMA"),
    _Shape("mma_fp8", "fp8", "fp32 sum", 16, 8, 32, "f32.e4m3.e4m3.f32", 4, 2, 4, "f32", 0x38383838, 1 << 9, 89, "8.4",
           "QMMA", (89, 120, 121)),
    _Shape("mma_fp64", "fp64", "fp64 sum", 8, 8, 4, "f64.f64.f64.f64", 1, 1, 2, "f64", 0x3FF0000000000000, 1 << 50, 80,
           "7.0", "DMMA"),
    _Shape("mma_fp64_k16", "fp64", "fp64 sum", 16, 8, 16, "f64.f64.f64.f64", 8, 4, 4, "f64", 0x3FF0000000000000,
           1 << 48, 90, "7.8", "DMMA", (90,)),
)  # fmt: skip


def tensor_kernels() -> tuple[Kernel, ...]:
    """Tensor-core products of fp16, bf16, tf32, int8, fp8 and fp64."""
    return tuple(_kernel(shape) for shape in _SHAPES)


def _kernel(shape: _Shape) -> Kernel:
    instruction = f"mma.sync.aligned.m{shape.m}n{shape.n}k{shape.k}.row.col.{shape.types}"
    bits = WORD_BYTES[shape.number] * 8
    accumulators = CHAINS * shape.sum_registers
    a_list = ", ".join(f"%p{index}" for index in range(shape.a_registers))
    b_list = ", ".join(f"%q{index}" for index in range(shape.b_registers))
    a, b = ("%a64", "%b64") if bits == 64 else ("%a", "%b")
    loop = []
    for _ in range(STEPS):
        for chain in range(CHAINS):
            first = chain * shape.sum_registers
            sums = ", ".join(f"%x{first + index}" for index in range(shape.sum_registers))
            loop.append(f"{instruction} {{{sums}}}, {{{a_list}}}, {{{b_list}}}, {{{sums}}};")
    text = arithmetic_text(
        shape.name,
        version=shape.version,
        target=f"sm_{shape.capability}",
        block=BLOCK,
        accumulators=accumulators,
        bits=bits,
        registers=(f".reg .b{bits} %p<{shape.a_registers}>;", f".reg .b{bits} %q<{shape.b_registers}>;"),
        setup=(
            *(f"mov.b{bits} %p{index}, {a};" for index in range(shape.a_registers)),
            *(f"mov.b{bits} %q{index}, {b};" for index in range(shape.b_registers)),
        ),
        loop=loop,
    )
    return Kernel(
        name=shape.name,
        precision=shape.precision,
        isa=f"tensor core, {shape.sums}",
        instruction=instruction,
        text=text,
        block=BLOCK,
        capability=shape.capability,
        flops=2 * shape.m * shape.n * shape.k * CHAINS * STEPS * WARPS,
        accumulators=accumulators,
        number=shape.number,
        start=shape.k,
        gain=shape.k * STEPS,
        exact_to=None if shape.exact_to is None else shape.exact_to * shape.k,
        a=shape.one,
        b=shape.one,
        sass=shape.sass,
        sass_count=CHAINS * STEPS,
        group=GROUP,
        only=shape.only,
    )
