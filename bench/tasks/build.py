"""Task: let an engine compile ahead of measuring, in a process that measures nothing."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from bench.tasks.common import engine_request
from models.card import Card
from runtimes import registry

if TYPE_CHECKING:
    from runtimes.base import Request


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with the adapter's facts about the build, and how long it took.

    The request has ``runtime``, ``card``, ``options``, ``threads_each``, ``sessions`` and
    ``engine_cache``.
    """
    adapter = registry.get(request["runtime"])
    adapter.start()
    engine = engine_request(request, Card.from_json(request["card"]))
    begin = time.perf_counter_ns()
    facts = adapter.build(engine)
    took_s = (time.perf_counter_ns() - begin) / 1e9
    return {"facts": facts, "build_s": _build_s(engine, facts, took_s)}


def _build_s(engine: Request, facts: dict[str, Any], took_s: float) -> float | None:
    """What compiling took when it was done, which may have been in an earlier run; None without compiling."""
    if not facts:
        return None
    artefact = str(facts.get("artefact") or f"{engine.model_sha256[:16]}-{sorted(engine.options.items())}")
    note = engine.cache.parent / f"took-{hashlib.sha256(artefact.encode()).hexdigest()[:16]}.txt"
    if not facts.get("cached"):
        note.write_text(f"{took_s!r}\n")
        return took_s
    try:
        return float(note.read_text())
    except (OSError, ValueError):
        return None
