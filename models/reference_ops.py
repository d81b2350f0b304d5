"""Operators in which onnx's reference evaluator is slow or wrong, written anew: convolutions and batch norm.

``Conv`` and ``ConvTranspose`` walk over the taps of the kernel and sum in float64. The stock
convolution gathers every window first; the stock grouped ``ConvTranspose`` is wrong for more than
one output channel per group; the stock ``BatchNormalization`` of operator sets 9 to 13 mixes the
input's own statistics in. Pooling is in :mod:`models.reference_pool`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]
Ints = Sequence[int]


class Conv(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Convolution over any number of axes."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Ints | None = None,
        group: int = 1,
        kernel_shape: Ints | None = None,  # the weights have the same shape
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        axes = x.ndim - 2
        steps, gaps, kernel = strides or [1] * axes, dilations or [1] * axes, w.shape[2:]
        if x.shape[1] != w.shape[1] * group or w.shape[0] % group or len(kernel) != axes:
            raise ValueError(f"a kernel of shape {w.shape} in {group} groups does not fit an input of shape {x.shape}")
        begin, end = paddings(x.shape[2:], kernel, steps, gaps, auto_pad, pads)
        padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *zip(begin, end, strict=True)])
        sizes = [
            (n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(padded.shape[2:], kernel, gaps, steps, strict=True)
        ]
        if min(sizes, default=1) < 1:
            raise ValueError(f"the kernel of shape {kernel} is larger than the padded input of shape {padded.shape}")
        batch, inner, outer = x.shape[0], w.shape[1], w.shape[0] // group
        total: Array = np.zeros((batch, group, outer, int(np.prod(sizes))))
        weights = w.astype(np.float64).reshape(group, outer, inner, *kernel)
        for tap, window in taps(kernel, sizes, steps, gaps):
            part = padded[window].reshape(batch, group, inner, -1)
            # One channel per group needs no matrix product, which is slow for many small matrices.
            total += weights[tap] * part if inner == 1 else weights[tap] @ part
        return (_finish(total.reshape(batch, -1, *sizes), b, x.dtype),)


class ConvTranspose(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Transposed convolution over any number of axes."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Ints | None = None,
        group: int = 1,
        kernel_shape: Ints | None = None,  # the weights have the same shape
        output_padding: Ints | None = None,
        output_shape: Ints | None = None,
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        axes = x.ndim - 2
        steps, gaps, kernel = strides or [1] * axes, dilations or [1] * axes, w.shape[2:]
        extra = output_padding or [0] * axes
        batch, outer = x.shape[0], w.shape[1]
        if x.shape[1] != w.shape[0] or w.shape[0] % group:
            raise ValueError(f"a kernel of shape {w.shape} in {group} groups does not fit an input of shape {x.shape}")
        full = [
            (n - 1) * s + (k - 1) * d + 1 + e
            for n, s, k, d, e in zip(x.shape[2:], steps, kernel, gaps, extra, strict=True)
        ]
        if auto_pad in {"SAME_UPPER", "SAME_LOWER"} and not output_shape:
            output_shape = [n * s for n, s in zip(x.shape[2:], steps, strict=True)]
        if output_shape:
            surplus = [f - o for f, o in zip(full, output_shape[-axes:], strict=True)]
            if min(surplus) < 0:
                raise NotImplementedError("an output_shape larger than the full transposed convolution")
            # The specification puts the odd one at the end for SAME_UPPER and at the front otherwise.
            begin = [t // 2 if auto_pad == "SAME_UPPER" else t - t // 2 for t in surplus]
            end = [t - p for t, p in zip(surplus, begin, strict=True)]
        else:
            begin, end = (list(pads[:axes]), list(pads[axes:])) if pads else ([0] * axes, [0] * axes)
        total: Array = np.zeros((batch, group, outer, *full))
        data = x.astype(np.float64).reshape(batch, group, x.shape[1] // group, -1)
        weights = w.astype(np.float64).reshape(group, -1, outer, *kernel).swapaxes(1, 2)
        for tap, window in taps(kernel, x.shape[2:], steps, gaps):
            total[window] += (weights[tap] @ data).reshape(batch, group, outer, *x.shape[2:])
        crop: Any = (..., *(slice(p, f - q) for p, f, q in zip(begin, full, end, strict=True)))
        return (
            _finish(
                total[crop].reshape(
                    batch, group * outer, *(f - p - q for p, f, q in zip(begin, full, end, strict=True))
                ),
                b,
                x.dtype,
            ),
        )


class BatchNormalization(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Normalization with the stored statistics, as in every model that is not being trained."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        scale: Array,
        shift: Array,
        mean: Array,
        variance: Array,
        epsilon: float = 1e-5,
        momentum: float = 0.9,  # for training alone
        training_mode: int = 0,
        spatial: int = 1,
        is_test: int = 1,
    ) -> tuple[Array]:
        if training_mode or not spatial or not is_test or len([name for name in self.output if name]) > 1:
            raise NotImplementedError("BatchNormalization in training mode, or per value")

        def per_channel(values: Array) -> Array:
            return values.astype(np.float64).reshape(-1, *[1] * (x.ndim - 2))

        gain = per_channel(scale) / np.sqrt(per_channel(variance) + epsilon)
        return (((x - per_channel(mean)) * gain + per_channel(shift)).astype(x.dtype),)


def paddings(  # sizes and attributes, in the order of the specification
    sizes: Ints, kernel: Ints, strides: Ints, dilations: Ints, auto_pad: str, pads: Ints | None
) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis, as the ONNX specification resolves ``auto_pad``."""
    axes = len(kernel)
    if auto_pad not in {"SAME_UPPER", "SAME_LOWER"}:
        given = list(pads) if pads and auto_pad != "VALID" else [0] * (2 * axes)
        return given[:axes], given[axes:]
    begin, end = [], []
    for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        small, large = total // 2, total - total // 2
        begin.append(small if auto_pad == "SAME_UPPER" else large)
        end.append(large if auto_pad == "SAME_UPPER" else small)
    return begin, end


def taps(kernel: Ints, counts: Ints, strides: Ints, dilations: Ints) -> Iterator[tuple[Any, Any]]:
    """Each position in the kernel, with what of the padded input (or output) it meets; both index the last axes."""
    for tap in itertools.product(*map(range, kernel)):
        window = [
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilations, counts, strides, strict=True)
        ]
        yield (..., *tap), (..., *window)


def _finish(total: Array, bias: Array | None, dtype: np.dtype[Any]) -> Array:
    if bias is not None:
        total = total + bias.astype(np.float64).reshape(-1, *[1] * (total.ndim - 2))
    return total.astype(dtype)
