"""The nodes of a model's graph, and which of them the nodes of a rewritten graph stand for.

A node's *key* is its name, or its first output where it has none or shares it: what costs and bounds are
filed under, too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class GraphNode:
    """One node: its key, its operator, and the tensors it reads and writes.

    What the graphs inside a node read from around them counts as its input.
    """

    key: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Graph:
    """A graph's nodes and what follows from them.

    Attributes:
        nodes: in the graph's order.
        by_key: the same by key.
        producer: tensor -> the node that writes it.
        outputs: tensors that leave the graph.
        live: keys of nodes that depend on an input; the others are folded into constants by every engine.
    """

    def __init__(self, nodes: Sequence[GraphNode], inputs: Iterable[str], outputs: Iterable[str]) -> None:
        self.nodes = tuple(nodes)
        self.by_key = {node.key: node for node in nodes}
        self.producer = {tensor: node for node in nodes for tensor in node.outputs}
        self.outputs = frozenset(outputs)
        fed, live = set(inputs), set()
        for node in nodes:
            if fed.intersection(node.inputs):
                live.add(node.key)
                fed.update(node.outputs)
        self.live = frozenset(live)

    def key_of(self, name: str) -> str | None:
        """The node of that name, or the one that writes the tensor of that name."""
        if name in self.by_key:
            return name
        node = self.producer.get(name)
        return None if node is None else node.key

    def behind(self, tensors: Iterable[str], stop: frozenset[str] | set[str]) -> set[str]:
        """Keys of the live nodes that lead to tensors, back to those tensors that somebody else provides."""
        found: set[str] = set()
        waiting = list(tensors)
        while waiting:
            node = self.producer.get(waiting.pop())
            if node is not None and node.key in self.live and node.key not in found:
                found.add(node.key)
                waiting += [tensor for tensor in node.inputs if tensor not in stop]
        return found

    def edges(self) -> Iterator[tuple[str, str]]:
        """Pairs of keys: one writes what the other reads."""
        for node in self.nodes:
            for tensor in node.inputs:
                if tensor in self.producer:
                    yield self.producer[tensor].key, node.key


def named_model(path: Path, folder: Path) -> tuple[Path, Graph]:
    """A model whose nodes all have names of their own, and its graph; the file itself where they have.

    Engines number nodes that have none, in ways of their own.

    Args:
        path: the model.
        folder: where a copy may be written.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph = to_graph(model)
    if all(node.name == known.key for node, known in zip(model.graph.node, graph.nodes, strict=True)):
        return path, graph
    model = onnx.load(path)
    for node, known in zip(model.graph.node, graph.nodes, strict=True):
        node.name = known.key
    copy = folder / "named.onnx"
    onnx.save(model, str(copy), save_as_external_data=True, location="named.bin")
    return copy, graph


def read_graph(path: Path) -> Graph:
    """The graph of an ONNX file; weights outside the file are not read."""
    import onnx

    return to_graph(onnx.load(path, load_external_data=False))


def to_graph(model: Any) -> Graph:
    """The graph of an ``onnx.ModelProto``."""
    graph = model.graph
    names = Counter(node.name for node in graph.node)
    nodes = [
        GraphNode(key_of(node, names), node.op_type, tuple(_reads(node)), tuple(filter(None, node.output)))
        for node in graph.node
    ]
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in weights]
    return Graph(nodes, inputs, [value.name for value in graph.output])


def key_of(node: Any, names: Mapping[str, int]) -> str:
    """A node's key.

    Args:
        node: an ``onnx.NodeProto``.
        names: how often each node's name occurs in its graph.
    """
    if node.name and names[node.name] == 1:
        return str(node.name)
    return next(filter(None, node.output), str(node.name))


def _reads(node: Any) -> Iterator[str]:
    """Its inputs by position (empty ones too), then what graphs inside it take from around them."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            own = {value.name for value in (*inner.input, *inner.initializer)}
            own.update(name for child in inner.node for name in child.output)
            yield from (name for child in inner.node for name in _reads(child) if name and name not in own)
            yield from (value.name for value in inner.output if value.name not in own)


def fill_gaps(
    graph: Graph,
    claims: Mapping[str, Iterable[str]],
    edges: Iterable[tuple[str, str]],
    moves: frozenset[str] | set[str],
) -> dict[str, tuple[str, ...]]:
    """Give unclaimed nodes of the graph to those nodes of an engine that lie in the same place and claim nothing.

    Optimisers replace a group of nodes by others of their own naming. What is left unclaimed on one side and
    nameless on the other belongs together where both lie between the same neighbours.

    Args:
        graph: the model's.
        claims: every engine node -> the keys that it stands for; none where it does not tell.
        edges: pairs of engine nodes: one writes what the other reads.
        moves: engine nodes that only change a layout, and stand for nothing.

    Returns:
        Every engine node -> keys, in the graph's order.
    """
    told = {name: set(keys) for name, keys in claims.items()}
    lost = set(graph.live).difference(*told.values())
    nameless = {name for name, keys in told.items() if not keys}
    groups = list(_groups(lost, list(graph.edges())))
    for members, before, after in _groups(nameless, [(a, b) for a, b in edges if a in told and b in told]):
        takers = members - moves
        above = {key for name in before for key in told[name]}
        below = {key for name in after for key in told[name]}
        for keys, upper, lower in groups if takers else ():
            if _meets(upper, above) and _meets(lower, below):
                for name in takers:
                    told[name] |= keys
    order = {node.key: place for place, node in enumerate(graph.nodes)}
    return {name: tuple(sorted(keys, key=lambda key: order.get(key, 0))) for name, keys in told.items()}


def _meets(one: set[str], other: set[str]) -> bool:
    """Whether they share a neighbour, or have none at all: the edge of the graph."""
    return bool(one & other) or (not one and not other)


def _groups(members: set[str], edges: Sequence[tuple[str, str]]) -> Iterator[tuple[set[str], set[str], set[str]]]:
    """Connected groups of members, each with what is right before and right after it."""
    neighbours: dict[str, set[str]] = defaultdict(set)
    before: dict[str, set[str]] = defaultdict(set)
    after: dict[str, set[str]] = defaultdict(set)
    for source, target in edges:
        if source in members and target in members:
            neighbours[source].add(target)
            neighbours[target].add(source)
        elif target in members:
            before[target].add(source)
        elif source in members:
            after[source].add(target)
    left = set(members)
    while left:
        group: set[str] = set()
        waiting = [left.pop()]
        while waiting:
            member = waiting.pop()
            group.add(member)
            waiting += neighbours[member] - group
        left -= group
        yield group, set().union(*(before[m] for m in group)), set().union(*(after[m] for m in group))
