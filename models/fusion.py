"""Which nodes an ideal compiler would carry out together, and what would then still have to move.

A *group* is one matrix product, convolution or recurrent layer with everything around it that a compiler
could do while the data is at hand: elementwise work, norms, reductions. Two such products are never in one
group, since no engine keeps the whole result of one in registers and caches while it computes the other.
Nothing between the nodes of a group touches memory. Operators that only move bytes (``Transpose``, ``Pad``,
``Concat``, nearest ``Resize``, …) vanish: whoever reads their result reads what they read, wherever it
lies; only a graph's own outputs must be written.

Nodes join in the order of the file, a node the latest of the groups that feed it, where no way around that
would make a circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.cost import NodeCost, Walked, walk
from models.cost_compulsory import Compulsory
from models.cost_table import MOVES
from models.prune import pruned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx


@dataclass(frozen=True)
class Group:
    """Nodes that an ideal compiler carries out together.

    Attributes:
        nodes: their places in the graph.
        multiply_adds: the needed ones of all of them.
        flops: of all of them, with only the needed multiply-adds.
        weight_bytes: weights they read.
        activation_bytes: read from outside of the group, and written for the outside.
    """

    nodes: tuple[int, ...]
    multiply_adds: int
    flops: int
    weight_bytes: int
    activation_bytes: int


def groups(walked: Walked) -> list[Group]:
    """The groups of a graph, in the order in which they can be carried out.

    Nodes that cost nothing (views, moves, what is done before the first call) are in none.
    """
    sources = _sources(walked)
    reads = [_reads(walked, sources, index) for index in range(len(walked.nodes))]
    members = _joined(walked, reads)
    leaving = _leaving(walked, sources, reads, members)
    return [_group(walked, reads, nodes, leaving) for nodes in members]


def table(model: onnx.ModelProto) -> dict[str, Any]:
    """What is needed of a graph, as JSON values, for bounds that are worked out where no graph is at hand.

    Keys: ``columns`` (names of the fields of a node's row), ``nodes``, ``group_columns``, ``groups``,
    ``weight_bytes`` (bits per value to bytes) and ``io_bytes``, which are the compulsory ones, ``unknown``.

    Raises:
        ModelError: as :func:`models.cost.cost`.
    """
    walked = walk(pruned(model))
    found = groups(walked)
    least = Compulsory(walked)
    place = {node: number for number, group in enumerate(found) for node in group.nodes}
    cost = walked.cost()
    return {
        "columns": list(NODE_COLUMNS),
        "nodes": [_row(node, index, place) for index, node in enumerate(walked.nodes)],
        "group_columns": ["multiply_adds", "flops", "weight_bytes", "activation_bytes"],
        "groups": [[g.multiply_adds, g.flops, g.weight_bytes, g.activation_bytes] for g in found],
        # JSON has no numbers for keys.
        "weight_bytes": {str(width): size for width, size in least.weight_bytes.items()},
        "io_bytes": least.io_bytes,
        "unknown": cost.unknown,
    }


NODE_COLUMNS = ("name", "operator", "multiply_adds", "flops", "weight_bytes", "activation_bytes", "moves", "group")


def _row(node: NodeCost, index: int, place: Mapping[int, int]) -> list[Any]:
    return [
        node.name,
        node.operator,
        node.needed_multiply_adds,
        _flops(node),
        # What cannot be counted is taken for free.
        0 if node.problem else node.weight_bytes,
        0 if node.problem else node.read_bytes + node.written_bytes,
        _computes_nothing(node),
        place.get(index),
    ]


def _flops(node: NodeCost) -> int:
    return node.flops - 2 * (node.multiply_adds - node.needed_multiply_adds)


def _computes_nothing(node: NodeCost) -> bool:
    return not node.problem and not node.flops


def _is_move(node: NodeCost) -> bool:
    return (node.operator in MOVES or node.operator in {"Resize", "Upsample"}) and _computes_nothing(node)


def _sources(walked: Walked) -> dict[str, dict[str, int]]:
    """Tensor -> the tensors that really lie behind it, and how many bytes of each; itself where it was computed."""
    traffic, found = walked.traffic, dict[str, dict[str, int]]()

    def behind(name: str, size: int) -> dict[str, int]:
        known = found.get(name)
        if known is None:
            return {name: size}
        return {source: min(size, whole) for source, whole in known.items()}

    for node, cost in zip(walked.model.graph.node, walked.nodes, strict=True):
        if cost.before:
            continue
        if node.output and node.output[0] in traffic.shows:
            shown = node.input[0]
            found[node.output[0]] = behind(shown, traffic.bytes([shown]))
        elif _is_move(cost):
            for name in node.output:
                merged: dict[str, int] = {}
                for read, size in traffic.reads(node):
                    # As much of each source as comes out, and never more than there is.
                    part = min(size, traffic.bytes([name])) if name else size
                    for source, taken in behind(read, part).items():
                        merged[source] = max(merged.get(source, 0), taken)
                found[name] = merged
    return found


def _reads(walked: Walked, sources: Mapping[str, Mapping[str, int]], index: int) -> dict[str, int]:
    """What a node reads, moves and views looked through: tensor -> bytes."""
    read: dict[str, int] = {}
    for name, size in walked.traffic.reads(walked.model.graph.node[index]):
        for source, whole in sources.get(name, {name: size}).items():
            read[source] = max(read.get(source, 0), min(size, whole))
    return read


def _joined(walked: Walked, reads: Sequence[Mapping[str, int]]) -> list[list[int]]:
    """Groups as lists of nodes, in an order in which they can be carried out."""
    maker: dict[str, int] = {}
    group_of: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    heavy: set[int] = set()
    # Group -> all groups that must be done before it.
    before: dict[int, set[int]] = {}
    for index, (node, cost) in enumerate(zip(walked.model.graph.node, walked.nodes, strict=True)):
        if cost.before or cost.problem or _is_move(cost) or (node.output and node.output[0] in walked.traffic.shows):
            continue
        feeding = {group_of[maker[name]] for name in reads[index] if name in maker}
        own = index
        members[own], group_of[index] = [index], own
        before[own] = feeding.union(*(before[group] for group in feeding))
        if cost.needed_multiply_adds:
            heavy.add(own)
        for other in sorted(feeding, key=lambda group: members[group][-1], reverse=True):
            if (own in heavy and other in heavy) or _way_around(other, own, before):
                continue
            own = _merge(own, other, members, before, heavy, group_of)
        maker |= {name: index for name in node.output if name}
    return [members[group] for group in _ordered(before)]


def _way_around(first: int, last: int, before: Mapping[int, set[int]]) -> bool:
    """Whether something must be done after the first group and before the last one."""
    return any(first in before[between] for between in before[last] if between != first)


def _merge(
    one: int,
    other: int,
    members: dict[int, list[int]],
    before: dict[int, set[int]],
    heavy: set[int],
    group_of: dict[int, int],
) -> int:
    for node in members[one]:
        group_of[node] = other
    members[other] = sorted(members[other] + members.pop(one))
    before[other] = (before[other] | before.pop(one)) - {one, other}
    if one in heavy:
        heavy.add(other)
    # Whatever waited for the one group now waits for all that both of them wait for.
    for group, waits in before.items():
        if one in waits or other in waits:
            before[group] = (waits - {one}) | {other} | before[other]
    return other


def _ordered(before: Mapping[int, set[int]]) -> list[int]:
    return sorted(before, key=lambda group: (len(before[group]), group))


def _leaving(
    walked: Walked,
    sources: Mapping[str, Mapping[str, int]],
    reads: Sequence[Mapping[str, int]],
    members: Sequence[Sequence[int]],
) -> set[str]:
    """Results that somebody outside of their group needs, or that are answers."""
    home = {node: number for number, nodes in enumerate(members) for node in nodes}
    made_in = {name: home[index] for index in home for name in walked.model.graph.node[index].output if name}
    leaving = {name for index in home for name in reads[index] if made_in.get(name, home[index]) != home[index]}
    return leaving | {source for name in walked.outputs for source in sources.get(name, {name: 0}) if source in made_in}


def _group(walked: Walked, reads: Sequence[Mapping[str, int]], nodes: Sequence[int], leaving: set[str]) -> Group:
    own = {name for index in nodes for name in walked.model.graph.node[index].output}
    read: dict[str, int] = {}
    for index in nodes:
        for name, size in reads[index].items():
            if name not in own:
                read[name] = max(read.get(name, 0), size)
    return Group(
        tuple(nodes),
        sum(walked.nodes[index].needed_multiply_adds for index in nodes),
        sum(_flops(walked.nodes[index]) for index in nodes),
        sum(walked.nodes[index].weight_bytes for index in nodes),
        sum(read.values()) + walked.traffic.bytes(own & leaving),
    )
