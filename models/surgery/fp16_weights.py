"""Constants rounded to float16, and an account of what did not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, numpy_helper

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float16).max)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)


class Weights:
    """Rounds constants and remembers which of them it changed by more than rounding."""

    def __init__(self) -> None:
        self._clamped: dict[str, int] = {}
        self._raised: list[str] = []
        self._flushed: dict[str, int] = {}

    def half(self, tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
        """A float32 tensor in float16, under a new name.

        What is too large becomes the largest number there is, infinities stay. What is too small becomes 0,
        but a lone number the smallest there is: it is likely to keep something from being divided by 0.
        """
        values: NDArray[Any] = numpy_helper.to_array(tensor)
        finite = np.isfinite(values)
        large = finite & (np.abs(values) > LARGEST)
        if large.any():
            self._clamped[tensor.name or name] = int(large.sum())
        clamped = np.where(large, np.copysign(LARGEST, values), values)
        rounded = np.asarray(clamped.astype(np.float16))
        lost = (rounded == 0) & (values != 0)
        if lost.any() and values.size == 1:
            self._raised.append(tensor.name or name)
            rounded = np.copysign(SMALLEST, values).astype(np.float16)
        elif lost.any():
            self._flushed[tensor.name or name] = int(lost.sum())
        half = numpy_helper.from_array(np.ascontiguousarray(rounded).reshape(values.shape), name)
        assert half.data_type == TensorProto.FLOAT16
        return half

    def notes(self) -> list[str]:
        """What a user should know, full sentences."""
        notes = []
        if self._clamped:
            notes.append(
                f"{sum(self._clamped.values())} constants beyond float16's range became ±{LARGEST:g} "
                f"({_few(self._clamped)})"
            )
        if self._raised:
            notes.append(f"numbers below float16's smallest became {SMALLEST:.1g} ({_few(self._raised)})")
        if self._flushed:
            notes.append(
                f"{sum(self._flushed.values())} weights below float16's smallest, {SMALLEST:.1g}, became 0 "
                f"({_few(self._flushed)})"
            )
        return notes


def fits(tensor: onnx.TensorProto) -> bool:
    """Whether the largest value of a tensor is neither too large nor too small for float16."""
    values = np.abs(numpy_helper.to_array(tensor))
    largest = float(np.max(values[np.isfinite(values)], initial=0.0))
    return largest <= LARGEST and (largest == 0 or largest >= SMALLEST)


def _few(names: dict[str, int] | list[str]) -> str:
    shown = list(names)[:3]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
