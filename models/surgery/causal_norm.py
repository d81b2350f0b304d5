"""Find CausalCLN in any graph: a norm of each frame over channels and frequencies, written out.

What is looked for is the sum, not one exporter's way to write it::

    y = (x − mean(x)) / sqrt(var(x) · k + ε) · γ + β

with statistics over every axis but the batch and one other, the frames; ``k`` is 1, or N/(N−1)
where the variance is the unbiased one. A mean may be a ReduceMean or a ReduceSum over a count, a
square a Pow or a product, a quotient a Div, a Reciprocal, or a power of −½; a variance may have
a mean of its own. Norms that include the frames, leave out the channels, or whose γ or β change
from frame to frame are something else and are left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.surgery.rewrite import View, attribute, is_standard

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

Array = NDArray[Any]
CHANNEL_AXIS = 1


@dataclass(frozen=True)
class CausalNorm:
    """One norm as it was found.

    Attributes:
        x: what is normalised, (batch, channels, …), rank 3 or 4.
        y: the value that comes out, after γ and β.
        sizes: sizes of ``x``; those of batch and frames may be None.
        axes: what the statistics are taken over, ascending; channels among them.
        frame_axis: the one left besides the batch.
        gain, shift: γ and β with the sizes of ``x``, 1 on batch, frames, and wherever they are constant.
        epsilon: for a variance over N.
        name: of the last node, for new nodes' names.
        nodes: ids of the nodes it is made of.
    """

    x: str
    y: str
    sizes: tuple[int | None, ...]
    axes: tuple[int, ...]
    frame_axis: int
    gain: Array
    shift: Array
    epsilon: float
    name: str
    nodes: frozenset[int] = field(repr=False)

    def expanded(self, values: Array, order: tuple[int, ...]) -> Array:
        """γ or β for every value of a frame, axes in the given order, as LayerNormalization takes them."""
        shape = tuple(int(self.sizes[axis] or 1) for axis in self.axes)
        flat = np.broadcast_to(values.squeeze((0, self.frame_axis)), shape)
        return np.ascontiguousarray(flat.transpose([self.axes.index(axis) for axis in order]))


def find_causal_norms(view: View) -> list[CausalNorm]:
    """Every CausalCLN of a graph, in its order; none overlaps another."""
    found: list[CausalNorm] = []
    used: set[int] = set()
    for node in view.nodes:
        norm = _Match(view).norm(node)
        if norm is not None and not norm.nodes & used:
            used |= norm.nodes
            found.append(norm)
    return found


class _Match:
    """One attempt: remembers every node it takes for a part of the norm."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.parts: dict[int, onnx.NodeProto] = {}

    def norm(self, last: onnx.NodeProto) -> CausalNorm | None:
        """The norm whose quotient ``last`` is."""
        quotient = self._quotient(last)
        if quotient is None:
            return None
        x, axes, factor, epsilon, inner_gain = quotient
        sizes = self.view.shape(x)
        frame_axis = _frame_axis(sizes, axes)
        if sizes is None or frame_axis is None:
            return None
        self._take(last)
        gain, shift, y = self._affine(last.output[0], sizes, frame_axis)
        if inner_gain is not None:
            inner = _as_affine(inner_gain, sizes, frame_axis)
            if inner is None:
                return None
            gain = gain * inner
        if not self._closed(y):
            return None
        # var·k + ε = k·(var + ε/k)
        return CausalNorm(
            x,
            y,
            sizes,
            axes,
            frame_axis,
            (gain / math.sqrt(factor)).astype(self.view.dtype(x) or gain.dtype),
            shift.astype(self.view.dtype(x) or shift.dtype),
            epsilon / factor,
            last.name or y,
            frozenset(self.parts),
        )

    def _take(self, node: onnx.NodeProto) -> onnx.NodeProto:
        self.parts[id(node)] = node
        return node

    def _closed(self, y: str) -> bool:
        """Whether nothing outside reads a value from within: else the norm has to be computed anyway."""
        return all(self._dies(node, y, set()) for node in self.parts.values())

    def _dies(self, node: onnx.NodeProto, y: str, seen: set[int]) -> bool:
        """Whether a node is of no use once ``y`` is made elsewhere; exporters ask for the shape of values within."""
        if id(node) in seen:
            return True
        seen.add(id(node))
        return all(
            name == y
            or (
                name not in self.view.kept
                and all(id(reader) in self.parts or self._dies(reader, y, seen) for reader in self.view.readers[name])
                and bool(self.view.readers[name] or id(node) in self.parts)
            )
            for name in node.output
            if name
        )

    def _quotient(self, node: onnx.NodeProto) -> tuple[str, tuple[int, ...], float, float, Array | None] | None:
        """Find x, axes, k, ε, and a γ that was multiplied in before the quotient, if ``node`` is that."""
        for numerator, operand, under_root, gain in self._divided(node):
            source, inner = self._numerator(numerator)
            # What looks like a row of frames may be met as a column: the operand itself must fit.
            fits = (
                source is not None and self._per_frame(operand, *source) and self._as_large(node, numerator, source[0])
            )
            root = self._variance(under_root, *source) if source is not None and fits else None
            if source is not None and root is not None:
                gains = [value for value in (gain, inner) if value is not None]
                return *source, *root, None if not gains else gains[0] if len(gains) == 1 else gains[0] * gains[1]
            self.parts.clear()
        return None

    def _numerator(self, name: str) -> tuple[tuple[str, tuple[int, ...]] | None, Array | None]:
        """Find x and axes of ``x − mean(x)``, or of ``γ · (x − mean(x))`` with that γ."""
        source = self._centred(name)
        node = self.view.made_by(self._through(name), "Mul") if source is None else None
        if node is None:
            return source, None
        for one, other in ((0, 1), (1, 0)):
            gain = self.view.value(node.input[other])
            source = self._centred(node.input[one]) if gain is not None else None
            if source is not None:
                self._take(node)
                return source, gain
        return None, None

    def _as_large(self, last: onnx.NodeProto, numerator: str, x: str) -> bool:
        """Whether numerator and quotient have the sizes of x: a size of 1 that was taken out could grow elsewhere."""
        sizes = self.view.shape(x)
        return sizes is not None and self.view.shape(numerator) == sizes == self.view.shape(last.output[0])

    def _divided(self, node: onnx.NodeProto) -> Iterator[tuple[str, str, str, Array | None]]:
        """Readings of a node as ``a / sqrt(v)``: a, the operand that meets it, v, and γ in ``a · (γ / sqrt(v))``."""
        if not is_standard(node):
            return
        if node.op_type == "Div":
            root = self._root(node.input[1])
            if root is not None:
                yield node.input[0], node.input[1], root, None
        elif node.op_type == "Mul":
            for a, b in ((0, 1), (1, 0)):
                inverse = self._inverse(node.input[b])
                if inverse is not None:
                    yield node.input[a], node.input[b], inverse, None
                yield from self._gained(node.input[a], node.input[b])

    def _gained(self, numerator: str, name: str) -> Iterator[tuple[str, str, str, Array | None]]:
        """Readings with γ inside the factor: ``γ · (1 / sqrt(v))`` or ``γ / sqrt(v)``."""
        node = self.view.maker.get(name)
        if node is None or not is_standard(node) or node.op_type not in {"Mul", "Div"}:
            return
        if node.op_type == "Div":
            gain, root = self.view.value(node.input[0]), self._root(node.input[1])
            if gain is not None and gain.size > 1 and root is not None:
                self._take(node)
                yield numerator, node.input[1], root, gain
            return
        for one, other in ((0, 1), (1, 0)):
            gain, inverse = self.view.value(node.input[other]), self._inverse(node.input[one])
            if gain is not None and inverse is not None:
                self._take(node)
                yield numerator, node.input[one], inverse, gain

    def _root(self, name: str) -> str | None:
        """The value under a square root."""
        node = self.view.made_by(self._through(name), "Sqrt", "Pow")
        if node is None or (node.op_type == "Pow" and not self._is(node.input[1], 0.5)):
            return None
        return str(self._take(node).input[0])

    def _inverse(self, name: str) -> str | None:
        """The value v of 1/sqrt(v)."""
        node = self.view.made_by(self._through(name), "Reciprocal", "Div", "Pow")
        if node is None:
            return None
        if node.op_type == "Pow":
            return str(self._take(node).input[0]) if self._is(node.input[1], -0.5) else None
        if node.op_type == "Div" and not self._is(node.input[0], 1.0):
            return None
        root = self._root(node.input[-1])
        if root is None:
            return None
        self._take(node)
        return root

    def _centred(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """Find x and axes of ``x − mean(x)``."""
        node = self.view.made_by(self._through(name), "Sub")
        if node is None:
            return None
        mean = self._mean(node.input[1])
        if mean is None or mean[0] != node.input[0] or not self._per_frame(node.input[1], *mean):
            return None
        self._take(node)
        return mean

    def _variance(self, name: str, x: str, axes: tuple[int, ...]) -> tuple[float, float] | None:
        """Find k and ε of ``var(x)·k + ε``."""
        node = self.view.made_by(self._through(name), "Add")
        if node is None:
            return None
        for one, other in ((0, 1), (1, 0)):
            epsilon = self._number(node.input[other])
            if epsilon is None or not 0 < epsilon < 1:
                continue
            factor, name = 1.0, self._through(node.input[one])
            while (step := self._scaled(name)) is not None:
                factor, name = factor * step[0], self._through(step[1])
            mean = self._mean(name)
            if mean is not None and mean[1] == axes and self._square(mean[0]) == (x, axes) and factor > 0:
                self._take(node)
                return factor, epsilon
        return None

    def _scaled(self, name: str) -> tuple[float, str] | None:
        """A product or quotient with a number, unless it is how a mean is written."""
        node = self.view.made_by(name, "Mul", "Div")
        if node is None or self._mean(name) is not None:
            return None
        number = self._number(node.input[1])
        if number:
            self._take(node)
            return (number if node.op_type == "Mul" else 1 / number), node.input[0]
        number = self._number(node.input[0])
        if number and node.op_type == "Mul":
            self._take(node)
            return number, node.input[1]
        return None

    def _square(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """Find x and axes of ``(x − mean(x))²``."""
        node = self.view.made_by(self._through(name), "Pow", "Mul")
        if node is None:
            return None
        if node.op_type == "Pow" and not self._is(node.input[1], 2.0):
            return None
        if node.op_type == "Mul" and node.input[0] != node.input[1]:
            return None
        self._take(node)
        return self._centred(node.input[0])

    def _mean(self, name: str) -> tuple[str, tuple[int, ...]] | None:
        """What a value is the mean of, and over which axes; sizes of 1 must be kept."""
        name = self._through(name)
        node = self.view.made_by(name, "ReduceMean")
        if node is not None:
            axes = self._axes(node)
            if axes is None:
                return None
            self._take(node)
            return node.input[0], axes
        node = self.view.made_by(name, "Div", "Mul")
        if node is None:
            return None
        total, number = self.view.made_by(self._through(node.input[0]), "ReduceSum"), self._number(node.input[1])
        if total is None or not number:
            return None
        axes, sizes = self._axes(total), self.view.shape(total.input[0])
        if axes is None or sizes is None or any(sizes[axis] is None for axis in axes):
            return None
        count = math.prod(int(sizes[axis] or 0) for axis in axes)
        if not math.isclose(number if node.op_type == "Div" else 1 / number, count, rel_tol=1e-6):
            return None
        self._take(total)
        self._take(node)
        return total.input[0], axes

    def _axes(self, node: onnx.NodeProto) -> tuple[int, ...] | None:
        sizes = self.view.shape(node.input[0])
        axes: Any = attribute(node, "axes")
        if axes is None and len(node.input) > 1 and node.input[1]:
            axes = self.view.value(node.input[1])
        if axes is None or sizes is None:
            return None
        return tuple(sorted({int(axis) % len(sizes) for axis in np.ravel(axes)}))

    def _through(self, name: str) -> str:
        """Past nodes that hand every number on as it is, at most with sizes of 1 put in or taken out."""
        while (
            node := self.view.made_by(name, "Identity", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Transpose")
        ) is not None:
            before, after = self.view.shape(node.input[0]), self.view.shape(name)
            if node.op_type != "Identity" and (before is None or after is None or _above_1(before) != _above_1(after)):
                break
            if node.op_type == "Transpose" and len(_above_1(before or ())) > 1:
                break  # rows and columns of equal length are still not each other
            self._take(node)
            name = node.input[0]
        return name

    def _per_frame(self, name: str, x: str, axes: tuple[int, ...]) -> bool:
        """Whether a value meets x as statistics of its frames do: 1 on the axes they were taken over."""
        sizes, have = self.view.shape(x), self.view.shape(name)
        if sizes is None or have is None:
            return False
        return have == tuple(1 if axis in axes else size for axis, size in enumerate(sizes))

    def _affine(self, y: str, sizes: tuple[int | None, ...], frame_axis: int) -> tuple[Array, Array, str]:
        """γ, β and the value after them, as far as they follow."""
        ones = np.ones([1] * len(sizes), self.view.dtype(y) or np.float32)
        gain, shift = ones, ones * 0
        for operator in ("Mul", "Add"):
            node = self.view.reader(y)
            if node is None or node.op_type != operator or node.input[0] == node.input[1]:
                continue
            value = self.view.value(node.input[1] if node.input[0] == y else node.input[0])
            values = None if value is None else _as_affine(value, sizes, frame_axis)
            if values is None:
                continue
            gain, shift = (values, shift) if operator == "Mul" else (gain, values)
            y = self._take(node).output[0]
        return gain, shift.astype(gain.dtype) if shift is not gain else shift, y

    def _number(self, name: str) -> float | None:
        value = self.view.value(name)
        return float(value.ravel()[0]) if value is not None and value.size == 1 and value.dtype.kind in "fiu" else None

    def _is(self, name: str, wanted: float) -> bool:
        return self._number(name) == wanted


def _above_1(sizes: tuple[int | None, ...]) -> list[int | None]:
    return [size for size in sizes if size != 1]


def _frame_axis(sizes: tuple[int | None, ...] | None, axes: tuple[int, ...]) -> int | None:
    """The axis of the frames, if everything but it and the batch is normalised, channels included."""
    if sizes is None or len(sizes) not in {3, 4}:
        return None
    left = [axis for axis in range(1, len(sizes)) if axis not in axes]
    if len(left) != 1 or 0 in axes or CHANNEL_AXIS not in axes or any(sizes[axis] is None for axis in axes):
        return None
    return left[0]


def _as_affine(value: Array, sizes: tuple[int | None, ...], frame_axis: int) -> Array | None:
    """A constant with the rank of x, if it is the same in every frame and signal; None if not."""
    if value.ndim > len(sizes) or value.dtype.kind != "f":
        return None
    full = value.reshape((1,) * (len(sizes) - value.ndim) + value.shape)
    if full.shape[0] != 1 or full.shape[frame_axis] != 1:
        return None
    fits = all(have in {1, want} for have, want in zip(full.shape, sizes, strict=True))
    return full if fits else None
