"""The last two axes swapped, from the first convolution to the last: time before frequency.

Spectral models come as (batch, channels, frequencies, frames), which parts the values of one
frame by a row of frames each. Swapped, a frame's frequencies lie together: what works frame by
frame, as CausalCLN does, moves whole rows instead of single values, and the norm's transposes
become those that ONNX Runtime melts into its own reordering (see ``ln_last``).

Every value of rank 4 has a swapped twin, made where it is first wanted: by the node itself where
it can work swapped, else by a Transpose. So any graph stays right; whether it gets faster shows
when it is measured. Inputs and outputs keep their layout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from models.surgery.base import Change
from models.surgery.rewrite import Names, View, attribute, is_standard, opset, rebuilt
from models.walk import captured

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

    from models.surgery.base import Context
    from models.surgery.catalogue import Step

_WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")
_PASSED = (
    *(
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Softplus",
        "Softsign",
    ),
    *("Erf", "Gelu", "Mish", "Clip", "Exp", "Log", "Sqrt", "Reciprocal", "Abs", "Neg", "Floor", "Ceil", "Identity"),
    *(
        "Cast",
        "BatchNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "GlobalAveragePool",
        "GlobalMaxPool",
    ),
)
_BROADCAST = ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "PRelu", "Sum", "Mean")
_REDUCED = (
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
    "ReduceL1",
    "ReduceL2",
)
_SWAP = [0, 1, 3, 2]
ONE_AXIS_OPSET = 13


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Swap what can be swapped."""
    walk = _Walk(View(model), Names(model))
    for node in walk.view.nodes:
        walk.visit(node)
    for value in model.graph.output:
        walk.straight(value.name)
    if not walk.windowed:
        return Change(model, 0)
    notes: tuple[str, ...] = ()
    if walk.turned > walk.windowed:
        much = f"{walk.turned} transposes had to be put in for {walk.windowed} convolutions and poolings"
        notes = (f"{much}: a good part of this graph cannot be swapped, and it may be slower for it",)
    return Change(rebuilt(model, walk.nodes, walk.tensors), walk.windowed, notes)


