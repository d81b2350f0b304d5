"""A convolution over joined channels as the sum of convolutions over each part.

``Conv(Concat(a, b))`` is ``Conv_a(a) + Conv_b(b)``, also where a depthwise convolution stands in
between. The joined tensor is never written, and engines add into the second convolution's result
as it is made. γ and bias go with the first part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from models.surgery.base import Change
from models.surgery.rewrite import Names, View, attribute, rebuilt

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from models.surgery.base import Context
    from models.surgery.catalogue import Step


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Part every convolution that is the only reader of a Concat over channels."""
    work = _Work(View(model), Names(model))
    places = sum(work.part(node) for node in work.view.nodes)
    if not places:
        return Change(model, 0)
    nodes = [node for node in work.view.nodes if id(node) not in work.gone]
    return Change(rebuilt(model, [*nodes, *work.nodes], work.tensors), places)


class _Work:
    def __init__(self, view: View, names: Names) -> None:
        self.view, self.names = view, names
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.gone: set[int] = set()

    def part(self, concat: onnx.NodeProto) -> bool:
        """Part what follows one Concat; False if that cannot be done."""
        widths = self._widths(concat)
        first = self.view.reader(concat.output[0]) if widths else None
        if first is None or not self._is_conv(first, concat.output[0]):
            return False
        total = sum(widths)
        depthwise = None
        if attribute(first, "group", 1) == total and self.view.shape(first.input[1])[:2] == (total, 1):  # type: ignore[index]  # a weight's rank is known
            depthwise, dense = first, self.view.reader(first.output[0])
        else:
            dense = first
        if dense is None or not self._is_conv(dense, dense.input[0]) or attribute(dense, "group", 1) != 1:
            return False
        if depthwise is not None and dense.input[0] != depthwise.output[0]:
            return False
        self.gone |= {id(node) for node in (concat, depthwise, dense) if node is not None}
        self._write(concat, depthwise, dense, widths)
        return True

    def _widths(self, concat: onnx.NodeProto) -> list[int]:
        """Channels of each part; empty if this is no Concat over channels, or if one is unknown."""
        if concat.op_type != "Concat" or len(concat.input) < 2 or concat.domain:
            return []
        shapes = [self.view.shape(name) for name in concat.input]
        if any(shape is None or len(shape) < 3 for shape in shapes):
            return []
        rank = len(shapes[0] or ())
        sizes = [shape[1] for shape in shapes if shape is not None]
        if attribute(concat, "axis") % rank != 1 or None in sizes:
            return []
        return [int(size or 0) for size in sizes]

    def _is_conv(self, node: onnx.NodeProto, x: str) -> bool:
        if node.op_type != "Conv" or node.domain or node.input[0] != x:
            return False
        return all(self.view.value(name) is not None for name in node.input[1:] if name)

    def _write(
        self, concat: onnx.NodeProto, depthwise: onnx.NodeProto | None, dense: onnx.NodeProto, widths: list[int]
    ) -> None:
        parts, low = [], 0
        for index, (part, width) in enumerate(zip(concat.input, widths, strict=True)):
            x, channels = part, slice(low, low + width)
            if depthwise is not None:
                weight, bias = (self._cut(depthwise, place, channels) for place in (1, 2))
                x = self._conv(depthwise, x, weight, bias, index, group=width)
            weight = self.view.value(dense.input[1])
            bias = self._cut(dense, 2, slice(None)) if index == 0 else None
            parts.append(self._conv(dense, x, weight[:, channels], bias, index))  # type: ignore[index]  # _is_conv saw to it
            low += width
        total = parts[0]
        for index, part in enumerate(parts[1:], 1):
            last = index == len(parts) - 1
            name = self.names.new(f"{dense.name or dense.output[0]}.sum")
            output = dense.output[0] if last else name
            self.nodes.append(helper.make_node("Add", [total, part], [output], name=name))
            total = output

    def _cut(self, node: onnx.NodeProto, place: int, channels: slice) -> NDArray[Any] | None:
        if len(node.input) <= place or not node.input[place]:
            return None
        value = self.view.value(node.input[place])
        return None if value is None else value[channels]

    def _conv(
        self,
        like: onnx.NodeProto,
        x: str,
        weight: NDArray[Any] | None,
        bias: NDArray[Any] | None,
        index: int,
        group: int | None = None,
    ) -> str:
        name = self.names.new(f"{like.name or like.output[0]}.part{index}")
        new = NodeProto()
        new.CopyFrom(like)
        new.name = name
        del new.input[:], new.output[:]
        new.input.extend(
            [x, *(self._tensor(f"{name}.{n}", v) for n, v in (("w", weight), ("b", bias)) if v is not None)]
        )
        new.output.append(name)
        for entry in new.attribute:
            if entry.name == "group" and group is not None:
                entry.i = group
        self.nodes.append(new)
        return name

    def _tensor(self, name: str, values: NDArray[Any]) -> str:
        name = self.names.new(name)
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name
