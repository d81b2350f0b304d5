"""Which bytes every node of a graph touches: weights, activations, and what is known before the first call."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from models.cost_sizes import weights
from models.cost_table import ASKS_SIZES, PARTIAL_READS
from models.walk import captured

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import onnx

    from models.cost_sizes import Tensor


class Traffic:
    """Follows one graph, node by node, in the order of the file.

    Attributes:
        origins: what is known before the first call -> the stored tensors behind it.
        shows: a view -> the tensor whose bytes it shows.

    Args:
        model: a graph in which every size that can be found is noted.
        sizes: its tensors by name.
    """

    def __init__(self, model: onnx.ModelProto, sizes: Mapping[str, Tensor]) -> None:
        self.sizes = sizes
        self.stored = weights(model)
        self.origins = {name: frozenset({name}) for name in self.stored}
        self.shows: dict[str, str] = {}
        # Those known before that are one stored tensor, under its own or another name.
        self._whole = set(self.stored)
        self._touched: Counter[str] = Counter()

    @property
    def weight_bytes(self) -> int:
        """Weights that were read so far, each once."""
        return sum(min(read, self.stored[name].bytes) for name, read in self._touched.items())

    def known_before(self, node: onnx.NodeProto, *, view: bool) -> bool:
        """Whether a node, always giving the same, needs nothing of a call; then its results are noted as known."""
        inputs = [name for name in node.input if name]
        if node.op_type in ASKS_SIZES and self.sizes[inputs[0]].shape is not None:
            behind: frozenset[str] = frozenset()
        elif all(name in self.origins for name in inputs):
            # A view shows its first input; the others are sizes.
            behind = frozenset().union(*(self.origins[name] for name in (inputs[:1] if view else inputs)))
        else:
            return False
        for name in node.output:
            self.origins.setdefault(name, behind)
            if view and inputs[0] in self._whole:
                self._whole.add(name)
        return True

    def show(self, node: onnx.NodeProto) -> None:
        """Note that the first output is the first input under another name."""
        self.shows[node.output[0]] = self.shows.get(node.input[0], node.input[0])

    def read(self, node: onnx.NodeProto) -> tuple[int, int]:
        """Bytes of weights and bytes of activations that a node reads, branches and bodies included."""
        from_weights = 0
        for name, elements in self._parts(node):
            if name in self.origins:
                from_weights += self.read_weight(name, elements)
        return from_weights, sum(size for _, size in self.reads(node))

    def reads(self, node: onnx.NodeProto) -> list[tuple[str, int]]:
        """Which inputs and results of other nodes a node reads, and how many bytes of each."""
        found = []
        for name, elements in self._parts(node):
            tensor = self.sizes[name]
            if name not in self.origins and tensor.known:
                found.append((name, tensor.bytes if elements is None else min(tensor.bytes, tensor.bytes_of(elements))))
        return found

    def _parts(self, node: onnx.NodeProto) -> Iterator[tuple[str, int | None]]:
        """What a node reads: a tensor, and how many of its values; None for all."""
        for name in dict.fromkeys((*node.input, *captured(node))):
            if name in self.sizes:
                partial = node.op_type in PARTIAL_READS and name == node.input[0]
                yield name, _elements(self.sizes.get(node.output[0])) if partial else None

    def read_weight(self, name: str, elements: int | None = None) -> int:
        """Note that something known before is read, so many of its values or all; returns the bytes."""
        total = 0
        for origin in self.origins[name]:
            tensor = self.stored[origin]
            if not tensor.known:
                continue
            part = name in self._whole and elements is not None
            read = min(tensor.bytes, tensor.bytes_of(elements or 0)) if part else tensor.bytes
            self._touched[origin] += read
            total += read
        return total

    def bytes(self, names: Iterable[str]) -> int:
        """Bytes of all these tensors, as far as they are known; "" is none."""
        found = (self.sizes[name] for name in names if name)
        return sum(tensor.bytes for tensor in found if tensor.known)

    def peak_bytes(self, nodes: Sequence[onnx.NodeProto], inputs: Sequence[str], outputs: Sequence[str]) -> int:
        """The most bytes of activations that are needed at once, see :class:`models.cost.Cost`."""
        born = dict.fromkeys(inputs, 0)
        last = dict.fromkeys(inputs, 0)
        for index, node in enumerate(nodes):
            for name in (*node.input, *captured(node)):
                last[self.shows.get(name, name)] = index
            for name in node.output:
                if name and name not in self.shows and name not in self.origins:
                    born[name] = last[name] = index
        last |= dict.fromkeys((self.shows.get(name, name) for name in outputs), len(nodes))
        change: Counter[int] = Counter()
        for name, index in born.items():
            change[index] += self.bytes([name])
            change[last[name] + 1] -= self.bytes([name])
        alive = peak = 0
        for index in sorted(change):
            alive += change[index]
            peak = max(peak, alive)
        return peak


def _elements(tensor: Tensor | None) -> int | None:
    return tensor.elements if tensor is not None and tensor.known else None
