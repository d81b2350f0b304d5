"""ONNX Runtime's trace and its rewritten graph, read: what each node took, and which nodes it stands for.

Nothing here imports ONNX Runtime: the adapter hands over what it wrote.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtimes.errors import EngineError
from runtimes.profiled_nodes import Profile, ProfiledNode, faster_half, mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from runtimes.graph_nodes import Graph

Event = dict[str, Any]
SUFFIX = "_kernel_time"
# Their time holds that of the nodes inside them, which have events of their own.
HOLDERS = frozenset({"If", "Loop", "Scan", "SequenceMap"})
# They change the layout of a tensor and stand for nothing in the model's graph.
REORDERS = frozenset({"ReorderInput", "ReorderOutput"})
BLOCKED = "_nchwc"
# The trace has about a kilobyte for every node of every call.
EVENTS_MOST = 200_000
NOTES = (
    "ONNX Runtime's trace has whole microseconds, cut off: a node loses half of one per call on average.",
    "Its whole call begins when the library is entered: Python's share of a call is not in it.",
)


def calls_for(graph: Graph, calls: int) -> int:
    """As many calls as the trace can hold, at least ten."""
    return min(calls, max(10, EVENTS_MOST // max(len(graph.nodes), 1)))


def read_trace(events: Sequence[Event], warmup: int, originals: Mapping[str, Sequence[str]]) -> Profile:
    """Means per node over the faster half of the calls in a trace.

    Args:
        events: the trace, as it was written.
        warmup: calls to leave out.
        originals: name of a node -> the nodes it stands for.

    Raises:
        EngineError: there is no call in it.
    """
    runs = sorted((e["ts"], e["dur"]) for e in events if e.get("name") == "model_run")[warmup:]
    if not runs:
        raise EngineError("onnxruntime wrote a trace without a single call in it")
    begins = [begin for begin, _ in runs]
    seen: dict[tuple[str, str, str], _Seen] = {}
    steps = sorted((e for e in events if e.get("cat") == "Node" and e["name"].endswith(SUFFIX)), key=_inner_last)
    for event, own_us, holder in _own_times(steps):
        number = bisect_right(begins, event["ts"]) - 1
        if number < 0 or event["ts"] > runs[number][0] + runs[number][1]:
            continue
        arguments = event["args"]
        name = event["name"].removesuffix(SUFFIX)
        entry = seen.setdefault((name, str(arguments.get("op_name")), str(arguments.get("node_index"))), _Seen(holder))
        entry.us[number] += own_us
        entry.executions += 1
    durations = [duration for _, duration in runs]
    chosen = faster_half(durations)
    nodes = [
        ProfiledNode(
            name,
            operator,
            mean(entry.us, chosen) * 1e3,
            entry.executions / len(runs),
            tuple(originals.get(entry.holder or name, ())),
        )
        for (name, operator, _), entry in seen.items()
    ]
    return Profile(len(runs), mean(dict(enumerate(durations)), chosen) * 1e3, tuple(nodes), NOTES)


@dataclass
class _Seen:
    """A node's executions: the name of the outermost node it is inside of, and microseconds by call."""

    holder: str
    us: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    executions: int = 0


def _inner_last(event: Event) -> tuple[float, float]:
    return (event["ts"], -event["dur"])


def _own_times(steps: Iterable[Event]) -> Iterable[tuple[Event, float, str]]:
    """Every event with its time less that of the events inside it, and the outermost node around it."""
    own: list[list[Any]] = []
    around: list[tuple[float, int, str]] = []
    for event in steps:
        begin, end = event["ts"], event["ts"] + event["dur"]
        while around and around[-1][0] <= begin:
            around.pop()
        if around:
            own[around[-1][1]][1] -= event["dur"]
        own.append([event, event["dur"], around[0][2] if around else ""])
        if event["args"].get("op_name") in HOLDERS:
            around.append((end, len(own) - 1, event["name"].removesuffix(SUFFIX)))
    return ((event, max(0.0, us), holder) for event, us, holder in own)


def stand_for(original: Graph, optimised: Any) -> dict[str, tuple[str, ...]]:
    """Which nodes of the model's graph each node of the rewritten one computes.

    By tensors: a node that writes a tensor of the model stands for everything that leads to it, back to
    tensors that other nodes write. Names help where the layout was changed on the way and tensors have new
    names.

    Args:
        original: the model's graph.
        optimised: the rewritten one, an ``onnx.ModelProto``.

    Returns:
        Name of a node in ``optimised`` -> keys, in the graph's order.
    """
    nodes = [(node, _namesake(node, original)) for node in optimised.graph.node]
    known = _known_tensors(nodes, original)
    written = {t for node, _ in nodes if node.op_type not in REORDERS for t in node.output if t in original.producer}
    provided = {known[t] for node, _ in nodes for t in node.output if t in known}
    order = {node.key: place for place, node in enumerate(original.nodes)}
    found: dict[str, tuple[str, ...]] = {}
    for node, namesake in nodes:
        if node.op_type in REORDERS:
            continue
        # What somebody else writes under its own name is only brought into another layout here.
        own = {known[t] for t in node.output if t in known and (t == known[t] or known[t] not in written)}
        keys = original.behind(own, provided - own)
        if namesake is not None and namesake in original.live:
            keys.add(namesake)
        found[str(node.name)] = tuple(sorted(keys, key=order.__getitem__))
    return found


def _namesake(node: Any, original: Graph) -> str | None:
    """The node of the model that bears the same name and does the same."""
    name = str(node.name).removesuffix(BLOCKED)
    found = original.by_key.get(name)
    return name if found is not None and found.operator == node.op_type else None


def _known_tensors(nodes: Sequence[tuple[Any, str | None]], original: Graph) -> dict[str, str]:
    """Tensors of the rewritten graph -> the tensors of the model that they hold, in whatever layout."""
    made = {tensor for node, _ in nodes for tensor in node.output}
    known = {tensor: tensor for tensor in made if tensor in original.producer}

    def through_reorders() -> None:
        for node, _ in nodes:
            if node.op_type in REORDERS:
                source, target = node.input[0], node.output[0]
                if target in known:
                    known.setdefault(source, known[target])
                elif source in known:
                    known[target] = known[source]

    through_reorders()
    for node, namesake in nodes:
        if namesake is not None:
            for tensor, before in zip(node.input, original.by_key[namesake].inputs, strict=False):
                if tensor in made and before in original.producer:
                    known.setdefault(tensor, before)
    through_reorders()
    for node, namesake in nodes:
        if namesake is not None:
            for tensor, before in zip(node.output, original.by_key[namesake].outputs, strict=False):
                known.setdefault(tensor, before)
    through_reorders()
    return known
