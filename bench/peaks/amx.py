"""Arithmetic kernels for AMX: tiles of 16 rows of 64 bytes."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

from bench.peaks.accumulate import Kernel, ones
from bench.peaks.ir import at, kernel

ROWS, ROW_BYTES = 16, 64
TILE_BYTES = ROWS * ROW_BYTES
# Six of the eight tiles are sums; a product begins every 16 clocks and takes about 52.
SUMS, LEFT, RIGHT = 6, 6, 7
# Linux on x86-64: arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA = 158, 0x1023, 18


def ask_permission() -> str:
    """Ask Linux for the tiles, for all threads of this process; why it refused, or an empty text."""
    if platform.system() != "Linux":
        return "only Linux is known to lend the tiles"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(SYS_ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0:
        return ""
    return f"the system does not lend the tiles: {os.strerror(ctypes.get_errno())}"


def configuration() -> bytes:
    """Palette 1: eight tiles of full size; the layout is that of the instruction LDTILECFG."""
    widths = [ROW_BYTES] * 8 + [0] * 8
    rows = [ROWS] * 8 + [0] * 8
    return struct.pack("<BB14x16H16B", 1, 0, *widths, *rows)


def _tiles(precision: str, isa: str, feature: str, instruction: str, ones_of: str, products: int) -> Kernel:
    """A product of two tiles, added to a third; ``products`` is per element of a sum, of a row with a column."""
    names = ["ldtilecfg(ptr)", "tileloadd64(i8, ptr, i64)", "tilestored64(i8, ptr, i64)", "tilerelease()"]
    sums = range(SUMS)
    before = [
        at("%factor", "%a", 0),
        at("%other", "%a", TILE_BYTES),
        at("%setting", "%a", 2 * TILE_BYTES),
        "call void @llvm.x86.ldtilecfg(ptr %setting)",
        f"call void @llvm.x86.tileloadd64(i8 {LEFT}, ptr %factor, i64 {ROW_BYTES})",
        f"call void @llvm.x86.tileloadd64(i8 {RIGHT}, ptr %other, i64 {ROW_BYTES})",
    ]
    for i in sums:
        before.append(at(f"%p{i}", "%out", i * TILE_BYTES))
        before.append(f"call void @llvm.x86.tileloadd64(i8 {i}, ptr %p{i}, i64 {ROW_BYTES})")
    inside = [f"call void @llvm.x86.{instruction}(i8 {i}, i8 {LEFT}, i8 {RIGHT})" for i in sums]
    after = [f"call void @llvm.x86.tilestored64(i8 {i}, ptr %p{i}, i64 {ROW_BYTES})" for i in sums]
    elements = TILE_BYTES // 4
    return Kernel(
        precision=precision,
        isa=isa,
        needs=frozenset({"amx-tile", feature}),
        flops=2 * products * elements * SUMS,
        ir=kernel(
            before,
            (),
            inside,
            [*after, "call void @llvm.x86.tilerelease()"],
            features=f"+amx-tile,+{feature}",
            bits=128,
            declarations=[
                *(f"declare void @llvm.x86.{name}" for name in names),
                f"declare void @llvm.x86.{instruction}(i8 immarg, i8 immarg, i8 immarg)",
            ],
        ),
        operands=ones(ones_of, 2 * TILE_BYTES) + configuration(),
        element="int32" if precision == "int8" else "float32",
        elements=elements * SUMS,
        step=products,
        exact=(1 << 62) if precision == "int8" else (1 << 24) // products - 8,
        instruction=instruction,
        accumulators=SUMS,
        tiles=True,
    )


KERNELS = (
    _tiles("bf16", "amx_bf16", "amx-bf16", "tdpbf16ps", "bf16", 32),
    _tiles("fp16", "amx_fp16", "amx-fp16", "tdpfp16ps", "float16", 32),
    _tiles("int8", "amx_int8", "amx-int8", "tdpbusd", "uint8", 64),
)
