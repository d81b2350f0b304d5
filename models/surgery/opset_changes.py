"""What changed in an operator from version to version, and how to say the newer in the older.

Each function takes the work in progress and a node. One of ``CHANGED`` rewrites the node in place;
one of ``WRITTEN_OUT`` answers with the nodes that stand for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from models.surgery.graphs import set_attribute
from models.surgery.rewrite import attribute

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.surgery.opset_down import Lowering

AXES_BECAME_INPUT = 18
_HALF = {TensorProto.FLOAT16, TensorProto.BFLOAT16}

Nodes = list[onnx.NodeProto]


def _reduce(work: Lowering, node: onnx.NodeProto) -> None:
    axes = work.value(node, 1)
    if (axes is None or axes.size == 0) and attribute(node, "noop_with_empty_axes", 0):
        raise work.refused(node, "it reduces nothing")
    del node.input[1:]
    if axes is not None and axes.size:
        set_attribute(node, "axes", axes.tolist())
    set_attribute(node, "noop_with_empty_axes", None)


def _split(work: Lowering, node: onnx.NodeProto) -> None:
    count = attribute(node, "num_outputs")
    set_attribute(node, "num_outputs", None)
    if count is None or (len(node.input) > 1 and node.input[1]):
        return
    shape = work.view.shape(node.input[0])
    size = None if shape is None else shape[attribute(node, "axis", 0) % len(shape)]
    if size is None:
        raise work.refused(node, f"the size of {node.input[0]!r} is not known, nor whether its parts are equal")
    part = -(-size // count)
    if part * count != size:
        sizes = [part] * (count - 1) + [size - part * (count - 1)]
        node.input.append(work.constant(f"{node.output[0]}.sizes", sizes))


def _pad(work: Lowering, node: onnx.NodeProto) -> None:
    axes = work.value(node, 3)
    if axes is not None:
        rank, pads = work.rank(node), work.value(node, 1)
        whole = np.zeros((2, rank), np.int64)
        whole[:, axes % rank] = np.asarray(pads).reshape(2, -1)
        node.input[1] = work.constant(f"{node.output[0]}.pads", whole.ravel())
    del node.input[3:]


def _resize(work: Lowering, node: onnx.NodeProto) -> None:
    axes = attribute(node, "axes")
    if axes is None:
        return
    shape, rank = work.view.shape(node.input[0]), work.rank(node)
    places = np.array(axes) % rank
    for index, kind in ((1, np.float32), (2, np.float32), (3, np.int64)):
        given = work.value(node, index)
        if given is None or not given.size:
            continue
        if index == 3 and (shape is None or None in shape):
            raise work.refused(node, f"the size of {node.input[0]!r} is not known")
        whole = np.array({1: [0] * rank + [1] * rank, 2: [1] * rank, 3: shape}[index], kind)
        whole.reshape(-1, rank)[:, places] = given.reshape(-1, len(places))
        node.input[index] = work.constant(f"{node.output[0]}.whole.{index}", whole, kind)
    set_attribute(node, "axes", None)


def _reshape(work: Lowering, node: onnx.NodeProto) -> None:
    """``allowzero`` matters where a size is 0; newer exporters write it everywhere."""
    target = work.known(node.input[1])
    if target is None or 0 not in target:
        set_attribute(node, "allowzero", None)


def _grid_sample(work: Lowering, node: onnx.NodeProto) -> None:
    names = {b"linear": "bilinear", b"cubic": "bicubic"}
    mode = attribute(node, "mode", b"linear")
    set_attribute(node, "mode", names.get(mode, mode.decode()))


def _average_pool(work: Lowering, node: onnx.NodeProto) -> None:
    if all(step == 1 for step in attribute(node, "dilations", [])):
        set_attribute(node, "dilations", None)


def _shape(work: Lowering, node: onnx.NodeProto) -> Nodes:
    start, end = attribute(node, "start", 0), attribute(node, "end")
    if not start and end is None:
        return [helper.make_node("Shape", node.input, node.output, name=node.name)]
    nodes: Nodes = []
    whole = work.make("Shape", node.input, f"{node.output[0]}.whole", nodes)
    bounds = [
        work.constant(f"{node.output[0]}.{wish}", [value])
        for wish, value in (("start", start), ("end", np.iinfo(np.int64).max if end is None else end))
    ]
    nodes.append(helper.make_node("Slice", [whole, *bounds], node.output, name=node.name))
    return nodes


def _layer_norm(work: Lowering, node: onnx.NodeProto) -> Nodes:
    axis = attribute(node, "axis", -1)
    axes = list(range(axis if axis < 0 else axis - work.rank(node), 0))
    return _norm(work, node, axes, centred=node.op_type == "LayerNormalization")


def _norm(work: Lowering, node: onnx.NodeProto, axes: list[int], *, centred: bool) -> Nodes:
    """(x − mean) / sqrt(mean of squares + ε) · γ + β; half precision is normalised in float32, as the operator does."""
    nodes: Nodes = []
    y, x = node.output[0], node.input[0]
    kind = work.view.dtype(x)
    code = TensorProto.FLOAT if kind is None else helper.np_dtype_to_tensor_dtype(kind)
    if code in _HALF and attribute(node, "stash_type", 1) == TensorProto.FLOAT:
        x, kind = work.make("Cast", [x], f"{y}.float", nodes, to=TensorProto.FLOAT), np.dtype(np.float32)
    kind = kind or np.dtype(np.float32)
    mean = work.mean(x, axes, f"{y}.mean", nodes) if centred else ""
    if centred:
        x = work.make("Sub", [x, mean], f"{y}.centred", nodes)
    square = work.make("Mul", [x, x], f"{y}.squared", nodes)
    variance = work.mean(square, axes, f"{y}.variance", nodes)
    epsilon = work.constant(f"{y}.epsilon", attribute(node, "epsilon", 1e-5), kind)
    root = work.make("Sqrt", [work.make("Add", [variance, epsilon], f"{y}.safe", nodes)], f"{y}.deviation", nodes)
    x = work.make("Div", [x, root], f"{y}.scaled", nodes)
    if code in _HALF and attribute(node, "stash_type", 1) == TensorProto.FLOAT:
        x = work.make("Cast", [x], f"{y}.back", nodes, to=code)
    biased = len(node.input) > 2 and bool(node.input[2])
    last = [x, node.input[1]]
    if biased:
        last = [work.make("Mul", last, f"{y}.gained", nodes), node.input[2]]
    nodes.append(helper.make_node("Add" if biased else "Mul", last, [y], name=node.name))
    if centred and len(node.output) > 1 and node.output[1]:
        nodes.append(helper.make_node("Identity", [mean], [node.output[1]]))
    if centred and len(node.output) > 2 and node.output[2]:
        nodes.append(helper.make_node("Reciprocal", [root], [node.output[2]]))
    return nodes


def _group_norm(work: Lowering, node: onnx.NodeProto) -> Nodes:
    nodes: Nodes = []
    y, groups, rank = node.output[0], attribute(node, "num_groups"), work.rank(node)
    sizes = work.view.shape(node.input[0]) or ()
    if None in sizes:
        size = work.make("Shape", [node.input[0]], f"{y}.size", nodes)
    else:
        size = work.constant(f"{y}.size", sizes)
    grouped = work.make(
        "Reshape", [node.input[0], work.constant(f"{y}.groups", [0, groups, -1])], f"{y}.grouped", nodes
    )
    kind = work.view.dtype(node.input[0]) or np.dtype(np.float32)
    ones = [work.constant(f"{y}.one", 1, kind), work.constant(f"{y}.zero", 0, kind)]
    inner = helper.make_node(
        "LayerNormalization",
        [grouped, *ones],
        [work.names.new(f"{y}.normed")],
        epsilon=attribute(node, "epsilon", 1e-5),
    )
    nodes += _norm(work, inner, [-1], centred=True)
    if work.now < 21:  # one scale per group
        affine, axes = [inner.output[0]], [1]
    else:
        affine, axes = (
            [work.make("Reshape", [inner.output[0], size], f"{y}.ungrouped", nodes)],
            list(range(1, rank - 1)),
        )
    shape = work.constant(f"{y}.affine", [-1] + [1] * len(axes))
    gain, shift = (
        work.make("Reshape", [name, shape], f"{y}.{index}", nodes) for index, name in enumerate(node.input[1:3])
    )
    gained = work.make("Mul", [affine[0], gain], f"{y}.gained", nodes)
    if work.now < 21:
        shifted = work.make("Add", [gained, shift], f"{y}.shifted", nodes)
        nodes.append(helper.make_node("Reshape", [shifted, size], [y], name=node.name))
    else:
        nodes.append(helper.make_node("Add", [gained, shift], [y], name=node.name))
    return nodes


def _gelu(work: Lowering, node: onnx.NodeProto) -> Nodes:
    nodes: Nodes = []
    x, y, kind = node.input[0], node.output[0], work.view.dtype(node.input[0]) or np.dtype(np.float32)

    def number(wish: str, value: float) -> str:
        return work.constant(f"{y}.{wish}", value, kind)

    if attribute(node, "approximate", b"none") == b"tanh":
        cube = work.make("Mul", [work.make("Mul", [x, x], f"{y}.square", nodes), x], f"{y}.cube", nodes)
        small = work.make("Mul", [cube, number("factor", 0.044715)], f"{y}.small", nodes)
        inner = work.make("Add", [x, small], f"{y}.sum", nodes)
        scaled = work.make("Mul", [inner, number("root", np.sqrt(2 / np.pi))], f"{y}.inner", nodes)
        bend = work.make("Tanh", [scaled], f"{y}.tanh", nodes)
    else:
        scaled = work.make("Mul", [x, number("root", np.sqrt(0.5))], f"{y}.inner", nodes)
        bend = work.make("Erf", [scaled], f"{y}.erf", nodes)
    share = work.make("Add", [bend, number("one", 1)], f"{y}.share", nodes)
    half = work.make("Mul", [x, number("half", 0.5)], f"{y}.halved", nodes)
    nodes.append(helper.make_node("Mul", [half, share], [y], name=node.name))
    return nodes


def _hard_swish(work: Lowering, node: onnx.NodeProto) -> Nodes:
    gate = work.names.new(f"{node.output[0]}.gate")
    return [
        helper.make_node("HardSigmoid", node.input, [gate], name=gate, alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", [node.input[0], gate], node.output, name=node.name),
    ]


def _mish(work: Lowering, node: onnx.NodeProto) -> Nodes:
    nodes: Nodes = []
    soft = work.make("Softplus", node.input, f"{node.output[0]}.softplus", nodes)
    gate = work.make("Tanh", [soft], f"{node.output[0]}.gate", nodes)
    return [*nodes, helper.make_node("Mul", [node.input[0], gate], node.output, name=node.name)]


_Change = dict[str, tuple[int, "Callable[[Lowering, onnx.NodeProto], None]"]]
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
# Operator -> the version that changed it, and how to go back before that.
CHANGED: _Change = {
    **{f"Reduce{kind}": (AXES_BECAME_INPUT, _reduce) for kind in _REDUCTIONS},
    "Split": (18, _split),
    "Pad": (18, _pad),
    "Resize": (18, _resize),
    "Reshape": (14, _reshape),
    "GridSample": (20, _grid_sample),
    "AveragePool": (19, _average_pool),
}
WRITTEN_OUT: dict[str, tuple[int, Callable[[Lowering, onnx.NodeProto], Nodes]]] = {
    "Shape": (15, _shape),
    "LayerNormalization": (17, _layer_norm),
    "RMSNormalization": (23, _layer_norm),
    "GroupNormalization": (21, _group_norm),
    "Gelu": (20, _gelu),
    "HardSwish": (14, _hard_swish),
    "Mish": (18, _mish),
}
