"""Operator table, first half: arithmetic, comparison, reduction, and moving data about."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by
from onnx import TensorProto, numpy_helper

from runtimes.onnx_torch_node import torch_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimes.onnx_torch_node import Builder, Function, Node


def _plain(function: Function) -> Builder:
    """An operator that needs nothing but its inputs."""

    def builder(_: Node) -> Any:
        return function

    return builder


def _binary(function: Function) -> Builder:
    """A broadcasting operator; a single known number goes in as a number, which spares a tensor."""

    def builder(node: Node) -> Any:
        number = node.scalar(1)
        return function if number is None else lambda x: function(x, number)

    return builder


def _variadic(function: Function) -> Builder:
    def builder(_: Node) -> Any:
        return lambda *tensors: functools.reduce(function, tensors)

    return builder


def _div(x: Any, y: Any) -> Any:
    return torch.div(x, y) if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def _pow(x: Any, y: Any) -> Any:
    return torch.pow(x, y).to(x.dtype)


def _prelu(x: Any, slope: Any) -> Any:
    # F.prelu takes one slope per channel; ONNX broadcasts any shape.
    if slope.numel() == 1 or (slope.dim() == x.dim() - 1 and slope.numel() == slope.shape[0] == x.shape[1]):
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, x * slope, x)


def _leaky_relu(node: Node) -> Any:
    alpha = node.get("alpha", 0.01)
    return lambda x: F.leaky_relu(x, alpha)


def _elu(node: Node) -> Any:
    alpha = node.get("alpha", 1.0)
    return lambda x: F.elu(x, alpha)


def _gelu(node: Node) -> Any:
    approximate = node.get("approximate", "none")
    return lambda x: F.gelu(x, approximate=approximate)


def _hard_sigmoid(node: Node) -> Any:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0, 1)


def _softmax(function: Function) -> Builder:
    def builder(node: Node) -> Any:
        if node.opset >= 13:
            axis = node.axis(-1)
            return lambda x: function(x, axis)
        # Before 13 the input counts as a matrix, cut in two at the axis.
        axis, shape = node.axis(1), node.shape()
        rows = math.prod(shape[:axis])
        return lambda x: function(x.reshape(rows, -1), 1).reshape(shape)

    return builder


def _clip(node: Node) -> Any:
    limits = [node.scalar(index) if node.has(index) else None for index in (1, 2)]
    missing = [index for index, limit in zip((1, 2), limits, strict=True) if node.has(index) and limit is None]
    node.require(not missing, "with limits computed while running")
    low, high = limits
    return (lambda x: x) if low is None and high is None else (lambda x: torch.clamp(x, low, high))


def _gemm(node: Node) -> Any:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    left, right = node.get("transA", 0), node.get("transB", 0)
    if right and not left and alpha == 1 and beta == 1 and (not node.has(2) or node.rank(2) == 1):
        return F.linear

    def gemm(a: Any, b: Any, c: Any = None) -> Any:
        a, b = a.t() if left else a, b.t() if right else b
        return alpha * (a @ b) if c is None else torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return gemm


def _einsum(node: Node) -> Any:
    equation = str(node.get("equation", "")).replace(" ", "")
    return lambda *tensors: torch.einsum(equation, *tensors)


def _reduce(function: Callable[[Any, list[int], bool], Any]) -> Builder:
    def builder(node: Node) -> Any:
        axes, keep = node.ints(1, "axes"), bool(node.get("keepdims", 1))
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return lambda x: x
            axes = list(range(node.rank()))
        dims = [axis % node.rank() for axis in axes]
        return lambda x: function(x, dims, keep)

    return builder


def _cast(node: Node) -> Any:
    kind = node.get("to", 0)
    node.require(kind != TensorProto.STRING, "to text")
    dtype = torch_dtype(kind)
    return lambda x: x.to(dtype)


def _constant(node: Node) -> Any:
    for name, value in node.attributes.items():
        if name == "value":
            return torch.tensor(numpy_helper.to_array(value))
        if name in {"value_float", "value_floats"}:
            return torch.tensor(value, dtype=torch.float32)
        if name in {"value_int", "value_ints"}:
            return torch.tensor(value, dtype=torch.int64)
    raise node.unsupported(f"of kind {', '.join(node.attributes)}")


def _constant_of_shape(node: Node) -> Any:
    fill = node.get("value", None)
    value = torch.zeros(1) if fill is None else torch.tensor(numpy_helper.to_array(fill)).reshape(1)
    return value.expand(node.ints(0, "shape")).clone()


def _shape(node: Node) -> Any:
    return torch.tensor(node.shape()[node.get("start", 0) : node.get("end", None)], dtype=torch.int64)


def _dropout(node: Node) -> Any:
    training = node.constant(2, "training_mode") if node.has(2) else None
    node.require(training is None or not training.item(), "in training mode")
    node.maybe(1)
    return lambda x, *_: (x, torch.ones_like(x, dtype=torch.bool)) if node.wants(1) else x


def _transpose(node: Node) -> Any:
    order = node.get("perm", range(node.rank())[::-1])
    return lambda x: x.permute(*order)


def _reshape(node: Node) -> Any:
    shape, given = node.shape(), node.ints(1, "shape") or []
    if not node.get("allowzero", 0):
        given = [shape[index] if size == 0 else size for index, size in enumerate(given)]
    return lambda x: x.reshape(given)


def _flatten(node: Node) -> Any:
    axis = node.get("axis", 1)
    rows = math.prod(node.shape()[: axis if axis >= 0 else axis + node.rank()])
    columns = math.prod(node.shape()) // rows
    return lambda x: x.reshape(rows, columns)


def _squeeze(node: Node) -> Any:
    axes, shape = node.ints(1, "axes"), node.shape()
    gone = {a % len(shape) for a in axes} if axes is not None else {i for i, size in enumerate(shape) if size == 1}
    left = [size for index, size in enumerate(shape) if index not in gone]
    return lambda x: x.reshape(left)


def _unsqueeze(node: Node) -> Any:
    axes, shape = node.ints(1, "axes") or [], list(node.shape())
    for axis in sorted(a % (node.rank() + len(axes)) for a in axes):
        shape.insert(axis, 1)
    return lambda x: x.reshape(shape)


def _concat(node: Node) -> Any:
    axis = node.axis(0)
    return lambda *tensors: torch.cat(tensors, axis)


def _split(node: Node) -> Any:
    axis = node.axis(0)
    whole, parts = node.shape()[axis], node.get("num_outputs", len(node.outputs))
    sizes = node.ints(1, "split")
    if sizes is None:
        size = math.ceil(whole / parts)
        sizes = [min(size, whole - index * size) for index in range(parts)]
    return lambda x: tuple(torch.split(x, sizes, axis))


def _slice(node: Node) -> Any:
    starts, ends = node.ints(1, "starts") or [], node.ints(2, "ends") or []
    axes = node.ints(3, "axes") or list(range(len(starts)))
    steps = node.ints(4, "steps") or [1] * len(starts)
    cuts = [slice(None)] * node.rank()
    backwards: list[int] = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut = slice(start, end, step)
        if step > 0:
            cuts[axis] = cut
        else:  # PyTorch has no negative steps
            node.add(np.arange(node.shape()[axis])[cut].copy())
            backwards.append(axis % node.rank())
    forwards = tuple(cuts)

    def apply(x: Any, *indices: Any) -> Any:
        x = x[forwards]
        for axis, index in zip(backwards, indices, strict=True):
            x = torch.index_select(x, axis, index)
        return x

    return apply


def _gather(node: Node) -> Any:
    axis = node.axis(0)
    size, indices = node.shape()[axis], node.maybe(1)
    if indices is not None:
        indices = torch.where(indices < 0, indices + size, indices)
        if indices.dim() == 0:
            place = int(indices)
            return lambda x: x.select(axis, place)
        node.add(indices)
    before, after = node.shape()[:axis], node.shape()[axis + 1 :]
    known = indices is not None

    def gather(x: Any, index: Any) -> Any:
        if not known:
            index = torch.where(index < 0, index + size, index)
        return torch.index_select(x, axis, index.reshape(-1)).reshape(*before, *index.shape, *after)

    return gather


def _expand(node: Node) -> Any:
    shape = np.broadcast_shapes(node.shape(), tuple(node.ints(1, "shape") or []))
    return lambda x: x.expand(shape)


OPERATORS: dict[str, Builder] = {
    "Abs": _plain(torch.abs),
    "Add": _binary(torch.add),
    "And": _plain(torch.logical_and),
    "Cast": _cast,
    "Ceil": _plain(torch.ceil),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Cos": _plain(torch.cos),
    "Div": _binary(_div),
    "Dropout": _dropout,
    "Einsum": _einsum,
    "Elu": _elu,
    "Equal": _binary(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Floor": _plain(torch.floor),
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "Greater": _binary(torch.gt),
    "GreaterOrEqual": _binary(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "Identity": _plain(lambda x: x),
    "LeakyRelu": _leaky_relu,
    "Less": _binary(torch.lt),
    "LessOrEqual": _binary(torch.le),
    "Log": _plain(torch.log),
    "LogSoftmax": _softmax(F.log_softmax),
    "MatMul": _plain(torch.matmul),
    "Max": _variadic(torch.maximum),
    "Min": _variadic(torch.minimum),
    "Mul": _binary(torch.mul),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "Or": _plain(torch.logical_or),
    "PRelu": _plain(_prelu),
    "Pow": _binary(_pow),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL2": _reduce(lambda x, dims, keep: torch.linalg.vector_norm(x, dim=dims, keepdim=keep)),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(lambda x, dims, keep: torch.sum(x, dims, keep, dtype=x.dtype)),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _plain(torch.sigmoid),
    "Sin": _plain(torch.sin),
    "Slice": _slice,
    "Softmax": _softmax(F.softmax),
    "Softplus": _plain(F.softplus),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(torch.sub),
    "Sum": _variadic(torch.add),
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}
