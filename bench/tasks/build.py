"""Task: let an engine compile ahead of measuring, in a process that measures nothing."""

from __future__ import annotations

import time
from typing import Any

from bench.tasks.common import engine_request
from models.card import Card
from runtimes import registry


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with the adapter's facts about the build, and how long it took.

    The request has ``runtime``, ``card``, ``options``, ``threads_each``, ``sessions`` and
    ``engine_cache``.
    """
    adapter = registry.get(request["runtime"])
    adapter.start()
    begin = time.perf_counter_ns()
    facts = adapter.build(engine_request(request, Card.from_json(request["card"])))
    return {"facts": facts, "build_s": (time.perf_counter_ns() - begin) / 1e9}
