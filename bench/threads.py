"""How many threads of this process really computed, from the kernel's books."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

TASKS = Path("/proc/self/task")
# A thread counts when it was on a processor for this share of the time: spinning and computing
# threads are near 1, housekeeping threads near 0.
SHARE = 0.1


def thread_cpu_ns() -> dict[int, int]:
    """CPU nanoseconds per thread of this process so far; empty where the system does not say."""
    spent: dict[int, int] = {}
    try:
        threads = list(TASKS.iterdir())
    except OSError:
        return {}
    for thread in threads:
        try:
            spent[int(thread.name)] = int((thread / "schedstat").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            try:
                fields = (thread / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended between the listing and the reading
            spent[int(thread.name)] = (int(fields[11]) + int(fields[12])) * (10**9 // os.sysconf("SC_CLK_TCK"))
    return spent


def threads_used(before: Mapping[int, int], after: Mapping[int, int], wall_ns: int) -> int | None:
    """Threads that were on a processor for at least a tenth of the wall time; None when unknown."""
    if not after or wall_ns <= 0:
        return None
    return sum(1 for thread, spent in after.items() if spent - before.get(thread, 0) >= SHARE * wall_ns)


def parallelism(before: Mapping[int, int], after: Mapping[int, int], wall_ns: int) -> float | None:
    """CPU time over wall time: how many processors were busy with this process on average."""
    if not after or wall_ns <= 0:
        return None
    return sum(spent - before.get(thread, 0) for thread, spent in after.items()) / wall_ns
