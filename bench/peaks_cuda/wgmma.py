"""Kernels for Hopper's own tensor-core instruction, ``wgmma``: ``mma.sync`` cannot keep those cores busy.

A group of four warps multiplies a 64 × K by a K × 256 matrix, K being 32 bytes. Both lie in shared memory, described by
a 64-bit value (PTX ISA, "Asynchronous warpgroup level matrix instructions", matrix descriptor): start address, leading
and stride byte offset, each divided by 16, and how the bytes are swizzled. Which form of storage suits the memory banks
better is not known beforehand, so both are tried:

* ``plain``: tiles of 8 rows × 16 bytes one after the other, one K deep;
* ``swizzled``: rows of 128 bytes, four K deep, in the pattern that repeats every 1,024 bytes.

All elements are one, so every sum grows by K, wherever an element lies.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.peaks_cuda.kernel import Kernel, arithmetic_text

BLOCK = 128
M, N = 64, 256
DEPTH_BYTES = 32
# Registers per thread that hold the 64 × 256 sums of 128 threads.
SUMS = M * N // BLOCK
# Products in one iteration, before the group waits for them.
PRODUCTS = 16
# In units of K, which is 32: these sums keep 14 bits while they are in a tensor core, so that ones added up stick at
# 2^14. Seen on an H100.
FP8_EXACT_TO = 1 << 9
GROUP = "wgmma"
_TILE_ROWS, _TILE_BYTES = 8, 128
_SWIZZLE_128 = 1 << 62


@dataclass(frozen=True)
class _Type:
    name: str
    precision: str
    sums: str
    types: str
    bytes: int
    number: str
    one: int
    exact_to: int | None
    # What follows the descriptors: whether to add to the sums, signs, and (16-bit types) which side is transposed.
    tail: str
    sass: str


_TYPES = (
    _Type("fp16", "fp16", "fp32 sum", "f32.f16.f16", 2, "f32", 0x3C003C00, 1 << 20, "%add, 1, 1, 0, 0", "HGMMA"),
    _Type("bf16", "bf16", "fp32 sum", "f32.bf16.bf16", 2, "f32", 0x3F803F80, 1 << 20, "%add, 1, 1, 0, 0", "HGMMA"),
    _Type("tf32", "tf32", "fp32 sum", "f32.tf32.tf32", 4, "f32", 0x3F800000, 1 << 20, "%add, 1, 1", "HGMMA"),
    _Type("int8", "int8", "int32 sum", "s32.s8.s8", 1, "s32", 0x01010101, None, "%add", "IGMMA"),
    _Type("fp8", "fp8", "fp32 sum", "f32.e4m3.e4m3", 1, "f32", 0x38383838, FP8_EXACT_TO, "%add, 1, 1", "QGMMA"),
)


def descriptor(leading_bytes: int, stride_bytes: int, *, swizzled: bool) -> int:
    """A matrix descriptor but for its start address, which is added (divided by 16) when the kernel runs."""
    bits = (leading_bytes & 0x3FFFF) >> 4 << 16 | (stride_bytes & 0x3FFFF) >> 4 << 32
    return bits | (_SWIZZLE_128 if swizzled else 0)


def wgmma_kernels() -> tuple[Kernel, ...]:
    """Products of fp16, bf16, tf32, int8 and fp8, each from both forms of storage."""
    return tuple(_kernel(kind, swizzled=swizzled) for kind in _TYPES for swizzled in (False, True))


def _kernel(kind: _Type, *, swizzled: bool) -> Kernel:
    k = DEPTH_BYTES // kind.bytes
    name = f"wgmma_{kind.name}_{'swizzled' if swizzled else 'plain'}"
    instruction = f"wgmma.mma_async.sync.aligned.m{M}n{N}k{k}.{kind.types}"
    # Steps of K that one stored tile holds.
    steps = 4 if swizzled else 1
    a_bytes, b_bytes = M * DEPTH_BYTES * steps, N * DEPTH_BYTES * steps
    if swizzled:
        # The leading offset has no meaning within a row that is swizzled whole; 16 bytes is its customary value.
        a_form = b_form = descriptor(16, _TILE_ROWS * DEPTH_BYTES * steps, swizzled=True)
    else:
        a_form = descriptor(M // _TILE_ROWS * _TILE_BYTES, _TILE_BYTES, swizzled=False)
        b_form = descriptor(N // _TILE_ROWS * _TILE_BYTES, _TILE_BYTES, swizzled=False)
    setup = ["setp.ne.u32 %add, %n, 0;", "mov.u32 %tile, tile;", "shl.b32 %own, %t, 2;", "add.u32 %own, %own, %tile;"]
    row = BLOCK * 4
    setup += [f"st.shared.b32 [%own+{offset}], %a;" for offset in range(0, a_bytes, row)]
    setup += [f"st.shared.b32 [%own+{a_bytes + offset}], %b;" for offset in range(0, b_bytes, row)]
    # Tensor cores read shared memory by a way of their own: stores must be made known to it.
    setup += ["fence.proxy.async;", "cvt.u64.u32 %where, %tile;", "shr.u64 %where, %where, 4;"]
    for step in range(steps):
        offset = step * DEPTH_BYTES
        setup += [
            f"add.u64 %p{step}, %where, {a_form + (offset >> 4):#x};",
            f"add.u64 %q{step}, %where, {b_form + (a_bytes + offset >> 4):#x};",
        ]
    sums = ", ".join(f"%x{index}" for index in range(SUMS))
    loop = ["wgmma.fence.sync.aligned;"]
    loop += [f"{instruction} {{{sums}}}, %p{step % steps}, %q{step % steps}, {kind.tail};" for step in range(PRODUCTS)]
    loop += ["wgmma.commit_group.sync.aligned;", "wgmma.wait_group.sync.aligned 0;"]
    text = arithmetic_text(
        name,
        version="8.0",
        target="sm_90a",
        block=BLOCK,
        accumulators=SUMS,
        bits=32,
        registers=(
            ".reg .pred %add;",
            ".reg .b32 %tile, %own;",
            ".reg .b64 %where;",
            f".reg .b64 %p<{steps}>;",
            f".reg .b64 %q<{steps}>;",
        ),
        setup=setup,
        loop=loop,
        shared_bytes=a_bytes + b_bytes,
    )
    return Kernel(
        name=name,
        precision=kind.precision,
        isa=f"tensor core (wgmma), {kind.sums}",
        instruction=f"{instruction}, {'128-byte swizzle' if swizzled else 'no swizzle'}",
        text=text,
        block=BLOCK,
        capability=90,
        only=(90,),
        flops=2 * M * N * k * PRODUCTS,
        accumulators=SUMS,
        number=kind.number,
        start=k,
        gain=k * PRODUCTS,
        exact_to=None if kind.exact_to is None else kind.exact_to * k,
        a=kind.one,
        b=kind.one,
        sass=kind.sass,
        sass_count=PRODUCTS,
        group=GROUP,
    )
