"""Which nodes normalise: operators made for it, and the same written out."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from models.surgery.rewrite import is_standard

if TYPE_CHECKING:
    import onnx

NORMS = {
    "BatchNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LpNormalization",
    "MeanVarianceNormalization",
    "RMSNormalization",
}
_MEANS = {"ReduceMean", "ReduceSum", "GlobalAveragePool"}
_OF_SQUARES = {"ReduceSumSquare", "ReduceL2"}
# From a mean of squares to what is divided by: ε, counts, roots, guards.
_ONWARD = {"Add", "Sub", "Mul", "Div", "Sqrt", "Reciprocal", "Pow", "Max", "Clip", "Abs", "Cast", "Identity"}
# Exporters put these in between.
_PASSED = {"Expand", "Squeeze", "Unsqueeze", "Reshape", "Identity"}
_LONGEST = 12


def norm_nodes(nodes: list[onnx.NodeProto], constants: set[str]) -> set[int]:
    """Indices of the nodes of one graph that are a norm or a part of one.

    A norm written out is a mean of squares, everything from it to the quotient by its root, the
    mean that is taken away before, and the scale and shift right after.
    """
    search = _Search(nodes, constants)
    for index, node in enumerate(nodes):
        if not is_standard(node):
            continue
        if node.op_type in NORMS:
            search.found.add(index)
        elif node.op_type in _MEANS | _OF_SQUARES:
            search.from_squares(index)
    return search.found


class _Search:
    def __init__(self, nodes: list[onnx.NodeProto], constants: set[str]) -> None:
        self.nodes, self.constants = nodes, constants
        self.found: set[int] = set()
        self.maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
        self.readers: dict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(nodes):
            for name in dict.fromkeys(node.input):
                self.readers[name].append(index)

    def from_squares(self, index: int) -> None:
        """Mark the norm whose mean of squares this may be."""
        node, parts = self.nodes[index], {index}
        centred = node.input[0]
        if node.op_type in _MEANS:
            square = self.maker.get(node.input[0])
            if square is None or not self._squares(self.nodes[square]):
                return
            parts.add(square)
            centred = self.nodes[square].input[0]
        last = self._quotient(index, centred, parts, root=node.op_type == "ReduceL2")
        if last is None:
            return
        self._before(centred, parts)
        self._after(last, parts)
        self.found |= parts

    def _squares(self, node: onnx.NodeProto) -> bool:
        if node.op_type == "Mul":
            return bool(node.input[0] == node.input[1])
        return node.op_type == "Pow" and node.input[1] in self.constants

    def _quotient(self, start: int, centred: str, parts: set[int], *, root: bool) -> int | None:
        """Walk on from the variance to the node that divides by its root; marks the way."""
        paths: list[tuple[int, tuple[int, ...], bool]] = [(start, (), root)]
        while paths:
            index, way, rooted = paths.pop()
            for name in self.nodes[index].output:
                for reader in self.readers[name]:
                    node = self.nodes[reader]
                    if node.op_type in {"Div", "Mul"} and rooted and self._reads(node, centred):
                        parts.update((*way, reader))
                        return reader
                    if node.op_type in _ONWARD | _PASSED and len(way) < _LONGEST and reader not in way:
                        paths.append((reader, (*way, reader), rooted or node.op_type in {"Sqrt", "Pow"}))
        return None

    def _reads(self, node: onnx.NodeProto, centred: str) -> bool:
        """Whether a node reads what was squared, or another copy of it: a difference with the same first term."""
        if centred in node.input:
            return True
        subtracted = self.maker.get(centred)
        if subtracted is None or self.nodes[subtracted].op_type != "Sub":
            return False
        first = self.nodes[subtracted].input[0]
        others = [self.maker.get(name) for name in node.input]
        return any(i is not None and self.nodes[i].op_type == "Sub" and self.nodes[i].input[0] == first for i in others)

    def _before(self, centred: str, parts: set[int]) -> None:
        """Mark the differences from the mean, and the mean."""
        index = self.maker.get(centred)
        if index is None or self.nodes[index].op_type != "Sub":
            return
        first = self.nodes[index].input[0]
        differences = [
            i for i in self.readers[first] if self.nodes[i].op_type == "Sub" and self.nodes[i].input[0] == first
        ]
        parts.update(differences)
        for difference in differences:
            way: list[int] = []
            name = self.nodes[difference].input[1]
            for _ in range(3):
                mean = self.maker.get(name)
                if mean is None:
                    break
                way.append(mean)
                if self.nodes[mean].op_type in _MEANS:
                    parts.update(way)
                    break
                if self.nodes[mean].op_type not in _PASSED | {"Div", "Mul"}:
                    break
                name = self.nodes[mean].input[0]

    def _after(self, last: int, parts: set[int]) -> None:
        """Mark scale and shift: products and sums with constants, one behind the other."""
        for _ in range(2):
            readers = self.readers[self.nodes[last].output[0]]
            if len(readers) != 1:
                return
            node = self.nodes[readers[0]]
            if node.op_type not in {"Mul", "Add"} or not set(node.input) & self.constants:
                return
            last = readers[0]
            parts.add(last)
