"""What this machine is: facts that decide whether two runs can be compared."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import sys
from pathlib import Path
from typing import Any

SYSTEM = Path("/sys/devices/system/cpu")
# Instruction sets that decide how fast an engine can be; other flags are noise.
ISA = [
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "sve",
    "sve2",
    "bf16",
    "i8mm",
]


def usable_cpus() -> set[int]:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def cpus() -> int:
    """CPUs this process may use."""
    return len(usable_cpus())


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or less where a control group says so."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(Path("/sys/fs/cgroup/memory.max"))
    return min(machine, int(limit)) if limit.isdigit() else machine


def host_facts() -> dict[str, Any]:
    """Everything worth knowing about the machine, JSON values; unknown facts are None."""
    info = _cpuinfo()
    flags = info.get("flags", info.get("Features", "")).split()
    stable = {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cpu_id": " ".join(info.get(key, "?") for key in ("vendor_id", "cpu family", "model", "stepping")),
        "architecture": platform.machine(),
        "isa": [flag for flag in ISA if flag in flags],
        "cpus": os.cpu_count(),
        "cpus_usable": cpus(),
        "smt": {"0": False, "1": True}.get(_read(SYSTEM / "smt" / "active")),
        "caches": _caches(),
        "virtual": "hypervisor" in flags,
        "system": platform.system(),
    }
    name = socket.gethostname()
    identity = json.dumps({**stable, "memory_gib": memory_bytes() >> 30}, sort_keys=True)
    return {
        **stable,
        "memory_bytes": memory_bytes(),
        "kernel": platform.release(),
        "governor": _read(SYSTEM / "cpu0" / "cpufreq" / "scaling_governor") or None,
        "boost": {"0": False, "1": True}.get(_read(SYSTEM / "cpufreq" / "boost")),
        "frequency_max_khz": _number(_read(SYSTEM / "cpu0" / "cpufreq" / "cpuinfo_max_freq")),
        "python": sys.version.split()[0],
        "name_sha256": hashlib.sha256(name.encode()).hexdigest()[:12],
        "fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:12],
    }


def _cpuinfo() -> dict[str, str]:
    text = _read(Path("/proc/cpuinfo")).split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted((SYSTEM / "cpu0" / "cache").glob("index*")):
        kind = _read(index / "type")
        if kind != "Instruction":
            found[f"L{_read(index / 'level')}{'d' if kind == 'Data' else ''}"] = _read(index / "size")
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
