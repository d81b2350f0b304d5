"""What each node of a call takes, from an engine's own profiler, beside what it would have to take.

Values only. Adapters profile, ``bench/tasks/nodes.py`` makes :class:`NodeTimes` of it, and a run file
keeps them; :class:`NodeBound` comes from the cost of a model and the peaks of a machine.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from results.errors import RunFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class NodeTime:
    """One node as an engine ran it.

    Attributes:
        name: as the engine calls it.
        operator: the engine's own word for what it does, such as ``Conv``, ``Reorder`` or a kernel's name.
        ns: per call, nanoseconds, all its executions in a call together; the mean over the faster half of the
            profiled calls where the profiler tells single calls, else over all of them.
        count: executions per call.
        originals: the nodes of the model's graph that it stands for, by the name of the node, or of its first
            output where it has none; empty where the engine added it, or does not tell.
        kernel: the code that ran, where the engine tells it apart from the operator.
    """

    name: str
    operator: str
    ns: float
    count: float = 1.0
    originals: tuple[str, ...] = ()
    kernel: str = ""


@dataclass(frozen=True)
class NodeTimes:
    """What every node took in one cell. Profiled calls are slower than plain ones: the shares are what counts.

    Attributes:
        runtime, version: the engine.
        calls: that were profiled.
        call_ns: one profiled call as a whole, by the profiler's own clock; over the same calls as the nodes.
        nodes: in the order in which they ran.
        notes: what a reader must know of this profiler; full sentences.
        plain_ns: one call without a profiler in the same process, by our stopwatch; None where unknown.
        signals: that one call answered.
        threads: that it had.
        origin: ``measured``.
    """

    runtime: str
    version: str | None
    calls: int
    call_ns: float
    nodes: tuple[NodeTime, ...]
    notes: tuple[str, ...] = ()
    plain_ns: float | None = None
    signals: int = 1
    threads: int = 1
    origin: str = "measured"

    @property
    def nodes_ns(self) -> float:
        """All nodes together, nanoseconds per call."""
        return sum(node.ns for node in self.nodes)

    @property
    def whole_ns(self) -> float:
        """What shares are of, nanoseconds: a plain call, but no less than its nodes and no more than a profiled one.

        A profiler's own bookkeeping happens between nodes. It makes a profiled call longer and would make
        every share of one too small.
        """
        plain = self.call_ns if self.plain_ns is None else min(self.plain_ns, self.call_ns)
        return max(plain, self.nodes_ns)

    @property
    def outside(self) -> float:
        """The share of a call that is in no node: from call to call of them, and in and out of the engine."""
        return 1 - self.nodes_ns / self.whole_ns if self.whole_ns else 0.0

    @property
    def covered(self) -> float:
        """The share of a profiled call that its nodes account for; above 1 where nodes ran side by side."""
        return self.nodes_ns / self.call_ns if self.call_ns else 0.0

    @property
    def told(self) -> bool:
        """Whether the engine tells what its nodes stand for."""
        return any(node.originals for node in self.nodes)

    def to_json(self) -> dict[str, Any]:
        """JSON values; :meth:`from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read back :meth:`to_json`.

        Raises:
            RunFileError: not node times of this version; the text says what is missing.
        """
        values = dict(record)
        try:
            values["nodes"] = tuple(
                NodeTime(**{**node, "originals": tuple(node["originals"])}) for node in values["nodes"]
            )
            values["notes"] = tuple(values["notes"])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise RunFileError(
                f"these are no node times of this version of rtfloor ({error}); profile again: rtfloor nodes"
            ) from None


@dataclass(frozen=True)
class NodeBound:
    """What one node of the model's graph would take at least.

    Attributes:
        name: the node's, or that of its first output where it has none.
        operator: the ONNX operator.
        flops: floating-point operations of one call.
        bound_s: the node on its own, seconds: the longer of its arithmetic and its bytes.
        ideal_s: what it adds where nodes are fused as far as they can be; 0 for a pure move such as Transpose.
        moves: whether it only moves values about.
    """

    name: str
    operator: str
    flops: int
    bound_s: float
    ideal_s: float
    moves: bool


@dataclass(frozen=True)
class ExplainedNode:
    """One node beside what it would have to take.

    Attributes:
        name, operator, kernel, count, originals: as in :class:`NodeTime`.
        share: of a call.
        ns: that share of the call it was asked for, nanoseconds.
        moves: whether it computes nothing and only moves values about.
        bound_ns: what its originals would take one by one; 0 where it stands for none. None where it is not known.
        ideal_ns: what they add where everything is fused that can be: what it could take.
    """

    name: str
    operator: str
    kernel: str
    count: float
    originals: tuple[str, ...]
    share: float
    ns: float
    moves: bool
    bound_ns: float | None = None
    ideal_ns: float | None = None

    @property
    def factor(self) -> float | None:
        """How many times its bound it takes; None without a bound, or with one of nothing."""
        return self.ns / self.bound_ns if self.bound_ns else None


@dataclass(frozen=True)
class OperatorTotal:
    """All nodes of one operator together; fields as in :class:`ExplainedNode`.

    Attributes:
        nodes: how many.
        moves: whether all of them only move values about.
        bound_share: of the bounds of all nodes of the call; None without bounds.
    """

    operator: str
    nodes: int
    share: float
    ns: float
    moves: bool
    bound_ns: float | None = None
    ideal_ns: float | None = None
    bound_share: float | None = None

    @property
    def factor(self) -> float | None:
        """How many times their bounds they take; None without bounds, or with bounds of nothing."""
        return self.ns / self.bound_ns if self.bound_ns else None


# What engines and the standard call the moving of values, in lower case and letters alone. For what an engine adds,
# and for where no bound says it.
_MOVES = re.compile(
    "(fused|cpp|opt)*(transpose|permute(dims)?|reorder(input|output)?|reshape|intoshape|flatten|(un)?squeeze|identity|"
    "concat(enate|enation)?|split|tile|expand|multibroadcastto|broadcastto|(strided)?slice|matmulpack|layouttransform|"
    "memcpy(from|to)host|copy|source|gather|depthtospace|spacetodepth|(rm|add|move)axis|(lazy)?imcol|pad|constantpadnd|"
    "asstrided|vmbuiltin)"
)


def explained(times: NodeTimes, costs: Sequence[NodeBound] = (), call_ns: float | None = None) -> list[ExplainedNode]:
    """Every node with its share, and beside its bound where the bounds of the model's nodes are known.

    Where several nodes stand for one node of the model, its bound is dealt out to those that compute, by their times;
    a node that stands for several has the sum of theirs.

    Args:
        times: measured.
        costs: of the model's nodes, for one signal; none where they are not known.
        call_ns: a whole call in nanoseconds, such as a run's median, to scale times to; by default the plain call
            beside which the nodes were profiled.

    Returns:
        In the order in which they ran. Bounds are None without ``costs``, and where the engine does not tell what its
        nodes stand for.
    """
    whole = times.whole_ns
    scale = (whole if call_ns is None else call_ns) / whole if whole else 0.0
    by_name = {cost.name: cost for cost in costs} if times.told else {}
    parts = _parts(times.nodes, by_name)
    found = []
    for place, node in enumerate(times.nodes):
        known = [by_name[name] for name in node.originals if name in by_name]
        bound = sum(cost.bound_s * parts[place, cost.name] for cost in known) * times.signals * 1e9
        ideal = sum(cost.ideal_s * parts[place, cost.name] for cost in known) * times.signals * 1e9
        # Whoever stands for something whose bound nobody knows has none.
        sure = bool(by_name) and len(known) == len(node.originals)
        moves = is_move(node.operator) or (bool(known) and all(cost.moves for cost in known))
        found.append(
            ExplainedNode(
                node.name,
                node.operator,
                node.kernel,
                node.count,
                node.originals,
                node.ns / whole if whole else 0.0,
                node.ns * scale,
                moves,
                bound if sure else None,
                ideal if sure else None,
            )
        )
    return found


def _parts(nodes: Sequence[NodeTime], costs: Mapping[str, NodeBound]) -> dict[tuple[int, str], float]:
    """Which part of a bound falls to each node that stands for it, by the node's place and the bound's name.

    By time; but a node that only moves values (a packing before a product) has no part in a computation
    that others carry out.
    """
    takers: dict[str, dict[int, float]] = defaultdict(dict)
    parts: dict[tuple[int, str], float] = {}
    for place, node in enumerate(nodes):
        for name in node.originals:
            if name in costs and is_move(node.operator) and not costs[name].moves:
                # Where nobody else takes it, the engine does not tell who does.
                parts[place, name] = 0.0
            elif name in costs:
                takers[name][place] = node.ns
    for name, times in takers.items():
        total = sum(times.values())
        for place, ns in times.items():
            parts[place, name] = ns / total if total else 1 / len(times)
    return parts


def by_operator(nodes: Iterable[ExplainedNode]) -> list[OperatorTotal]:
    """Nodes of one operator together, the costliest first."""
    grouped: dict[str, list[ExplainedNode]] = defaultdict(list)
    for node in nodes:
        grouped[node.operator].append(node)
    bounds = {name: _sum(node.bound_ns for node in group) for name, group in grouped.items()}
    whole = _sum(bounds.values())
    totals = [
        OperatorTotal(
            name,
            len(group),
            sum(node.share for node in group),
            sum(node.ns for node in group),
            all(node.moves for node in group),
            bounds[name],
            _sum(node.ideal_ns for node in group),
            (bounds[name] or 0.0) / whole if whole else None,
        )
        for name, group in grouped.items()
    ]
    return sorted(totals, key=lambda total: -total.ns)


def gone(times: NodeTimes, costs: Iterable[NodeBound]) -> list[NodeBound]:
    """Nodes of the model that no node of the engine claims: fused into others or folded away.

    Empty where the engine does not tell what its nodes stand for.
    """
    claimed = {name for node in times.nodes for name in node.originals}
    return [cost for cost in costs if cost.name not in claimed] if times.told else []


def is_move(operator: str) -> bool:
    """Whether an operator of this name, whoever's it is, only moves values about."""
    word = operator.rpartition("::")[2].lower()
    return _MOVES.fullmatch("".join(letter for letter in word if letter.isalpha())) is not None


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None where one of them is not known."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
