"""Resize by ONNX's own formulas: index tables, one axis at a time.

Sizes and positions are computed in float32, as ONNX's shape inference and ONNX Runtime do: in
float64, 5 samples scaled by 2.6 would become 12 instead of 13, and ties would fall elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from runtimes.onnx_torch_node import Node

    Positions = NDArray[np.float32]

ROUNDING: dict[str, Callable[[Positions], Positions]] = {
    "round_prefer_floor": lambda at: np.ceil(at - np.float32(0.5)),
    "round_prefer_ceil": lambda at: np.floor(at + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(node: Node) -> Any:
    """Nearest and linear, by scales or sizes."""
    mode = node.get("mode", "nearest")
    node.require(mode in {"nearest", "linear"}, f"in mode {mode}")
    node.require(not node.get("antialias", 0), "with antialias")
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    node.require(policy == "stretch", f"with keep_aspect_ratio_policy {policy}")
    node.maybe(1)
    axes, sizes, scales = _factors(node)
    resized = [axis for axis in axes if sizes[axis] != node.shape()[axis] or scales[axis] != 1]
    positions = {axis: _positions(node, node.shape()[axis], sizes[axis], scales[axis]) for axis in resized}
    return _nearest(node, resized, positions) if mode == "nearest" else _linear(node, resized, positions)


def _factors(node: Node) -> tuple[list[int], dict[int, int], dict[int, np.float32]]:
    """The axes concerned; the new size and the scale of each."""
    shape = node.shape()
    axes = [axis % len(shape) for axis in node.get("axes", range(len(shape)))]
    # Older exporters leave out scales by giving an empty tensor.
    given = node.constant(2, "scales").tolist() if node.has(2) else []
    if given:
        scales = dict(zip(axes, (np.float32(scale) for scale in given), strict=True))
        return axes, {axis: int(np.floor(np.float32(shape[axis]) * scale)) for axis, scale in scales.items()}, scales
    sizes = dict(zip(axes, node.ints(3, "sizes") or [], strict=True))
    return axes, sizes, {axis: np.float32(size) / np.float32(shape[axis]) for axis, size in sizes.items()}


def _positions(node: Node, old: int, new: int, scale: np.float32) -> Positions:
    """Where each new sample lies on the old axis.

    Source: the operator's ``coordinate_transformation_mode``.
    """
    mode = node.get("coordinate_transformation_mode", "half_pixel")
    at, half = np.arange(new, dtype=np.float32), np.float32(0.5)
    if mode == "asymmetric":
        return at / scale
    if mode == "half_pixel":
        return (at + half) / scale - half
    if mode == "pytorch_half_pixel":
        return (at + half) / scale - half if new > 1 else np.zeros(new, np.float32)
    if mode == "half_pixel_symmetric":
        # The size that the scale asks for may be no whole number; what was cut off is shared by both ends.
        offset = np.float32(old / 2) * (np.float32(1) - np.float32(new) / (np.float32(old) * scale))
        return offset + (at + half) / scale - half
    node.require(mode == "align_corners", f"with coordinate_transformation_mode {mode}")
    return at * np.float32(old - 1) / np.float32(new - 1) if new > 1 else np.zeros(new, np.float32)


def _nearest(node: Node, resized: list[int], positions: dict[int, Positions]) -> Any:
    name = node.get("nearest_mode", "round_prefer_floor")
    node.require(name in ROUNDING, f"with nearest_mode {name}")
    tables = {
        axis: ROUNDING[name](positions[axis]).clip(0, node.shape()[axis] - 1).astype(np.int64) for axis in resized
    }
    if 3 <= node.rank() <= 5 and min(resized, default=0) >= 2:
        # One pass over the data instead of one per axis, where it means the same samples.
        size = [len(tables[axis]) if axis in tables else node.shape()[axis] for axis in range(2, node.rank())]
        if all(
            np.array_equal(tables[axis], _pytorch_nearest(node.shape()[axis], len(tables[axis]))) for axis in resized
        ):
            return lambda x, *_: F.interpolate(x, size, mode="nearest")
    for table in tables.values():
        node.add(table)

    def gather(x: Any, *indices: Any) -> Any:
        for axis, index in zip(resized, indices, strict=True):
            x = torch.index_select(x, axis, index)
        return x

    return gather


def _pytorch_nearest(old: int, new: int) -> NDArray[np.int64]:
    """The samples that ``F.interpolate`` takes when it is told the size."""
    # Asked rather than computed: its arithmetic is its own.
    ramp = torch.arange(old, dtype=torch.float32).reshape(1, 1, old)
    return F.interpolate(ramp, [new], mode="nearest").reshape(new).to(torch.int64).numpy()  # type: ignore[no-any-return]


def _linear(node: Node, resized: list[int], positions: dict[int, Positions]) -> Any:
    for axis in resized:
        last = node.shape()[axis] - 1
        at = positions[axis].clip(0, last)
        low = np.floor(at).astype(np.int64)
        share = at - low.astype(np.float32)
        node.add(low)
        node.add(np.minimum(low + 1, last))
        node.add(share.reshape(-1, *[1] * (node.rank() - 1 - axis)))

    def interpolate(x: Any, *tables: Any) -> Any:
        for index, axis in enumerate(resized):
            low, high, share = tables[3 * index : 3 * index + 3]
            x = torch.lerp(torch.index_select(x, axis, low), torch.index_select(x, axis, high), share)
        return x

    return interpolate
