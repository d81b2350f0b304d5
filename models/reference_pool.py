"""Pooling, in which onnx's reference evaluator is slow or wrong, written anew.

The stock operators loop over single values in Python, take the padding of two axes in another
order than the specification, ignore it on one axis, pad at the wrong end for ``SAME_LOWER``, and
answer a global maximum over one axis with a shape that is too short.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from models.reference_ops import paddings, taps

Array = NDArray[Any]
Ints = Sequence[int]


class MaxPool(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Maximum over windows, without indices."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
        dilations: Ints | None = None,
        kernel_shape: Ints = (),
        pads: Ints | None = None,
        storage_order: int = 0,  # orders the indices
        strides: Ints | None = None,
    ) -> tuple[Array]:
        if len([name for name in self.output if name]) > 1:
            raise NotImplementedError("MaxPool with indices")
        lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        window = _Windows(x.shape[2:], kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
        padded = window.pad(x, lowest, lowest)
        best = np.full((*x.shape[:2], *window.counts), lowest, x.dtype)
        for at in window.places():
            np.maximum(best, padded[at], out=best)
        return (best,)


class AveragePool(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Mean over windows."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
        count_include_pad: int = 0,
        dilations: Ints | None = None,
        kernel_shape: Ints = (),
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        if auto_pad.startswith("SAME") and any(s > k for s, k in zip(strides or (), kernel_shape, strict=False)):
            raise NotImplementedError(
                "AveragePool with SAME padding and steps longer than its window, where engines differ"
            )
        window = _Windows(x.shape[2:], kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
        padded = window.pad(x.astype(np.float64), 0, 0)
        counted = window.pad(np.ones((1, 1, *x.shape[2:])), 1 if count_include_pad else 0, 0)
        total: Array = np.zeros((*x.shape[:2], *window.counts))
        share: Array = np.zeros((1, 1, *window.counts))
        for at in window.places():
            total += padded[at]
            share += counted[at]
        return ((total / share).astype(x.dtype),)


class GlobalMaxPool(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Maximum over all spatial axes."""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.asarray(x.max(axis=tuple(range(2, x.ndim)), keepdims=True)),)


class _Windows:
    """Where the windows of a pooling operator lie on the padded input."""

    def __init__(  # sizes and attributes, in the order of the specification
        self,
        sizes: Ints,
        kernel: Ints,
        strides: Ints | None,
        dilations: Ints | None,
        auto_pad: str,
        pads: Ints | None,
        ceil_mode: int,
    ) -> None:
        axes = len(kernel)
        self._kernel = kernel
        self._steps, self._gaps = strides or [1] * axes, dilations or [1] * axes
        self._begin, self._end = paddings(sizes, kernel, self._steps, self._gaps, auto_pad, pads)
        self.counts: list[int] = []
        self._overhang: list[int] = []
        for n, k, s, d, b, e in zip(sizes, kernel, self._steps, self._gaps, self._begin, self._end, strict=True):
            span = (k - 1) * d + 1
            room = n + b + e - span
            count = (-(-room // s) if ceil_mode else room // s) + 1
            # A window that would start in the padding after the end does not count.
            if ceil_mode and (count - 1) * s >= n + b:
                count -= 1
            if count < 1:
                raise ValueError(f"the window {tuple(kernel)} is larger than the padded input of sizes {tuple(sizes)}")
            self.counts.append(count)
            self._overhang.append(max(0, (count - 1) * s + span - n - b - e))

    def pad(self, x: Array, padding: float, overhang: float) -> Array:
        """The input with its padding, and with what rounding up reaches over."""
        pairs = zip(self._begin, self._end, strict=True)
        padded = np.pad(x, [(0, 0), (0, 0), *pairs], constant_values=padding)
        return np.pad(padded, [(0, 0), (0, 0), *((0, o) for o in self._overhang)], constant_values=overhang)

    def places(self) -> list[Any]:
        """One index per position in the kernel: that position of every window."""
        return [window for _, window in taps(self._kernel, self.counts, self._steps, self._gaps)]
