"""How soon a call could be answered at all: three lines under a measured time, and the gap to them.

* **floor**: the longer of *needed arithmetic over peak arithmetic* and *bytes that must come from a level of
  memory over its peak bandwidth*. Arithmetic counts only multiply-adds that no engine can leave out, for the graph
  as it is written (an algorithm with fewer products, such as Winograd's, could be below it). Of the compulsory bytes
  (weights, inputs, outputs, once each) as many as fit may stay in the caches from one call to the next: with C the
  size of all levels nearer than some level and B the compulsory bytes, B − C must come from there each call.
* **ideal fusion**: the sum over groups (:mod:`models.fusion`) of the longer of arithmetic and bytes, where weights
  come from the level in which the compulsory bytes of the whole call fit, and the rest from that in which the group
  fits.
  Where the size of no cache is known, there is neither of these, and the floor is that of arithmetic.
* **no fusion**: the same sum, node by node. A reference, no bound: good engines are below it.

An engine that computes in fewer bits than the graph is written in may keep its weights and what it hands on in as few;
inputs and outputs stay as they are. Operators that nobody counted are taken for free, which leaves a floor a floor.
On a GPU inputs and outputs also cross the bus to and from the host, both ways at once at best.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from results.nodes import NodeBound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from results.peaks import Arithmetic, Level, Peaks

# What limits a floor when it is not a level of memory.
ARITHMETIC, BUS = "arithmetic", "PCIe"
_BITS = {"fp64": 64, "fp32": 32, "tf32": 32, "fp16": 16, "bf16": 16, "int8": 8, "fp8": 8, "int4": 4}
PRECISIONS = tuple(_BITS)


@dataclass(frozen=True)
class Lines:
    """Three lines under one measured time, seconds per call (for a stereo signal: both channels).

    Attributes:
        precision: the arithmetic they hold for.
        threads: the budget; 0 for a whole device.
        floor_s: nobody can be below it.
        limit: what makes the floor as high as it is: ``arithmetic`` or the name of a level.
        ideal_s: with ideal fusion; None where only totals are known.
        none_s: without fusion; None likewise.
        launches: how many kernels ideal fusion needs, for all signals of a call together; None likewise.
        arithmetic: the peak that was used.
        flops: needed operations, a multiply-add being two.
        compulsory_bytes: weights, inputs and outputs.
        unknown: operators that could not be counted and are taken for free.
        origin: of the peaks: ``measured`` when all that the floor rests on were measured, else ``derived``.
    """

    precision: str
    threads: int
    floor_s: float
    limit: str
    ideal_s: float | None
    none_s: float | None
    launches: int | None
    arithmetic: Arithmetic
    flops: int
    compulsory_bytes: float
    unknown: tuple[str, ...] = ()
    origin: str = "derived"

    def broken_by(self, measured_s: float) -> bool:
        """Whether a time is below the floor, which cannot be: then the peaks, the count or the time is wrong."""
        return measured_s < self.floor_s

    def gap(self, measured_s: float) -> float:
        """How many times the floor a measured time is; infinite over a floor of nothing."""
        return measured_s / self.floor_s if self.floor_s else float("inf")


class NodeRow(NamedTuple):
    """One node as a run file keeps it; the fields are the columns of :func:`models.fusion.table`, in order.

    Attributes:
        name: the node's, or that of its first output.
        operator: its type.
        multiply_adds: the needed ones.
        flops: operations, with only the needed multiply-adds.
        weight_bytes: read from weights.
        activation_bytes: read from other nodes, and written.
        moves: whether it computes nothing.
        group: the number of its group; None for one that an ideal compiler does for free.
    """

    name: str
    operator: str
    multiply_adds: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    moves: bool
    group: int | None


class GroupRow(NamedTuple):
    """One group, likewise."""

    multiply_adds: int
    flops: int
    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True)
class Graph:
    """A graph's costs as a run file keeps them, see :func:`models.fusion.table`.

    Attributes:
        nodes: in the graph's order.
        groups: in the order in which they can be carried out.
        weight_bytes: compulsory weights: bits per stored value -> bytes.
        io_bytes: compulsory inputs and outputs.
        precision: in which the graph is written.
        unknown: operators that could not be counted.
    """

    nodes: tuple[NodeRow, ...]
    groups: tuple[GroupRow, ...]
    weight_bytes: Mapping[int, int]
    io_bytes: int
    precision: str
    unknown: tuple[str, ...] = ()

    @classmethod
    def from_table(cls, table: Mapping[str, Any], precision: str) -> Graph | None:
        """Read a table; None when there is none, or it is of another version."""
        try:
            if tuple(table["columns"]) != NodeRow._fields:
                return None
            return cls(
                tuple(NodeRow(*row) for row in table["nodes"]),
                tuple(GroupRow(*map(int, row)) for row in table["groups"]),
                {int(width): int(size) for width, size in table["weight_bytes"].items()},
                int(table["io_bytes"]),
                precision,
                tuple(table["unknown"]),
            )
        except (KeyError, TypeError, IndexError, ValueError, AttributeError):
            return None

    def compulsory_bytes(self, precision: str, signals: int = 1) -> float:
        """Weights, as narrow as what computes allows, and inputs and outputs as they are."""
        bits = _bits(precision)
        weights = sum(size * min(1.0, bits / width) for width, size in self.weight_bytes.items())
        return weights + self.io_bytes * signals

    @property
    def width(self) -> int:
        """Bits of most weights, which what is handed from node to node is taken to have as well."""
        usual = _bits(self.precision)
        return max(self.weight_bytes, key=lambda width: self.weight_bytes[width], default=usual)

    @property
    def needed_weights(self) -> float:
        """The part of the weights that nodes name which is compulsory: an engine keeps what is made of them instead."""
        named = sum(row.weight_bytes for row in self.nodes)
        return min(1.0, sum(self.weight_bytes.values()) / named) if named else 1.0

    @property
    def multiply_adds(self) -> int:
        """Needed multiply-adds of all nodes."""
        return sum(row.multiply_adds for row in self.nodes)


def lines(graph: Graph, peaks: Peaks, precision: str, threads: int, *, signals: int = 1) -> Lines | None:
    """The three lines of one graph on one machine.

    Args:
        graph: as it is called once.
        peaks: of the machine.
        precision: what really computes; several joined by ``+``.
        threads: the budget; for a whole device any number will do.
        signals: how many such calls answer one signal: 2 for stereo on a graph that takes one channel.

    Returns:
        None where no arithmetic of this precision is known.
    """
    scale = _Scale.of(graph, peaks, precision, threads)
    if scale is None:
        return None
    flops = 2 * graph.multiply_adds * signals
    base = _floor(scale, flops, graph, precision, threads, signals)
    if not scale.knows_caches:
        return base
    fused = sum(map(scale.time, graph.groups)) * signals
    apart = sum(map(scale.time, graph.nodes)) * signals
    ideal_s = max(base.floor_s, min(fused, apart))
    return replace(base, ideal_s=ideal_s, none_s=max(ideal_s, apart), launches=len(graph.groups))


def floor_of_totals(
    work: Mapping[str, Any], peaks: Peaks, precision: str, threads: int, *, written_in: str, signals: int = 1
) -> Lines | None:
    """The floor alone, where only a graph's totals are known.

    Args:
        work: of a card, see :meth:`models.cost.Cost.to_json`.
        peaks: of the machine.
        precision: what really computes.
        threads: the budget.
        written_in: the precision of the graph.
        signals: how many such calls answer one signal.
    """
    # Run files of before say operations only; those that no multiply-add is behind are a few in a hundred.
    width = _BITS.get(written_in.partition("+")[0], 32)
    weights, unknown = {width: int(work["weight_bytes"])}, tuple(work.get("unknown", ()))
    graph = Graph((), (), weights, int(work["io_bytes"]), written_in, unknown)
    scale = _Scale.of(graph, peaks, precision, threads)
    return None if scale is None else _floor(scale, int(work["flops"]) * signals, graph, precision, threads, signals)


def node_bounds(graph: Graph, peaks: Peaks, precision: str, threads: int) -> list[NodeBound]:
    """What every node would take on its own, and what it adds where everything is fused ideally.

    A group's time is dealt out to its nodes: by operations where arithmetic is its limit, else by operations
    and weights alike; what only moves bytes gets nothing.
    """
    scale = _Scale.of(graph, peaks, precision, threads)
    if scale is None or not scale.knows_caches:
        return []
    alone = [scale.time(row) for row in graph.nodes]
    ideal = [0.0] * len(graph.nodes)
    for number, group in enumerate(graph.groups):
        whole = scale.time(group)
        nodes = [index for index, row in enumerate(graph.nodes) if row.group == number]
        # What goes from node to node inside of a group costs nobody anything.
        shares = [scale.time(graph.nodes[index]._replace(activation_bytes=0)) for index in nodes]
        total = sum(shares)
        for index, share in zip(nodes, shares, strict=True):
            ideal[index] = whole * share / total if total else whole / len(nodes)
    return [
        NodeBound(row.name, row.operator, row.flops, bound_s, min(ideal_s, bound_s), row.moves)
        for row, bound_s, ideal_s in zip(graph.nodes, alone, ideal, strict=True)
    ]


@dataclass(frozen=True)
class Launch:
    """What starting kernels costs a GPU's host; None where unknown.

    Attributes:
        singly_s: one after the other, nobody waiting in between.
        graph_s: as one captured graph, waited for.
    """

    singly_s: float | None
    graph_s: float | None


def launch(peaks: Peaks, kernels: int) -> Launch | None:
    """What starting so many kernels costs; None where there is no GPU, or nothing to start."""
    if peaks.device != "gpu" or kernels < 1:
        return None
    each, graph, node = (peaks.call_s(what) for what in ("launch", "graph launch and wait", "graph node"))
    return Launch(
        singly_s=None if each is None else each * kernels,
        graph_s=None if graph is None or node is None else graph + (kernels - 1) * node,
    )


@dataclass(frozen=True)
class _Scale:
    """One machine at one precision and budget, as rates for one graph."""

    peaks: Peaks
    arithmetic: Arithmetic
    # What is left of the bytes of activations, and of those of weights, where an engine keeps as few as it can.
    narrowed: float
    kept: float
    # Level, what it holds, bytes per second as far as that is known.
    levels: Sequence[tuple[Level, float, float | None]]
    weight_rate: float

    @property
    def knows_caches(self) -> bool:
        """Whether the size of any cache is known: without one, nobody can say what comes from memory."""
        return any(level.bytes for level, _, _ in self.levels)

    @classmethod
    def of(cls, graph: Graph, peaks: Peaks, precision: str, threads: int) -> _Scale | None:
        arithmetic = peaks.flops_per_s(precision, threads)
        if arithmetic is None:
            return None
        narrowed = min(1.0, _bits(precision) / graph.width)
        known = list(_levels(peaks, threads))
        rate = _rate(known, graph.compulsory_bytes(precision))
        return cls(peaks, arithmetic, narrowed, narrowed * graph.needed_weights, known, rate)

    def time(self, row: NodeRow | GroupRow) -> float:
        """The longer of arithmetic and bytes, seconds."""
        weights, others = row.weight_bytes * self.kept, row.activation_bytes * self.narrowed
        moved = weights / self.weight_rate + others / _rate(self.levels, weights + others)
        return max(row.flops / self.arithmetic.flops_per_s, moved)


def _floor(scale: _Scale, flops: int, graph: Graph, precision: str, threads: int, signals: int) -> Lines:
    compulsory = graph.compulsory_bytes(precision, signals)
    bounds = {ARITHMETIC: flops / scale.arithmetic.flops_per_s}
    nearer = 0.0
    origins = {scale.arithmetic.origin}
    # Where nobody knows how much the caches hold, all of it may lie in them.
    for level, holds, rate in scale.levels if scale.knows_caches else ():
        if rate is not None:
            bounds[level.name] = max(compulsory - nearer, 0.0) / rate
        nearer += holds
    ways = [row for row in scale.peaks.bandwidth if row.level == BUS]
    if ways:
        bounds[BUS] = graph.io_bytes * signals / sum({row.kind: row.bytes_per_s for row in ways}.values())
    limit = max(bounds, key=lambda name: bounds[name])
    for row in scale.peaks.bandwidth:
        if row.level == limit:
            origins.add(row.origin)
    return Lines(
        precision=precision,
        threads=threads,
        floor_s=bounds[limit],
        limit=limit,
        ideal_s=None,
        none_s=None,
        launches=None,
        arithmetic=scale.arithmetic,
        flops=flops,
        compulsory_bytes=compulsory,
        unknown=graph.unknown,
        origin="measured" if origins == {"measured"} else "derived",
    )


def _levels(peaks: Peaks, threads: int) -> Iterable[tuple[Level, float, float | None]]:
    for level in peaks.levels:
        found = peaks.bytes_per_s(level.name, threads)
        holds = peaks.capacity_bytes(level, threads)
        yield level, float("inf") if holds is None else float(holds), found.bytes_per_s if found else None


def _rate(levels: Sequence[tuple[Level, float, float | None]], size: float) -> float:
    """Bytes per second of the nearest level that holds so many bytes; infinite where none is known."""
    known = [(holds, rate) for _, holds, rate in levels if rate is not None]
    return next((rate for holds, rate in known if holds >= size), known[-1][1] if known else float("inf"))


def _bits(precision: str) -> int:
    return min((_BITS.get(part, 32) for part in precision.split("+")), default=32)
