"""What the machine did to one process while it was measured."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Reading:
    """Counters at one moment.

    Attributes:
        ticks: the machine's CPU ticks by kind, from the first line of ``/proc/stat``; empty elsewhere.
    """

    wall_ns: int
    own_cpu_s: float
    minor_faults: int
    major_faults: int
    involuntary_switches: int
    ticks: tuple[int, ...]


def read() -> Reading:
    """Counters now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    try:
        line = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        ticks = tuple(int(item) for item in line[1:])
    except (OSError, ValueError):
        ticks = ()
    return Reading(
        time.perf_counter_ns(),
        usage.ru_utime + usage.ru_stime,
        usage.ru_minflt,
        usage.ru_majflt,
        usage.ru_nivcsw,
        ticks,
    )


def between(before: Reading, after: Reading) -> dict[str, Any]:
    """What happened between two readings.

    Returns:
        ``steal`` (share of all processors' time that the hypervisor gave to others) and
        ``foreign`` (share of it that other processes here used), None where unknown; fault and
        switch counts.
    """
    facts: dict[str, Any] = {
        "minor_faults": after.minor_faults - before.minor_faults,
        "major_faults": after.major_faults - before.major_faults,
        "involuntary_switches": after.involuntary_switches - before.involuntary_switches,
        "steal": None,
        "foreign": None,
    }
    if before.ticks and after.ticks:
        moved = [b - a for a, b in zip(before.ticks, after.ticks, strict=True)]
        total = sum(moved[:8])
        tick = os.sysconf("SC_CLK_TCK")
        if total > 0:
            idle = moved[3] + moved[4]
            steal = moved[7] if len(moved) > 7 else 0
            own = (after.own_cpu_s - before.own_cpu_s) * tick
            facts["steal"] = steal / total
            facts["foreign"] = max(0.0, total - idle - steal - own) / total
    try:
        facts["load_1min"] = os.getloadavg()[0]
    except OSError:
        facts["load_1min"] = None
    return facts


class Watch:
    """Readings from here on, without what happens in pauses."""

    def __init__(self) -> None:
        self._before = read()
        self._paused = self._before

    def pause(self) -> None:
        """What happens from now on is not this process's."""
        self._paused = read()

    def go_on(self) -> None:
        """The pause is over."""
        now, paused, before = read(), self._paused, self._before
        self._before = Reading(
            before.wall_ns + now.wall_ns - paused.wall_ns,
            before.own_cpu_s + now.own_cpu_s - paused.own_cpu_s,
            before.minor_faults + now.minor_faults - paused.minor_faults,
            before.major_faults + now.major_faults - paused.major_faults,
            before.involuntary_switches + now.involuntary_switches - paused.involuntary_switches,
            tuple(a + b - c for a, b, c in zip(before.ticks, now.ticks, paused.ticks, strict=True)),
        )

    def facts(self) -> dict[str, Any]:
        """As :func:`between` has them, up to now."""
        return between(self._before, read())


def peak_rss_bytes() -> int | None:
    """This process's own peak resident memory.

    ``getrusage`` would inherit the parent's peak across fork, so the kernel's high-water mark of
    this address space is read instead.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    scale = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
