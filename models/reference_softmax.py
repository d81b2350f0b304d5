"""Softmax and its like as operator sets below 13 had them: over an axis and all behind it, taken together.

The stock evaluator gives every set the meaning of set 13, which is over one axis alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


class Softmax(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Exponentials over their sum."""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        rows = _rows(x, _axis(self, axis))
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        return ((powers / powers.sum(axis=1, keepdims=True)).reshape(x.shape).astype(x.dtype),)


class LogSoftmax(OpRun):  # type: ignore[misc]  # onnx is untyped
    """The logarithm of that."""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        rows = _rows(x, _axis(self, axis))
        rows = rows - rows.max(axis=1, keepdims=True)
        return ((rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))).reshape(x.shape).astype(x.dtype),)


class Hardmax(OpRun):  # type: ignore[misc]  # onnx is untyped
    """1 at the first of the largest values, 0 elsewhere."""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        rows = _rows(x, _axis(self, axis))
        result = np.zeros_like(rows)
        result[np.arange(len(rows)), rows.argmax(axis=1)] = 1
        return (result.reshape(x.shape).astype(x.dtype),)


def _axis(operator: OpRun, given: int) -> int:
    """The axis that the node names, else 1: the evaluator fills in the newer set's default."""
    return given if any(entry.name == "axis" for entry in operator.onnx_node.attribute) else 1


def _rows(x: Array, axis: int) -> Array:
    axis = axis + x.ndim if axis < 0 else axis
    # Sums as wide as engines make them.
    return x.astype(np.float64).reshape(math.prod(x.shape[:axis]), -1)
