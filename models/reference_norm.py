"""LayerNormalization for the reference evaluator: statistics as wide as the standard asks for.

The stock one sums in the input's own type. In float16 that is off by the size of the answer after
some thousands of values, where every engine follows the standard and sums in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


class LayerNormalization(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Layer normalisation over the last axes, in float64."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        scale: Array,
        shift: Array | None = None,
        axis: int = -1,
        epsilon: float = 1e-5,
        stash_type: int = 1,  # what float64 is wide enough for
    ) -> tuple[Array, ...]:
        over = tuple(range(axis % x.ndim, x.ndim))
        wide = x.astype(np.float64)
        mean = wide.mean(over, keepdims=True)
        inverse = 1 / np.sqrt(np.square(wide - mean).mean(over, keepdims=True) + epsilon)
        # The standard rounds here: the product with the scale is made in the input's type.
        y = ((wide - mean) * inverse).astype(x.dtype).astype(np.float64) * scale
        if shift is not None:
            y = y + shift
        kept = np.float32 if stash_type == 1 else x.dtype
        return (y.astype(x.dtype), mean.astype(kept), inverse.astype(kept))[: len(self.onnx_node.output)]
