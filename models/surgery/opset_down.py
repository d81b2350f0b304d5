"""Operators said in an older operator set, down to 13.

Most newer versions of an operator only take more types, or have one more attribute whose default
is the old meaning: those are found by comparing onnx's own schemas. The rest is written out here,
and what is neither is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.errors import ModelError
from models.surgery.graphs import called, first_line, set_attribute, subgraphs
from models.surgery.rewrite import Names, View, attribute, is_standard, opset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LOWEST = 13
_AXES_BECAME_INPUT = 18
# Values of attributes that exist in both versions, but not with this meaning.
_NEW_VALUES = {
    ("Resize", "coordinate_transformation_mode", b"half_pixel_symmetric"): 19,
    ("Pad", "mode", b"wrap"): 19,
    **{(op, "reduction", kind): 18 for op in ("ScatterElements", "ScatterND") for kind in (b"max", b"min")},
}
# Whose missing attribute means something else in the version before.
_NEW_DEFAULTS = {("RoiAlign", "coordinate_transformation_mode"): 16}
_HALF = {TensorProto.FLOAT16, TensorProto.BFLOAT16}

Nodes = list[onnx.NodeProto]


def lowered(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The model, tidied before, in an older operator set.

    Raises:
        ModelError: an operator that the older set cannot say.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Lowering(result, version).graph(result.graph)
    del result.graph.value_info[:]
    for entry in result.opset_import:
        if entry.domain == "":
            entry.version = version
    try:
        onnx.checker.check_model(result)
        onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    except Exception as error:
        raise ModelError(f"the graph cannot be said in operator set {version}: {first_line(error)}") from error
    return result


class _Lowering:
    def __init__(self, model: onnx.ModelProto, version: int) -> None:
        self.now, self.version = opset(model), version
        self.view, self.names = View(model), Names(model)
        self.constants: dict[str, NDArray[Any]] = {}
        self.added: list[onnx.TensorProto] = []

    def graph(self, graph: onnx.GraphProto) -> None:
        """Lower every node of a graph and of the graphs inside it, in place."""
        outer, self.added = self.added, []
        inner = {t.name: t for t in graph.initializer if t.data_type == TensorProto.INT64}
        self.constants |= {name: numpy_helper.to_array(tensor) for name, tensor in inner.items()}
        nodes = [new for node in graph.node for new in self.node(node)]
        for node in nodes:
            for sub in subgraphs(node):
                self.graph(sub)
        copies = []
        for node in nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copies.append(copy)
        del graph.node[:]
        graph.node.extend(copies)
        del graph.value_info[:]
        graph.initializer.extend(self.added)
        self.added = outer

    def node(self, node: onnx.NodeProto) -> Nodes:
        """The same in the older set."""
        if not is_standard(node):
            return [node]
        try:
            new = onnx.defs.get_schema(node.op_type, self.now, "")
        except onnx.defs.SchemaError:
            return [node]  # no such operator: the checker will say so
        if new.since_version <= self.version:
            return [node]
        written = _WRITTEN_OUT.get(node.op_type)
        if written is not None and self.version < written[0]:
            return written[1](self, node)
        try:
            old = onnx.defs.get_schema(node.op_type, self.version, "")
        except onnx.defs.SchemaError:
            raise ModelError(
                f"{called(node)} came with operator set {new.since_version}, and cannot be said in {self.version}"
            ) from None
        changed = _CHANGED.get(node.op_type)
        if changed is not None and changed[0] > self.version:
            changed[1](self, node)
        self._fit(node, new, old)
        return [node]

    def _fit(self, node: onnx.NodeProto, new: Any, old: Any) -> None:
        """Take away what the older version does not know, where that is what it means anyway."""
        for entry in list(node.attribute):
            value = helper.get_attribute_value(entry)
            since = _NEW_VALUES.get((node.op_type, entry.name, value) if isinstance(value, bytes) else ("", "", b""))
            known = entry.name in old.attributes
            default = new.attributes[entry.name].default_value if entry.name in new.attributes else None
            same = default is not None and default.type and helper.get_attribute_value(default) == value
            if (since or 0) > self.version or not (known or same):
                raise self.refused(node, f"its {entry.name}, which was something else or not there")
            if not known:
                set_attribute(node, entry.name, None)
        for name, entry in new.attributes.items():
            given = any(present.name == name for present in node.attribute)
            if not given and self.version < _NEW_DEFAULTS.get((node.op_type, name), 0):
                raise self.refused(node, f"its {name}, which was something else")
            before = old.attributes[name].default_value if name in old.attributes else None
            if given or before is None or not entry.default_value.type:
                continue
            if before.SerializeToString() != entry.default_value.SerializeToString():
                node.attribute.append(entry.default_value)
        while node.input and not node.input[-1]:
            del node.input[-1]
        if len(node.input) > old.max_input:
            raise self.refused(node, f"its input {node.input[old.max_input]!r}, which was not there")

    def refused(self, node: onnx.NodeProto, what: str) -> ModelError:
        """The error for something that the older set cannot say."""
        return ModelError(f"{called(node)} cannot be said in operator set {self.version}: {what}")

    def constant(self, wish: str, values: Any, kind: Any = np.int64) -> str:
        """A new constant; returns its name."""
        name = self.names.new(wish)
        self.added.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def value(self, node: onnx.NodeProto, index: int) -> NDArray[Any] | None:
        """The value of an optional input that must be constant; None where it is not given.

        Raises:
            ModelError: it is computed.
        """
        name = node.input[index] if index < len(node.input) else ""
        if not name:
            return None
        found = self.known(name)
        if found is None:
            raise self.refused(node, f"{name!r} is computed, and must be a constant there")
        return found

    def known(self, name: str) -> NDArray[Any] | None:
        """The value of a constant; None where it is computed from inputs."""
        found = self.constants.get(name)
        return self.view.value(name, 64) if found is None else found

    def rank(self, node: onnx.NodeProto) -> int:
        """Number of axes of the first input."""
        shape = self.view.shape(node.input[0])
        if shape is None:
            raise self.refused(node, f"the number of axes of {node.input[0]!r} is not known")
        return len(shape)

    def make(self, op: str, inputs: Sequence[str], wish: str, into: Nodes, **attributes: Any) -> str:
        """Add a node with one new output."""
        name = self.names.new(wish)
        into.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def mean(self, x: str, axes: list[int], wish: str, into: Nodes) -> str:
        """Add a mean that keeps its axes, as the target version writes it."""
        if self.version < _AXES_BECAME_INPUT:
            return self.make("ReduceMean", [x], wish, into, axes=axes, keepdims=1)
        return self.make("ReduceMean", [x, self.constant(f"{wish}.axes", axes)], wish, into, keepdims=1)


def _reduce(self: _Lowering, node: onnx.NodeProto) -> None:
    axes = self.value(node, 1)
    if (axes is None or axes.size == 0) and attribute(node, "noop_with_empty_axes", 0):
        raise self.refused(node, "it reduces nothing")
    del node.input[1:]
    if axes is not None and axes.size:
        set_attribute(node, "axes", axes.tolist())
    set_attribute(node, "noop_with_empty_axes", None)


def _split(self: _Lowering, node: onnx.NodeProto) -> None:
    count = attribute(node, "num_outputs")
    set_attribute(node, "num_outputs", None)
    if count is None or (len(node.input) > 1 and node.input[1]):
        return
    shape = self.view.shape(node.input[0])
    size = None if shape is None else shape[attribute(node, "axis", 0) % len(shape)]
    if size is None:
        raise self.refused(node, f"the size of {node.input[0]!r} is not known, nor whether its parts are equal")
    part = -(-size // count)
    if part * count != size:
        sizes = [part] * (count - 1) + [size - part * (count - 1)]
        node.input.append(self.constant(f"{node.output[0]}.sizes", sizes))


def _pad(self: _Lowering, node: onnx.NodeProto) -> None:
    axes = self.value(node, 3)
    if axes is not None:
        rank, pads = self.rank(node), self.value(node, 1)
        whole = np.zeros((2, rank), np.int64)
        whole[:, axes % rank] = np.asarray(pads).reshape(2, -1)
        node.input[1] = self.constant(f"{node.output[0]}.pads", whole.ravel())
    del node.input[3:]


def _resize(self: _Lowering, node: onnx.NodeProto) -> None:
    axes = attribute(node, "axes")
    if axes is None:
        return
    shape, rank = self.view.shape(node.input[0]), self.rank(node)
    places = np.array(axes) % rank
    for index, kind in ((1, np.float32), (2, np.float32), (3, np.int64)):
        given = self.value(node, index)
        if given is None or not given.size:
            continue
        if index == 3 and (shape is None or None in shape):
            raise self.refused(node, f"the size of {node.input[0]!r} is not known")
        whole = np.array({1: [0] * rank + [1] * rank, 2: [1] * rank, 3: shape}[index], kind)
        whole.reshape(-1, rank)[:, places] = given.reshape(-1, len(places))
        node.input[index] = self.constant(f"{node.output[0]}.whole.{index}", whole, kind)
    set_attribute(node, "axes", None)


def _reshape(self: _Lowering, node: onnx.NodeProto) -> None:
    """``allowzero`` matters where a size is 0; newer exporters write it everywhere."""
    target = self.known(node.input[1])
    if target is None or 0 not in target:
        set_attribute(node, "allowzero", None)


def _grid_sample(self: _Lowering, node: onnx.NodeProto) -> None:
    names = {b"linear": "bilinear", b"cubic": "bicubic"}
    mode = attribute(node, "mode", b"linear")
    set_attribute(node, "mode", names.get(mode, mode.decode()))


def _average_pool(self: _Lowering, node: onnx.NodeProto) -> None:
    if all(step == 1 for step in attribute(node, "dilations", [])):
        set_attribute(node, "dilations", None)


def _shape(self: _Lowering, node: onnx.NodeProto) -> Nodes:
    start, end = attribute(node, "start", 0), attribute(node, "end")
    if not start and end is None:
        return [helper.make_node("Shape", node.input, node.output, name=node.name)]
    nodes: Nodes = []
    whole = self.make("Shape", node.input, f"{node.output[0]}.whole", nodes)
    bounds = [
        self.constant(f"{node.output[0]}.{wish}", [value])
        for wish, value in (("start", start), ("end", np.iinfo(np.int64).max if end is None else end))
    ]
    nodes.append(helper.make_node("Slice", [whole, *bounds], node.output, name=node.name))
    return nodes


def _layer_norm(self: _Lowering, node: onnx.NodeProto) -> Nodes:
    axis = attribute(node, "axis", -1)
    axes = list(range(axis if axis < 0 else axis - self.rank(node), 0))
    return _norm(self, node, axes, centred=node.op_type == "LayerNormalization")


def _norm(self: _Lowering, node: onnx.NodeProto, axes: list[int], *, centred: bool) -> Nodes:
    """(x − mean) / sqrt(mean of squares + ε) · γ + β; half precision is normalised in float32, as the operator does."""
    nodes: Nodes = []
    y, x = node.output[0], node.input[0]
    kind = self.view.dtype(x)
    code = TensorProto.FLOAT if kind is None else helper.np_dtype_to_tensor_dtype(kind)
    if code in _HALF and attribute(node, "stash_type", 1) == TensorProto.FLOAT:
        x, kind = self.make("Cast", [x], f"{y}.float", nodes, to=TensorProto.FLOAT), np.dtype(np.float32)
    kind = kind or np.dtype(np.float32)
    mean = self.mean(x, axes, f"{y}.mean", nodes) if centred else ""
    if centred:
        x = self.make("Sub", [x, mean], f"{y}.centred", nodes)
    square = self.make("Mul", [x, x], f"{y}.squared", nodes)
    variance = self.mean(square, axes, f"{y}.variance", nodes)
    epsilon = self.constant(f"{y}.epsilon", attribute(node, "epsilon", 1e-5), kind)
    root = self.make("Sqrt", [self.make("Add", [variance, epsilon], f"{y}.safe", nodes)], f"{y}.deviation", nodes)
    x = self.make("Div", [x, root], f"{y}.scaled", nodes)
    if code in _HALF and attribute(node, "stash_type", 1) == TensorProto.FLOAT:
        x = self.make("Cast", [x], f"{y}.back", nodes, to=code)
    biased = len(node.input) > 2 and bool(node.input[2])
    last = [x, node.input[1]]
    if biased:
        last = [self.make("Mul", last, f"{y}.gained", nodes), node.input[2]]
    nodes.append(helper.make_node("Add" if biased else "Mul", last, [y], name=node.name))
    if centred and len(node.output) > 1 and node.output[1]:
        nodes.append(helper.make_node("Identity", [mean], [node.output[1]]))
    if centred and len(node.output) > 2 and node.output[2]:
        nodes.append(helper.make_node("Reciprocal", [root], [node.output[2]]))
    return nodes


def _group_norm(self: _Lowering, node: onnx.NodeProto) -> Nodes:
    nodes: Nodes = []
    y, groups, rank = node.output[0], attribute(node, "num_groups"), self.rank(node)
    size = self.make("Shape", [node.input[0]], f"{y}.size", nodes)
    grouped = self.make(
        "Reshape", [node.input[0], self.constant(f"{y}.groups", [0, groups, -1])], f"{y}.grouped", nodes
    )
    kind = self.view.dtype(node.input[0]) or np.dtype(np.float32)
    ones = [self.constant(f"{y}.one", 1, kind), self.constant(f"{y}.zero", 0, kind)]
    inner = helper.make_node(
        "LayerNormalization",
        [grouped, *ones],
        [self.names.new(f"{y}.normed")],
        epsilon=attribute(node, "epsilon", 1e-5),
    )
    nodes += _norm(self, inner, [-1], centred=True)
    if self.now < 21:  # one scale per group
        affine, axes = [inner.output[0]], [1]
    else:
        affine, axes = (
            [self.make("Reshape", [inner.output[0], size], f"{y}.ungrouped", nodes)],
            list(range(1, rank - 1)),
        )
    shape = self.constant(f"{y}.affine", [-1] + [1] * len(axes))
    gain, shift = (
        self.make("Reshape", [name, shape], f"{y}.{index}", nodes) for index, name in enumerate(node.input[1:3])
    )
    gained = self.make("Mul", [affine[0], gain], f"{y}.gained", nodes)
    if self.now < 21:
        shifted = self.make("Add", [gained, shift], f"{y}.shifted", nodes)
        nodes.append(helper.make_node("Reshape", [shifted, size], [y], name=node.name))
    else:
        nodes.append(helper.make_node("Add", [gained, shift], [y], name=node.name))
    return nodes


def _gelu(self: _Lowering, node: onnx.NodeProto) -> Nodes:
    nodes: Nodes = []
    x, y, kind = node.input[0], node.output[0], self.view.dtype(node.input[0]) or np.dtype(np.float32)

    def number(wish: str, value: float) -> str:
        return self.constant(f"{y}.{wish}", value, kind)

    if attribute(node, "approximate", b"none") == b"tanh":
        cube = self.make("Mul", [self.make("Mul", [x, x], f"{y}.square", nodes), x], f"{y}.cube", nodes)
        small = self.make("Mul", [cube, number("factor", 0.044715)], f"{y}.small", nodes)
        inner = self.make("Add", [x, small], f"{y}.sum", nodes)
        scaled = self.make("Mul", [inner, number("root", np.sqrt(2 / np.pi))], f"{y}.inner", nodes)
        bend = self.make("Tanh", [scaled], f"{y}.tanh", nodes)
    else:
        scaled = self.make("Mul", [x, number("root", np.sqrt(0.5))], f"{y}.inner", nodes)
        bend = self.make("Erf", [scaled], f"{y}.erf", nodes)
    share = self.make("Add", [bend, number("one", 1)], f"{y}.share", nodes)
    half = self.make("Mul", [x, number("half", 0.5)], f"{y}.halved", nodes)
    nodes.append(helper.make_node("Mul", [half, share], [y], name=node.name))
    return nodes


def _hard_swish(self: _Lowering, node: onnx.NodeProto) -> Nodes:
    gate = self.names.new(f"{node.output[0]}.gate")
    return [
        helper.make_node("HardSigmoid", node.input, [gate], name=gate, alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", [node.input[0], gate], node.output, name=node.name),
    ]


def _mish(self: _Lowering, node: onnx.NodeProto) -> Nodes:
    nodes: Nodes = []
    soft = self.make("Softplus", node.input, f"{node.output[0]}.softplus", nodes)
    gate = self.make("Tanh", [soft], f"{node.output[0]}.gate", nodes)
    return [*nodes, helper.make_node("Mul", [node.input[0], gate], node.output, name=node.name)]


_Change = dict[str, tuple[int, "Callable[[_Lowering, onnx.NodeProto], None]"]]
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
# Operator -> the version that changed it, and how to go back before that.
_CHANGED: _Change = {
    **{f"Reduce{kind}": (_AXES_BECAME_INPUT, _reduce) for kind in _REDUCTIONS},
    "Split": (18, _split),
    "Pad": (18, _pad),
    "Resize": (18, _resize),
    "Reshape": (14, _reshape),
    "GridSample": (20, _grid_sample),
    "AveragePool": (19, _average_pool),
}
_WRITTEN_OUT: dict[str, tuple[int, Callable[[_Lowering, onnx.NodeProto], Nodes]]] = {
    "Shape": (15, _shape),
    "LayerNormalization": (17, _layer_norm),
    "RMSNormalization": (23, _layer_norm),
    "GroupNormalization": (21, _group_norm),
    "Gelu": (20, _gelu),
    "HardSwish": (14, _hard_swish),
    "Mish": (18, _mish),
}
