"""Operator table, second half: convolution, pooling, normalisation, padding and resizing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by

from runtimes.onnx_torch_recurrent import OPERATORS as RECURRENT
from runtimes.onnx_torch_resize import resize

if TYPE_CHECKING:
    from runtimes.onnx_torch_node import Builder, Node


def _pads(node: Node, kernel: list[int], strides: list[int], dilations: list[int]) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis, from ``pads`` or ``auto_pad``."""
    spatial = len(kernel)
    auto = node.get("auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * spatial, [0] * spatial
    if auto == "NOTSET":
        pads = list(node.get("pads", [0] * 2 * spatial))
        return pads[:spatial], pads[spatial:]
    before, after = [], []
    for size, k, stride, dilation in zip(node.shape()[2:], kernel, strides, dilations, strict=True):
        total = max(0, (math.ceil(size / stride) - 1) * stride + (k - 1) * dilation + 1 - size)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return before, after


def _flat(before: list[int], after: list[int]) -> list[int]:
    """Padding as ``F.pad`` wants it: last axis first, both sides together."""
    return [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]


def _windows(node: Node, kernel: list[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, dilations, padding before and padding after."""
    ones = [1] * len(kernel)
    strides, dilations = list(node.get("strides", ones)), list(node.get("dilations", ones))
    return strides, dilations, *_pads(node, kernel, strides, dilations)


def _conv(node: Node) -> Any:
    kernel = list(node.shape(1)[2:])
    node.require(1 <= len(kernel) <= 3, f"with {len(kernel)} spatial axes")
    strides, dilations, before, after = _windows(node, kernel)
    group = node.get("group", 1)
    function = (F.conv1d, F.conv2d, F.conv3d)[len(kernel) - 1]
    if before == after:
        return lambda x, w, b=None: function(x, w, b, strides, before, dilations, group)
    flat = _flat(before, after)  # PyTorch pads both sides alike
    return lambda x, w, b=None: function(F.pad(x, flat), w, b, strides, 0, dilations, group)


def _conv_transpose(node: Node) -> Any:
    kernel, sizes = list(node.shape(1)[2:]), node.shape()[2:]
    node.require(1 <= len(kernel) <= 3, f"with {len(kernel)} spatial axes")
    ones = [1] * len(kernel)
    strides, dilations = list(node.get("strides", ones)), list(node.get("dilations", ones))
    extra, group = list(node.get("output_padding", [0] * len(kernel))), node.get("group", 1)
    auto, wanted = node.get("auto_pad", "NOTSET"), node.get("output_shape", None)
    if auto.startswith("SAME") and wanted is None:
        wanted = [size * stride for size, stride in zip(sizes, strides, strict=True)]
    if wanted is None:
        before, after = _pads(node, kernel, strides, dilations)
    else:
        full = [
            (size - 1) * stride + (k - 1) * dilation + 1 + more
            for size, stride, k, dilation, more in zip(sizes, strides, kernel, dilations, extra, strict=True)
        ]
        totals = [whole - part for whole, part in zip(full, wanted[-len(kernel) :], strict=True)]
        node.require(min(totals) >= 0, "with an output larger than its windows reach")
        small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
        before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(kernel) - 1]
    if before == after:
        return lambda x, w, b=None: function(x, w, b, strides, before, extra, group, dilations)
    crop = _flat([-size for size in before], [-size for size in after])
    return lambda x, w, b=None: F.pad(function(x, w, b, strides, 0, extra, group, dilations), crop)


def _max_pool(node: Node) -> Any:
    kernel = list(node.get("kernel_shape", []))
    node.require(1 <= len(kernel) <= 3, f"with {len(kernel)} spatial axes")
    node.require(not node.wants(1), "with indices")
    strides, dilations, before, after = _windows(node, kernel)
    ceil = bool(node.get("ceil_mode", 0))
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel) - 1]
    # PyTorch pads both sides alike, and by half a window at most.
    if before == after and all(pad <= k // 2 for pad, k in zip(before, kernel, strict=True)):
        return lambda x: function(x, kernel, strides, before, dilations, ceil)
    node.require(not ceil, "with ceil_mode and uneven padding")
    flat = _flat(before, after)
    return lambda x: function(F.pad(x, flat, value=-math.inf), kernel, strides, 0, dilations)


def _average_pool(node: Node) -> Any:
    kernel = list(node.get("kernel_shape", []))
    node.require(1 <= len(kernel) <= 3, f"with {len(kernel)} spatial axes")
    strides, dilations, before, after = _windows(node, kernel)
    node.require(all(dilation == 1 for dilation in dilations), "with dilations")
    ceil, padded = bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(kernel) - 1]
    if before == after and all(pad <= k // 2 for pad, k in zip(before, kernel, strict=True)):
        return lambda x: function(x, kernel, strides, before, ceil, padded)
    node.require(not ceil, "with ceil_mode and uneven padding")
    flat = _flat(before, after)
    if padded:
        return lambda x: function(F.pad(x, flat), kernel, strides)
    # The share of each window that lies inside the input.
    node.add(function(F.pad(torch.ones(1, 1, *node.shape()[2:]), flat), kernel, strides))
    return lambda x, share: function(F.pad(x, flat), kernel, strides) / share


def _global_average_pool(node: Node) -> Any:
    axes = list(range(2, node.rank()))
    return lambda x: torch.mean(x, axes, keepdim=True)


def _layer_normalization(node: Node) -> Any:
    axis, epsilon = node.axis(-1), node.get("epsilon", 1e-5)
    node.require(not node.wants(1) and not node.wants(2), "with its mean or deviation as an output")
    shape = list(node.shape()[axis:])
    if list(node.shape(1)) == shape and (not node.has(2) or list(node.shape(2)) == shape):
        return lambda x, scale, bias=None: F.layer_norm(x, shape, scale, bias, epsilon)
    # Scale and bias may also be of any shape that broadcasts.
    return lambda x, scale, bias=0: F.layer_norm(x, shape, None, None, epsilon) * scale + bias


def _batch_normalization(node: Node) -> Any:
    epsilon = node.get("epsilon", 1e-5)
    node.require(not node.get("training_mode", 0) and not node.wants(1), "in training mode")
    return lambda x, scale, bias, mean, variance: F.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


def _instance_normalization(node: Node) -> Any:
    epsilon = node.get("epsilon", 1e-5)
    return lambda x, scale, bias: F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def _pad(node: Node) -> Any:
    mode, rank = node.get("mode", "constant"), node.rank()
    given = node.ints(1, "pads") or []
    axes = [a % rank for a in node.ints(3, "axes") or range(rank)]
    pairs = dict(zip(axes, zip(given[: len(axes)], given[len(axes) :], strict=True), strict=True))
    if mode == "constant":
        value = node.constant(2, "a fill value").item() if node.has(2) else 0
        flat = [side for axis in reversed(range(rank)) for side in pairs.get(axis, (0, 0))]
        return lambda x: F.pad(x, flat, value=value)
    node.require(mode in {"reflect", "edge"}, f"in mode {mode}")
    node.require(min(given, default=0) >= 0, f"in mode {mode} with a negative size")
    node.maybe(2)
    padded = [axis for axis in axes if any(pairs[axis])]
    for axis in padded:
        size = node.shape()[axis]
        # An index table, because F.pad reflects the last axes only, and not past one turn.
        places = np.arange(-pairs[axis][0], size + pairs[axis][1])
        if mode == "edge":
            node.add(places.clip(0, size - 1))
        else:
            turn = max(1, 2 * (size - 1))
            node.add((size - 1) - np.abs(places % turn - (size - 1)))

    def pad(x: Any, *tables: Any) -> Any:
        for axis, table in zip(padded, tables, strict=True):
            x = torch.index_select(x, axis, table)
        return x

    return pad


OPERATORS: dict[str, Builder] = {
    **RECURRENT,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_average_pool,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "MaxPool": _max_pool,
    "Pad": _pad,
    "Resize": resize,
}
