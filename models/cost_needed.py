"""What no engine can leave out: products with padding are with zeros, those cropped away are never seen.

The direct algorithm counts them (:mod:`models.cost_ops`), and good kernels skip them, so a bound must not
have them in it. A ``Pad`` with zeros right before a convolution counts as the convolution's own padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.cost_call import Call, Work

# Operator -> which input holds the kernel.
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}


# Products that are summed and cannot be had otherwise. Interpolation, which also counts as multiply-adds, may be fused.
_PRODUCTS = {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
_RECURRENT = {"GRU", "LSTM", "RNN"}


@dataclass(frozen=True)
class Needed:
    """What no engine can leave out of one node.

    Attributes:
        multiply_adds: products that are needed.
        shares: place of an input -> the part of it that is read at all, where that is not all of it.
    """

    multiply_adds: int
    shares: Mapping[int, float] = field(default_factory=dict)


class Known:
    """Stored values that decide how much a node has to do: widths of zero padding, lengths of sequences.

    Args:
        model: whose small initializers hold their values.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    self._stored[node.output[0]] = attribute.t
        self._pads: dict[str, tuple[list[int], list[int]]] = {}
        for node in model.graph.node:
            pads = _zero_pads(node, self._stored)
            if pads is not None:
                half = len(pads) // 2
                self._pads[node.output[0]] = (pads[:half], pads[half:])

    def total(self, name: str) -> int | None:
        """The sum of a stored tensor of whole numbers; None where it is not stored, or its values are not at hand."""
        tensor = self._stored.get(name)
        if tensor is None or (math.prod(tensor.dims) and not _has_values(tensor)):
            return None
        return int(numpy_helper.to_array(tensor).sum())

    def of(self, name: str, axes: int) -> list[tuple[int, int]]:
        """Zeros before and after along the last ``axes`` axes of a tensor."""
        before, after = self._pads.get(name, ([0] * axes, [0] * axes))
        return list(zip(before[-axes:], after[-axes:], strict=True))


def needed(call: Call, computed: Work, known: Known) -> Needed:
    """What of a node's multiply-adds is with values that are there, and ends up where it is seen.

    Args:
        call: the node, all sizes known.
        computed: what the direct algorithm does.
        known: stored values of the graph.
    """
    if call.operator in _CONVOLUTIONS:
        place = _CONVOLUTIONS[call.operator]
        kernel, outer, data = call.shape(place), _output(call), call.shape(0)
        name = call.inputs[0].name if call.inputs[0] is not None else ""
        places = _Places(call, kernel[2:])
        own = [low for low, _ in places.pads(data[2:], outer[2:])]
        meetings = [
            places.meet(axis, outer[2 + axis], data[2 + axis] - low - high, own[axis] + low)
            for axis, (low, high) in enumerate(known.of(name, len(kernel) - 2))
        ]
        count = outer[0] * outer[1] * kernel[1] * math.prod(pairs for pairs, _ in meetings)
        taps = math.prod(live / size for (_, live), size in zip(meetings, kernel[2:], strict=True))
        reads = zip(outer[2:], kernel[2:], data[2:], strict=True)
        touched = math.prod(min(1.0, steps * size / there) for steps, size, there in reads)
        return Needed(min(count, computed.multiply_adds), {0: touched, place: taps})
    if call.operator == "ConvTranspose":
        kernel, outer, data = call.shape(1), _output(call), call.shape(0)
        places = _Places(call, kernel[2:])
        own = [low for low, _ in places.crops(data[2:], outer[2:])]
        meetings = [places.meet(axis, data[2 + axis], outer[2 + axis], own[axis]) for axis in range(len(kernel) - 2)]
        count = data[0] * data[1] * kernel[1] * math.prod(pairs for pairs, _ in meetings)
        taps = math.prod(live / size for (_, live), size in zip(meetings, kernel[2:], strict=True))
        return Needed(min(count, computed.multiply_adds), {1: taps})
    if call.operator in _RECURRENT:
        return _recurrent(call, computed, known)
    return Needed(computed.multiply_adds if call.operator in _PRODUCTS else 0)


def _recurrent(call: Call, computed: Work, known: Known) -> Needed:
    """Frames beyond a sequence's length are not computed; where lengths are told with the call, nobody knows."""
    if not call.has(4):
        return Needed(computed.multiply_adds)
    lengths = call.inputs[4]
    frames = known.total(lengths.name) if lengths is not None else None
    whole = call.shape(0)[0] * call.shape(0)[1]
    share = min(frames or 0, whole) / whole if whole else 0.0
    return Needed(int(computed.multiply_adds * share), {0: share, **({} if frames else {1: 0.0, 2: 0.0})})


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

    def meet(self, axis: int, steps: int, there: int, before: int) -> tuple[int, int]:
        """How many (step, tap) pairs meet one of ``there`` places, the first of which lies ``before`` places in.

        Returns:
            The pairs, and how many taps are in one at all.
        """
        stride, dilation = self._strides[axis], self._dilations[axis]
        pairs = live = 0
        for tap in range(self._kernel[axis]):
            first = before - tap * dilation
            # Steps with 0 <= step * stride - first < there.
            low = max(0, -(-first // stride))
            high = min(steps - 1, (there - 1 + first) // stride)
            pairs += max(0, high - low + 1)
            live += high >= low
        return pairs, live

    def _spread(self) -> list[int]:
        return [(size - 1) * dilation + 1 for size, dilation in zip(self._kernel, self._dilations, strict=True)]

    def _halves(self, total: int) -> tuple[int, int]:
        small = total // 2
        return (small, total - small) if self._auto == "SAME_UPPER" else (total - small, small)


def _output(call: Call) -> tuple[int, ...]:
    return next(tensor.shape for tensor in call.outputs if tensor is not None and tensor.shape is not None)


def _has_values(tensor: onnx.TensorProto) -> bool:
    """Whether its values are here: large ones are forgotten, and external ones were not read."""
    typed = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    return tensor.data_location != onnx.TensorProto.EXTERNAL and bool(tensor.raw_data or any(typed))


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
    if widths is None or not _has_values(widths):
        return None
    if len(node.input) > 2 and node.input[2]:
        fill_tensor = stored.get(node.input[2])
        if fill_tensor is None or not _has_values(fill_tensor) or numpy_helper.to_array(fill_tensor).any():
            return None
    found = [int(width) for width in numpy_helper.to_array(widths)]
    # A negative one cuts off: what is cut was computed for nothing, but not by this convolution.
    return found if min(found, default=0) >= 0 else None
