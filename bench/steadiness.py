"""How steady this machine is: the same work again and again, in several processes."""

from __future__ import annotations

import statistics
from typing import Any

from bench.spawn import spawn

PROCESSES = 5
REPEATS = 250
# Chosen by us from what quiet and noisy machines showed.
BETWEEN_MOST = 0.02
TAIL_MOST = 1.25


def steadiness() -> dict[str, Any]:
    """Watch the machine for a few seconds.

    Returns:
        ``between`` (spread of the processes' medians, as a share), ``tail`` (p99 over p50, within
        processes), ``foreign`` and ``steal`` (shares of processor time), ``steady`` and a ``sentence``.
    """
    medians, tails, foreign, steal = [], [], [], []
    for _ in range(PROCESSES):
        outcome = spawn({"task": "steady", "repeats": REPEATS}, {}, 60.0)
        if outcome.status != "ok" or outcome.body["status"] != "ok":
            reason = outcome.reason or outcome.body.get("reason")
            return {"steady": False, "sentence": f"could not be watched: {reason}"}
        times = sorted(outcome.body["wall_ns"])
        medians.append(statistics.median(times))
        tails.append(times[int(0.99 * len(times))] / statistics.median(times))
        disturbance = outcome.body["disturbance"]
        foreign.append(disturbance["foreign"])
        steal.append(disturbance["steal"])
    between = statistics.stdev(medians) / statistics.mean(medians)
    tail = statistics.median(tails)
    steady = between <= BETWEEN_MOST and tail <= TAIL_MOST
    result: dict[str, Any] = {"between": between, "tail": tail, "steady": steady}
    result["foreign"] = statistics.median(foreign) if None not in foreign else None
    result["steal"] = statistics.median(steal) if None not in steal else None
    word = "steady" if steady else "NOT STEADY: small differences will drown"
    others = "" if result["foreign"] is None else f"; other programs used {result['foreign']:.1%} of the processors"
    stolen = "" if result["steal"] is None else f", the hypervisor took {result['steal']:.1%}"
    result["sentence"] = (
        f"{word} (equal work differs by {between:.1%} between processes, p99 is {tail:.2f} × p50{others}{stolen})"
    )
    return result
