"""Kernels for the lanes of a GPU: one multiply-add per thread and instruction, or two, or four."""

from __future__ import annotations

from bench.peaks_cuda.kernel import Kernel, arithmetic_text

BLOCK = 256
ACCUMULATORS = 16
# Instructions in one iteration. The loop's own four are then less than one in a hundred.
UNROLLED = 512
GROUP = "vector"


def vector_kernels() -> tuple[Kernel, ...]:
    """Multiply-adds of fp32, fp64, pairs of fp16 and bf16, and int8 in fours."""
    return (
        _kernel("fma_fp32", "fp32", "fma", "fma.rn.f32", "f32", 75, 2, 1, 1 << 24, 0x3F800000, "FFMA"),
        _kernel("fma_fp64", "fp64", "fma", "fma.rn.f64", "f64", 75, 2, 1, 1 << 53, 0x3FF0000000000000, "DFMA"),
        _kernel("fma_fp16x2", "fp16", "fma, pairs", "fma.rn.f16x2", "f16x2", 75, 4, 1, 1 << 11, 0x3C003C00, "HFMA2"),
        _kernel("fma_bf16x2", "bf16", "fma, pairs", "fma.rn.bf16x2", "bf16x2", 80, 4, 1, 1 << 8, 0x3F803F80, "HFMA2"),
        _kernel("dp4a_int8", "int8", "dot product, fours", "dp4a.s32.s32", "s32", 75, 8, 4, None, 0x01010101, "IDP"),
    )


def _kernel(
    name: str,
    precision: str,
    isa: str,
    instruction: str,
    number: str,
    capability: int,
    flops: int,
    gain: int,
    exact_to: int | None,
    one: int,
    sass: str,
) -> Kernel:
    wide = number == "f64"
    a, b = ("%a64", "%b64") if wide else ("%a", "%b")
    # Every accumulator's turn comes after all others', so no instruction waits for the one before it.
    loop = [f"{instruction} %x{index % ACCUMULATORS}, {a}, {b}, %x{index % ACCUMULATORS};" for index in range(UNROLLED)]
    text = arithmetic_text(
        name,
        version="7.0",
        target=f"sm_{capability}",
        block=BLOCK,
        accumulators=ACCUMULATORS,
        bits=64 if wide else 32,
        setup=(),
        loop=loop,
    )
    return Kernel(
        name=name,
        precision=precision,
        isa=isa,
        instruction=instruction,
        text=text,
        block=BLOCK,
        capability=capability,
        flops=flops * UNROLLED * BLOCK,
        accumulators=ACCUMULATORS,
        number=number,
        start=gain,
        gain=gain * (UNROLLED // ACCUMULATORS),
        exact_to=exact_to,
        a=one,
        b=one,
        sass=sass,
        sass_count=UNROLLED,
        group=GROUP,
    )
