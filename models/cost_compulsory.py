"""Bytes that no engine can do without: what the compulsory part of a floor is made of.

Weaker than what :mod:`models.cost` counts, on purpose, since nobody may be below it:

* of an **input** only what is read of it, looked at through views, copies and partial reads; nothing where a size
  shows only when the graph runs, or where only an operator asks for it whose reading nobody knows;
* of a **weight** the lesser of itself and what is made of it before the first call: a slice of a table, a mean;
  taps of a convolution that meet nothing but padding are left out;
* of what only **branches and loop bodies** read, nothing: they may not run;
* **outputs** as they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from models.cost_table import MOVES, PARTIAL_READS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx

    from models.cost import Walked


class Compulsory:
    """What one call of a graph must move at least.

    Args:
        walked: the graph; nodes that nobody needs should have been left out before.

    Attributes:
        io_bytes: inputs, as far as they are read, and outputs.
        weight_bytes: bits per stored value -> bytes.
    """

    def __init__(self, walked: Walked) -> None:
        self._walked = walked
        self._traffic = walked.traffic
        self._asked: dict[str, int] = {}
        consumed = self._demand()
        read = sum(min(self._asked.get(name, 0), self._traffic.bytes([name])) for name in walked.inputs)
        self.io_bytes = read + self._traffic.bytes(walked.outputs)
        self.weight_bytes = self._weights(consumed)

    def _demand(self) -> dict[str, int]:
        """Backwards through the graph: bytes that are asked for of every tensor; of known ones by calls."""
        consumed: dict[str, int] = {}
        for name in self._walked.outputs:
            self._ask(name, self._traffic.bytes([name]), consumed)
        walked = self._walked
        for node, cost, least in reversed(list(zip(walked.model.graph.node, walked.nodes, walked.needs, strict=True))):
            if not cost.before and not cost.problem:
                for name, size in self._reads(node, least.shares):
                    self._ask(name, size, consumed)
        return consumed

    def _ask(self, name: str, size: int, consumed: dict[str, int]) -> None:
        if name in self._traffic.origins:
            consumed[name] = min(consumed.get(name, 0) + size, self._traffic.bytes([name]))
        else:
            self._asked[name] = min(self._asked.get(name, 0) + size, self._traffic.bytes([name]))

    def _reads(self, node: onnx.NodeProto, shares: Mapping[int, float]) -> Iterator[tuple[str, int]]:
        """Which tensors a node needs, and at least how many bytes of each."""
        after = sum(self._asked.get(name, 0) for name in node.output)
        shown = bool(node.output) and node.output[0] in self._traffic.shows
        for place, name in enumerate(node.input):
            size = self._traffic.bytes([name]) if name and self._traffic.sizes[name].known else 0
            if not size:
                continue
            if shown:
                # The other inputs of a view are sizes.
                yield name, min(size, after) if place == 0 else 0
            elif node.op_type in PARTIAL_READS and place == 0:
                yield name, min(size, after)
            elif node.op_type in MOVES:
                yield name, min(size, after) if place == 0 or node.op_type == "Concat" else 0
            else:
                yield name, int(size * shares.get(place, 1.0))

    def _weights(self, consumed: dict[str, int]) -> dict[int, int]:
        """Stored bytes behind what calls consume, by their width.

        Constants that share a stored tensor are looked at together: an engine keeps them, or what they are made of.
        """
        home: dict[str, str] = {}

        def root(name: str) -> str:
            while home.setdefault(name, name) != name:
                name = home[name]
            return name

        for name in consumed:
            for origin in self._traffic.origins[name]:
                home[root(origin)] = root(name)
        stored: dict[str, Counter[int]] = defaultdict(Counter)
        made: dict[str, Counter[int]] = defaultdict(Counter)
        seen: set[str] = set()
        for name, size in consumed.items():
            tensor = self._traffic.sizes[name]
            made[root(name)][tensor.bits or 8] += size
            for origin in self._traffic.origins[name]:
                if origin not in seen and self._traffic.stored[origin].known:
                    seen.add(origin)
                    kept = self._traffic.stored[origin]
                    # One that is consumed itself is read as far as that goes.
                    stored[root(name)][kept.bits or 8] += consumed.get(origin, kept.bytes)
        least: Counter[int] = Counter()
        for group, sizes in made.items():
            origins = stored.get(group, Counter())
            least += origins if origins.total() < sizes.total() else sizes
        return dict(sorted(least.items()))
