"""Which arithmetic kernels there are, and which of them this machine can run.

Every kernel adds products of ones to accumulators that do not depend on each other, so that its answer is
known: an accumulator grows by the same whole number in every round of the loop.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peaks import amx, arm, x86

if TYPE_CHECKING:
    from collections.abc import Collection

    from bench.peaks.accumulate import Kernel

TABLES = {"x86_64": (*x86.KERNELS, *amx.KERNELS), "aarch64": arm.KERNELS}
# What Linux calls it, where LLVM has another name for it.
LINUX_NAMES = {
    "asimd": "neon",
    "asimdhp": "fullfp16",
    "asimddp": "dotprod",
}


def machine() -> str:
    """The architecture, as the tables call it."""
    name = platform.machine()
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(name, name)


def arm_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What Linux says of an ARM processor, in LLVM's words: LLVM itself finds out only a part. Empty elsewhere."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("Features")), [])
    return frozenset(LINUX_NAMES.get(flag, flag) for flag in flags)


def offered(architecture: str, features: Collection[str]) -> tuple[Kernel, ...]:
    """The kernels that a processor with these features (LLVM's words) should be able to run.

    Returns:
        None at all where the architecture is not known.
    """
    return tuple(
        one
        for one in TABLES.get(architecture, ())
        if one.needs.issubset(features) and not one.pointless & set(features)
    )
