"""What can be measured on which GPU, and what cannot."""

from __future__ import annotations

import functools
import hashlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peaks_cuda.tensor import tensor_kernels
from bench.peaks_cuda.traffic import stream_kernels
from bench.peaks_cuda.vector import vector_kernels
from bench.peaks_cuda.wgmma import wgmma_kernels

if TYPE_CHECKING:
    from bench.peaks_cuda.kernel import Kernel

MEMORY_PARTS = ("memory read", "memory write", "memory copy", "L2 read", "L1 read")
BUS_PARTS = ("PCIe write", "PCIe read")
CALLS = "calls"
OLDEST = 75


@functools.cache
def kernels() -> dict[str, Kernel]:
    """All arithmetic kernels by name."""
    return {kernel.name: kernel for kernel in (*vector_kernels(), *tensor_kernels(), *wgmma_kernels())}


@functools.cache
def revision() -> str:
    """Changes with any kernel: what another kernel once found says nothing of this one."""
    texts = [kernel.text for kernel in kernels().values()] + [stream.text for stream in stream_kernels().values()]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def groups(capability: int) -> tuple[tuple[str, ...], ...]:
    """What to measure on a GPU of some compute capability; each group in a process of its own."""
    found: dict[str, list[str]] = {}
    for kernel in kernels().values():
        if kernel.runs_on(capability):
            found.setdefault(kernel.group, []).append(kernel.name)
    return (*(tuple(names) for names in found.values()), MEMORY_PARTS, (*BUS_PARTS, CALLS))


def not_measured(capability: int) -> list[str]:
    """What a reader must know of rows that are missing or too low, full sentences."""
    if capability < 80:
        return ["Its tensor cores were not measured: their instructions are older than those measured here."]
    if 100 <= capability < 120:
        said = "Its own tensor-core instructions (tcgen05) were not measured; what mma.sync reaches is below its peak"
        return [f"{said}, so a floor from these rows is no bound."]
    return []


def l1_bytes(capability: int) -> int | None:
    """L1 and shared memory of one multiprocessor together; None where we do not know."""
    table = tomllib.loads(Path(__file__).with_name("multiprocessors.toml").read_text(encoding="utf-8"))
    row = table.get(str(capability))
    return int(row["l1_bytes"]) if row else None
