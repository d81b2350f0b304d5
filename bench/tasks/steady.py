"""Task: a fixed piece of pure computation, timed; says how steady this machine is."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from bench import disturbance

BLOCK = bytes(1 << 16)


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with the times of ``repeats`` equal pieces of work, and what disturbed them."""
    before = disturbance.read()
    times = []
    for _ in range(request["repeats"]):
        begin = time.perf_counter_ns()
        for _ in range(20):
            hashlib.sha256(BLOCK).digest()
        times.append(time.perf_counter_ns() - begin)
    return {"wall_ns": times, "disturbance": disturbance.between(before, disturbance.read())}
