"""Products that no engine can leave out: those with padding are with zeros, those cropped away are never seen.

The direct algorithm counts them (:mod:`models.cost_ops`), and good kernels skip them, so a bound must not
have them in it. A ``Pad`` with zeros right before a convolution counts as the convolution's own padding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from models.cost_call import Call, Work

# Operator -> which input holds the kernel.
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}


class Padding:
    """Which tensors of a graph come out of a ``Pad`` with zeros, and how wide it is.

    Args:
        model: whose small initializers hold their values.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    stored[node.output[0]] = attribute.t
        self._pads: dict[str, tuple[list[int], list[int]]] = {}
        for node in model.graph.node:
            pads = _zero_pads(node, stored)
            if pads is not None:
                half = len(pads) // 2
                self._pads[node.output[0]] = (pads[:half], pads[half:])

    def of(self, name: str, axes: int) -> list[tuple[int, int]]:
        """Zeros before and after along the last ``axes`` axes of a tensor."""
        before, after = self._pads.get(name, ([0] * axes, [0] * axes))
        return list(zip(before[-axes:], after[-axes:], strict=True))


def needed(call: Call, computed: Work, padding: Padding) -> int:
    """How many of a node's multiply-adds are with values that are there, and end up where they are seen.

    Args:
        call: the node, all sizes known.
        computed: what the direct algorithm does.
        padding: of the graph.
    """
    if call.operator in _CONVOLUTIONS:
        kernel, outer = call.shape(_CONVOLUTIONS[call.operator]), _output(call)
        data = call.shape(0)
        name = call.inputs[0].name if call.inputs[0] is not None else ""
        places = _Places(call, kernel[2:])
        own = [low for low, _ in places.pads(data[2:], outer[2:])]
        count = outer[0] * outer[1] * kernel[1]
        for axis, (low, high) in enumerate(padding.of(name, len(kernel) - 2)):
            there = data[2 + axis] - low - high
            count *= places.pairs(axis, outer[2 + axis], there, own[axis] + low)
        return min(count, computed.multiply_adds)
    if call.operator == "ConvTranspose":
        kernel, outer, data = call.shape(1), _output(call), call.shape(0)
        places = _Places(call, kernel[2:])
        own = [low for low, _ in places.crops(data[2:], outer[2:])]
        count = data[0] * data[1] * kernel[1]
        for axis in range(len(kernel) - 2):
            count *= places.pairs(axis, data[2 + axis], outer[2 + axis], own[axis])
        return min(count, computed.multiply_adds)
    return computed.multiply_adds


class _Places:
    """Where the taps of a convolution fall along every axis."""

    def __init__(self, call: Call, kernel: Sequence[int]) -> None:
        axes = len(kernel)
        self._kernel = kernel
        self._strides: Sequence[int] = call.attributes.get("strides") or [1] * axes
        self._dilations: Sequence[int] = call.attributes.get("dilations") or [1] * axes
        self._auto = call.attributes.get("auto_pad", "NOTSET")
        given = call.attributes.get("pads") or [0] * (2 * axes)
        self._given = list(zip(given[:axes], given[axes:], strict=True))

    def pads(self, data: Sequence[int], outer: Sequence[int]) -> list[tuple[int, int]]:
        """Padding before and after each axis, automatic padding worked out from the sizes."""
        if self._auto not in {"SAME_UPPER", "SAME_LOWER"}:
            return [(0, 0)] * len(data) if self._auto == "VALID" else self._given
        spans = zip(data, outer, self._strides, self._spread(), strict=True)
        return [self._halves(max((out - 1) * stride + spread - size, 0)) for size, out, stride, spread in spans]

    def crops(self, data: Sequence[int], outer: Sequence[int]) -> list[tuple[int, int]]:
        """What a transposed convolution cuts off before and after each axis, worked out from the sizes."""
        if self._auto == "NOTSET":
            return self._given
        spans = zip(data, outer, self._strides, self._spread(), strict=True)
        return [self._halves(max((size - 1) * stride + spread - out, 0)) for size, out, stride, spread in spans]

    def pairs(self, axis: int, steps: int, there: int, before: int) -> int:
        """How many (step, tap) pairs meet one of ``there`` places, the first of which lies ``before`` places in."""
        stride, dilation = self._strides[axis], self._dilations[axis]
        return sum(
            0 <= step * stride + tap * dilation - before < there
            for step in range(steps)
            for tap in range(self._kernel[axis])
        )

    def _spread(self) -> list[int]:
        return [(size - 1) * dilation + 1 for size, dilation in zip(self._kernel, self._dilations, strict=True)]

    def _halves(self, total: int) -> tuple[int, int]:
        small = total // 2
        return (small, total - small) if self._auto == "SAME_UPPER" else (total - small, small)


def _output(call: Call) -> tuple[int, ...]:
    return next(tensor.shape for tensor in call.outputs if tensor is not None and tensor.shape is not None)


def _zero_pads(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> list[int] | None:
    """Padding of every axis, before and then after; None unless it is all zeros and known."""
    if node.op_type != "Pad" or (len(node.input) > 3 and node.input[3]):
        return None
    attributes = {entry.name: entry for entry in node.attribute}
    if "mode" in attributes and attributes["mode"].s != b"constant":
        return None
    if len(node.input) < 2:
        fill = attributes["value"].f if "value" in attributes else 0.0
        return list(attributes["pads"].ints) if fill == 0 and "pads" in attributes else None
    widths = stored.get(node.input[1])
    if widths is None:
        return None
    if len(node.input) > 2 and node.input[2]:
        fill_tensor = stored.get(node.input[2])
        if fill_tensor is None or numpy_helper.to_array(fill_tensor).any():
            return None
    found = [int(width) for width in numpy_helper.to_array(widths)]
    # A negative one cuts off: what is cut was computed for nothing, but not by this convolution.
    return found if min(found, default=0) >= 0 else None
