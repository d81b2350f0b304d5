"""Task: one sitting at the peaks of this machine's processors."""

from __future__ import annotations

from typing import Any

from bench.peaks.sitting import Order, sit


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with the rates of every repeat.

    The request has the fields of :class:`bench.peaks.sitting.Order`. The reply has those of
    :class:`bench.peaks.sitting.Found`, and ``jobs``: what was measured, ``threads`` and ``rates`` (per second).
    """
    found = sit(
        Order(
            cpus=tuple(request["cpus"]),
            worksets={int(threads): [(level, size) for level, size in sets] for threads, sets in request["worksets"]},
            budget_s=request["budget_s"],
            rounds_least=request["rounds_least"],
            repeat_s=request["repeat_s"],
            seed=request["seed"],
            without=frozenset(request["without"]),
            only=request["only"],
        )
    )
    return {
        "offered": list(found.offered),
        "refused": found.refused,
        "pinned": found.pinned,
        "compiler": found.compiler,
        "jobs": [{**job.what(), "threads": job.threads, "rates": rates} for job, rates in found.rates if rates],
    }
