"""What each node of a call takes: one cell, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results.floor import Graph, node_bounds

if TYPE_CHECKING:
    from bench.plan import Cell
    from bench.prepare import Preparer, Ready
    from bench.run import Limits
    from bench.spawn import Spawn
    from results.nodes import NodeBound
    from results.peaks import Peaks

# Plain calls first, then as many profiled ones as take about as long.
PLAIN_S = 1.0
CALLS_LEAST, CALLS_MOST = 10, 200
# Loading twice, and five seconds that tract takes whatever one says.
TIMEOUT_LEAST_S = 120.0


def node_times(preparer: Preparer, cell: Cell, ready: Ready, spawn: Spawn, limits: Limits) -> dict[str, Any]:
    """Profile one cell that can be measured.

    Args:
        preparer: words the request.
        cell: what to profile. Of a layout with two calls, one is profiled.
        ready: what preparation found out about it.
        spawn: starts a worker.
        limits: for the worker.

    Returns:
        :meth:`results.nodes.NodeTimes.to_json`, or ``{"reason": …}`` where there are none.
    """
    request = {
        "task": "nodes",
        **preparer.request(cell),
        "sessions": 1,
        "version": ready.version,
        "cards": list(ready.cards),
        "oracle": ready.oracle,
        "oracle_origin": ready.oracle_origin,
        "plain_s": PLAIN_S,
        "calls_least": CALLS_LEAST,
        "calls_most": CALLS_MOST,
        "memory_limit_bytes": limits.memory_bytes,
        "affinity": list(limits.cpus) if limits.cpus else None,
    }
    outcome = spawn(request, ready.environment, max(limits.timeout_s, TIMEOUT_LEAST_S))
    if outcome.status != "ok" or outcome.body["status"] != "ok":
        return {"reason": outcome.reason or str(outcome.body.get("reason"))}
    times: dict[str, Any] = outcome.body["times"]
    return times


def cell_bounds(preparer: Preparer, cell: Cell, ready: Ready, peaks: Peaks | str) -> list[NodeBound]:
    """What each node of a cell's graph would take at least, for one signal.

    Args:
        preparer: knows what the nodes cost.
        cell: whose threads and precision count.
        ready: what preparation found out about it.
        peaks: of this machine, or why there are none.

    Returns:
        Empty where peaks or costs are not known.
    """
    card = ready.cards[0]
    table = preparer.graphs.get(str(card["sha256"]))
    graph = Graph.from_table(table, str(card["precision"])) if table else None
    if isinstance(peaks, str) or graph is None:
        return []
    stated = str(cell.options.get("precision", "default"))
    # Left to itself an engine may compute in anything the machine has, and "fp32" may mean the graph's own.
    every = {row.precision for row in peaks.arithmetic}
    ran = "+".join(sorted(every if stated == "default" else {stated, str(card["precision"])}))
    return node_bounds(graph, peaks, ran, cell.threads_each)