class _Walk:
    """Goes through the nodes in order, and knows which values exist swapped, straight, or both."""

    def __init__(self, view: View, names: Names) -> None:
        self.view, self.names = view, names
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.windowed = self.turned = 0
        self.old = opset(view.model) < ONE_AXIS_OPSET
        self._swapped: dict[str, str] = {}
        self._straight = {value.name for value in view.graph.input} | set(view.initializers)

    def visit(self, node: onnx.NodeProto) -> None:
        """Write one node, swapped if it can be."""
        if is_standard(node):
            if node.op_type == "Transpose" and self._transpose(node):
                return
            if node.op_type in _REDUCED and self._flattened(node):
                return
            inputs = self._swapped_inputs(node)
            if inputs is not None:
                self._write(node, inputs)
                return
        for name in (*node.input, *captured(node)):
            self.straight(name)
        self.nodes.append(node)
        self._straight.update(node.output)

    def straight(self, name: str) -> None:
        """See to it that a value exists as the original graph has it."""
        if name in self._swapped and name not in self._straight:
            self._turn(self._swapped[name], name, _SWAP)
            self._straight.add(name)

    def swapped(self, name: str) -> str:
        """The swapped twin of a value of rank 4, made if need be."""
        if name not in self._swapped:
            self._swapped[name] = self._turn(name, self.names.new(f"{name}.swapped"), _SWAP)
        return self._swapped[name]

    def _turn(self, source: str, target: str, perm: Sequence[int]) -> str:
        self.turned += 1
        self.nodes.append(
            helper.make_node("Transpose", [source], [target], name=self.names.new(f"{target}.turn"), perm=list(perm))
        )
        return target

    def _transpose(self, node: onnx.NodeProto) -> bool:
        """A Transpose absorbs the swap: of what it reads if that exists only swapped, else of what it makes."""
        perm = attribute(node, "perm")
        if perm is None or len(perm) != 4:
            return False
        x, y = node.input[0], node.output[0]
        new = NodeProto()
        new.CopyFrom(node)
        del new.attribute[:]
        if x in self._swapped and x not in self._straight:
            new.input[0] = self._swapped[x]
            new.attribute.append(helper.make_attribute("perm", [_SWAP[axis] for axis in perm]))
            self._straight.add(y)
        elif perm != _SWAP and _is_spectral(self.view, y):
            self._swapped[y] = new.output[0] = self.names.new(f"{y}.swapped")
            new.attribute.append(helper.make_attribute("perm", [perm[axis] for axis in _SWAP]))
        else:
            return False
        self.nodes.append(new)
        return True

    def _flattened(self, node: onnx.NodeProto) -> bool:
        """A reduction that drops frequencies, frames or both leaves nothing to swap behind it."""
        axes = attribute(node, "axes")
        if axes is None and len(node.input) > 1:
            axes = self.view.value(node.input[1])
        if attribute(node, "keepdims", 1) or node.input[0] not in self._swapped or axes is None:
            return False
        dropped = {int(axis) % 4 for axis in np.ravel(axes)}
        if not dropped & {2, 3}:
            return False
        new = NodeProto()
        new.CopyFrom(node)
        new.input[0] = self._swapped[node.input[0]]
        if len(node.input) > 1:
            new.input[1] = self._constant(node.input[1], _swap_axes(np.asarray(axes, np.int64)))
        for entry in new.attribute:
            if entry.name == "axes":
                entry.ints[:] = [_SWAP[axis % 4] for axis in entry.ints]
        self.nodes.append(new)
        self._straight.update(node.output)
        return True

    def _swapped_inputs(self, node: onnx.NodeProto) -> list[str] | None:
        """What a node would read if it worked swapped; None if it cannot, or if nothing is gained."""
        kind, view = node.op_type, self.view
        if any(len(view.shape(name) or ()) != 4 for name in node.output if name):
            return None
        first = node.input[0] if node.input else ""
        known = first in self._swapped
        if kind in _WINDOWED and len(node.output) == 1 and len(view.shape(first) or ()) == 4:
            return self._windowed_inputs(node)
        if kind in _BROADCAST:
            free = [name for name in node.input if view.value(name) is None]
            if any(len(view.shape(name) or ()) != 4 for name in free) or not any(n in self._swapped for n in free):
                return None
            return [
                self.swapped(n) if n in free else self._constant(n, _swap_values(view.value(n))) for n in node.input
            ]
        if not known:
            return None
        if kind in _PASSED and len(node.output) == 1:
            return [self.swapped(first), *node.input[1:]]
        if kind == "Concat":
            return [self.swapped(name) for name in node.input]
        if kind in {"Split", "Softmax", "LogSoftmax"} and attribute(node, "axis") is not None:
            # Before operator set 13 a Softmax went over its axis and all behind it, whatever their order.
            if kind != "Split" and self.old and attribute(node, "axis") % 4 != 1:
                return None
            return [self.swapped(first), *node.input[1:]]
        return self._sized_inputs(node)

    def _windowed_inputs(self, node: onnx.NodeProto) -> list[str] | None:
        weight = self.view.value(node.input[1]) if len(node.input) > 1 else None
        if len(node.input) > 1 and (weight is None or weight.ndim != 4):
            return None
        weights = [] if weight is None else [self._constant(node.input[1], weight.swapaxes(2, 3))]
        return [self.swapped(node.input[0]), *weights, *node.input[2:]]

    def _sized_inputs(self, node: onnx.NodeProto) -> list[str] | None:
        """Nodes whose further inputs count axes."""
        kind, view = node.op_type, self.view
        values = [view.value(name) if name else None for name in node.input[1:]]
        if any(value is None and name for value, name in zip(values, node.input[1:], strict=True)):
            return None
        rest: list[str]
        if (
            kind == "Resize"
            and attribute(node, "axes") is None
            and (len(values) < 1 or values[0] is None or not values[0].size)
        ):
            rest = [
                self._constant(n, v[_SWAP]) if v is not None and v.size == 4 else n
                for n, v in zip(node.input[1:], values, strict=True)
            ]
        elif kind == "Pad" and len(values) < 3 and values and values[0] is not None and values[0].size == 8:
            rest = [self._constant(node.input[1], values[0].reshape(2, 4)[:, _SWAP].ravel()), *node.input[2:]]
        elif kind == "Slice" and len(values) > 2 and values[2] is not None:
            rest = [*node.input[1:3], self._constant(node.input[3], _swap_axes(values[2])), *node.input[4:]]
        elif kind in _REDUCED and attribute(node, "keepdims", 1):
            rest = [
                self._constant(n, _swap_axes(v)) for n, v in zip(node.input[1:], values, strict=True) if v is not None
            ]
        else:
            return None
        return [self.swapped(node.input[0]), *rest]

    def _write(self, node: onnx.NodeProto, inputs: list[str]) -> None:
        new = NodeProto()
        new.CopyFrom(node)
        self.windowed += node.op_type in _WINDOWED
        del new.input[:]
        new.input.extend(inputs)
        for entry in new.attribute:
            if entry.name in {"kernel_shape", "strides", "dilations", "output_padding", "output_shape"}:
                entry.ints[:] = entry.ints[::-1]
            elif entry.name == "pads" and node.op_type in _WINDOWED:
                entry.ints[:] = [entry.ints[axis] for axis in (1, 0, 3, 2)]
            elif entry.name == "axis" and node.op_type in {"Concat", "Split", "Softmax", "LogSoftmax"}:
                entry.i = _SWAP[entry.i % 4]
            elif entry.name == "axes" and node.op_type in _REDUCED:
                entry.ints[:] = [_SWAP[axis % 4] for axis in entry.ints]
        for index, name in enumerate(node.output):
            if name:
                self._swapped[name] = new.output[index] = self.names.new(f"{name}.swapped")
        self.nodes.append(new)

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        name = self.names.new(f"{name or 'constant'}.swapped")
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _is_spectral(view: View, name: str) -> bool:
    """Whether the swapped value is what readers want: all of them are nodes that work swapped."""
    readers = view.readers.get(name, [])
    wanted = {*_WINDOWED, *_PASSED, *_BROADCAST, "Concat", "Resize", "Pad"}
    return bool(readers) and name not in view.kept and all(reader.op_type in wanted for reader in readers)


def _swap_values(value: NDArray[Any] | None) -> NDArray[Any]:
    assert value is not None
    if value.size == 1:
        return value
    return value.reshape((1,) * (4 - value.ndim) + value.shape).swapaxes(2, 3)


def _swap_axes(axes: NDArray[Any]) -> NDArray[Any]:
    return np.array([_SWAP[int(axis) % 4] for axis in axes.ravel()], axes.dtype)
