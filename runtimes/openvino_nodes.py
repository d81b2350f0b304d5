"""OpenVINO's counters, read: what each node took in a call, and which nodes of the model it stands for.

Nothing here imports OpenVINO: the adapter hands over plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtimes.graph_nodes import Graph, fill_gaps
from runtimes.profiled_nodes import Profile, ProfiledNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Changes of layout that the plug-in adds between nodes.
REORDER = "Reorder"
NOTES = (
    "OpenVINO tells averages since the model was loaded: two readings make the mean, not the median, of a node.",
    "It counts whole microseconds, cut off: a node loses half of one per call on average, and one below shows as 0.",
)


@dataclass(frozen=True)
class Counter:
    """One line of ``profiling_info`` that was executed: the average over all calls so far, microseconds."""

    name: str
    operator: str
    kernel: str
    us: float


@dataclass(frozen=True)
class Op:
    """An operation of an OpenVINO model.

    Attributes:
        name: its friendly name.
        tensors: names of the tensors it writes.
        sources: friendly names of the operations it reads.
        layers: of a compiled model only: the operations it was made of.
        operator: of a compiled model only: what the plug-in calls it.
    """

    name: str
    tensors: tuple[str, ...]
    sources: tuple[str, ...]
    layers: tuple[str, ...] = ()
    operator: str = ""


def read_counters(
    before: Sequence[Counter],
    after: Sequence[Counter],
    calls: tuple[int, int],
    latencies_ns: Sequence[float],
    originals: Mapping[str, Sequence[str]],
) -> Profile:
    """Means per node over the calls between two readings.

    Args:
        before: the earlier reading.
        after: the later one.
        calls: how many calls each reading is the average of.
        latencies_ns: of the calls in between, as the infer request gives them.
        originals: name of a node -> the nodes it stands for.
    """
    first, last = calls
    earlier = {counter.name: counter.us for counter in before}
    nodes = [
        ProfiledNode(
            counter.name,
            counter.operator,
            max(0.0, (counter.us * last - earlier.get(counter.name, 0.0) * first) / (last - first)) * 1e3,
            1.0,
            tuple(originals.get(counter.name, ())),
            counter.kernel,
        )
        for counter in after
    ]
    return Profile(last - first, sum(latencies_ns) / len(latencies_ns), tuple(nodes), NOTES)


def stand_for(graph: Graph, imported: Sequence[Op], compiled: Sequence[Op]) -> dict[str, tuple[str, ...]]:
    """Which nodes of the model's graph each node of the compiled model computes.

    The importer names the last operation of what it makes of a node after it; those before it get numbers,
    and belong to the node that they lead to. What the optimiser made anew is placed by its neighbours.

    Args:
        graph: the model's.
        imported: what the importer made of it, sources first.
        compiled: what runs.

    Returns:
        Name of a node of ``compiled`` -> keys, in the graph's order.
    """
    owners = _owners(graph, imported)
    claims: dict[str, set[str]] = {}
    for op in compiled:
        named = {owners.get(layer) or graph.key_of(layer) for layer in op.layers}
        claims[op.name] = {key for key in named if key is not None and key in graph.live}
    edges = [(source, op.name) for op in compiled for source in op.sources]
    reorders = {op.name for op in compiled if op.operator == REORDER}
    fed = {op.name for op in compiled if not op.sources}  # inputs and constants stand for no node
    return fill_gaps(graph, {name: keys for name, keys in claims.items() if name not in fed}, edges, reorders)


def _owners(graph: Graph, imported: Sequence[Op]) -> dict[str, str | None]:
    """Friendly name -> the node it was made of; None where it serves several."""
    readers: dict[str, set[str]] = {}
    for op in imported:
        for source in op.sources:
            readers.setdefault(source, set()).add(op.name)
    owners: dict[str, str | None] = {}
    for op in reversed(imported):
        names = (op.name, *op.tensors)
        own = next((key for key in map(graph.key_of, names) if key is not None), None)
        if own is None:
            above = {owners.get(reader) for reader in readers.get(op.name, ())}
            own = above.pop() if len(above) == 1 else None
        owners[op.name] = own
    return owners
