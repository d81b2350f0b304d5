"""Task: what each node of one cell takes, by the engine's own profiler, beside plain calls."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.check import Checker
from bench.layouts import make_layout
from bench.measure import sample
from bench.tasks.common import engine_request
from bench.warmup import warmup_samples
from models.card import Card
from models.oracle_file import load_oracle
from results.nodes import NodeTime, NodeTimes
from runtimes import registry
from runtimes.base import Runtime
from runtimes.errors import EngineError

if TYPE_CHECKING:
    from bench.layouts import Feeds, Layout
    from runtimes.base import Request

ONE_OF_TWO = "One of the two calls of the layout was profiled, alone: what two at once do to each other is not in it."


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with ``times``, see :class:`results.nodes.NodeTimes`.

    The request has ``runtime``, ``version``, ``layout``, ``threads_each``, ``sessions`` (1), ``options``,
    ``cards`` (one channel, and as called), ``oracle``, ``oracle_origin``, ``engine_cache``, ``plain_s``,
    ``calls_least`` and ``calls_most``.

    Raises:
        EngineError: the engine failed, or its answers are wrong.
        UnsupportedError: it has no profiler.
    """
    adapter = registry.get(request["runtime"])
    cards = (Card.from_json(request["cards"][0]), Card.from_json(request["cards"][1]))
    engine = engine_request(request, cards[1])
    if type(adapter).profile is Runtime.profile or adapter.device == "gpu":
        adapter.profile(engine, [], 0, time.perf_counter_ns)  # says why not, before anything is loaded
    adapter.start()
    plain_ns, feeds = _plain(adapter, engine, cards, request)
    # A pool of idle threads beside the profiled session would slow it down.
    gc.collect()
    calls = int(request["plain_s"] * 1e9 / max(plain_ns, 1.0))
    calls = min(max(calls, request["calls_least"]), request["calls_most"])
    found = adapter.profile(engine, feeds, calls, time.perf_counter_ns)
    times = NodeTimes(
        request["runtime"],
        request["version"],
        found.calls,
        found.call_ns,
        tuple(NodeTime(n.name, n.operator, n.ns, n.count, n.originals, n.kernel) for n in found.nodes),
        (*found.notes, *([ONE_OF_TWO] if request["layout"] in ("seq", "par") else [])),
        plain_ns,
        2 if request["layout"] == "batch2" else 1,
        engine.threads,
    )
    return {"times": times.to_json()}


def _plain(
    adapter: Runtime, engine: Request, cards: tuple[Card, Card], request: dict[str, Any]
) -> tuple[float, list[Feeds]]:
    """The median of plain calls in nanoseconds, and inputs as they are in a stream; nothing stays loaded."""
    inputs, expected = load_oracle(Path(request["oracle"]))
    [session] = adapter.load(engine)
    layout = make_layout("batch2" if request["layout"] == "batch2" else "mono", cards, inputs, [session])
    try:
        checker = Checker(layout, expected, cards[0], str(request["oracle_origin"]))
        wrong = checker.verdict(
            checker.answers()[1], _precision(request, cards[0], session.facts().precision), "before profiling"
        )
        if wrong:
            raise EngineError(f"it has no time to explain: {wrong}")
        layout.begin()
        wall = sample(layout, request["plain_s"], request["calls_least"], request["calls_most"]).wall()
        return float(np.median(wall[warmup_samples(wall) :])), _stream(layout)
    finally:
        layout.close()
        session.close()


def _precision(request: dict[str, Any], card: Card, ran: str) -> str:
    """What answers are judged by: the stated precision, or what ran where none was stated."""
    stated = str(request["options"].get("precision", "default"))
    return "+".join(sorted({ran if stated == "default" else stated, card.precision}))


def _stream(layout: Layout) -> list[Feeds]:
    """The inputs of the next calls, states carried on: zeros in their place could take another time."""
    feeds = []
    for number in range(layout.rotations):
        feeds.append(dict(layout.feeds(number)))
        layout.absorb(layout.call(feeds[-1]))
    return feeds
