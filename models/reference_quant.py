"""Quantised operators that onnx's reference evaluator lacks or gets wrong, written anew.

The stock ``DequantizeLinear`` starts at operator set 19; the stock ``QLinearConv`` rounds after the
zero point is added, and answers one axis with a wrong shape; the stock integer products take zero
points per row along the wrong axis. From operator set 19 on the stock ``QuantizeLinear`` and
``DequantizeLinear`` are used, which know blocks and further types.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from models.reference_ops import Conv

Array = NDArray[Any]
Ints = Sequence[int]


class QuantizeLinear(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Operator sets 10 to 18: per tensor or per axis, round half to even, saturate."""

    def _run(  # the evaluator also passes the attributes of later operator sets
        self,
        x: Array,
        scale: Array,
        zero: Array | None = None,
        axis: int = 1,
        block_size: int = 0,
        output_dtype: int = 0,
        precision: int = 0,
        saturate: int = 1,  # of float8 alone
    ) -> tuple[Array]:
        if block_size or output_dtype or precision:
            raise NotImplementedError("QuantizeLinear with attributes of operator set 21")
        zero = np.zeros((), np.uint8) if zero is None else zero
        _check_type(zero, {"int8", "uint8"})
        return (_quantise(x / _along(scale, x.ndim, axis), _along(zero, x.ndim, axis)),)


class DequantizeLinear(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Operator sets 10 to 18: per tensor or per axis."""

    def _run(  # the evaluator also passes the attributes of later operator sets
        self,
        x: Array,
        scale: Array,
        zero: Array | None = None,
        axis: int = 1,
        block_size: int = 0,
        output_dtype: int = 0,
    ) -> tuple[Array]:
        if block_size or output_dtype:
            raise NotImplementedError("DequantizeLinear with attributes of operator set 21")
        _check_type(x, {"int8", "uint8", "int32"})
        whole = x.astype(np.int64)
        if zero is not None:
            _check_type(zero, {str(x.dtype)})
            whole -= _along(zero, x.ndim, axis)
        return ((whole.astype(scale.dtype) * _along(scale, x.ndim, axis)).astype(scale.dtype),)


class QLinearConv(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Convolution of quantised values, exact up to the last scaling."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        x_scale: Array,
        x_zero: Array,
        w: Array,
        w_scale: Array,
        w_zero: Array,
        y_scale: Array,
        y_zero: Array,
        b: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Ints | None = None,
        group: int = 1,
        kernel_shape: Ints | None = None,
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        (total,) = Conv._run(  # noqa: SLF001  # the same package's operator
            self,  # it reads nothing from it
            _centred(x, x_zero),
            _centred(w, _along(w_zero, w.ndim, 0)),
            b,
            auto_pad,
            dilations,
            group,
            kernel_shape,
            pads,
            strides,
        )
        factor = x_scale * _along(w_scale, x.ndim, 1) / y_scale
        return (_quantise(total.astype(np.float32) * factor, _single(y_zero)),)


class ConvInteger(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Convolution of quantised values without scales."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        w: Array,
        x_zero: Array | None = None,
        w_zero: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Ints | None = None,
        group: int = 1,
        kernel_shape: Ints | None = None,
        pads: Ints | None = None,
        strides: Ints | None = None,
    ) -> tuple[Array]:
        (total,) = Conv._run(  # noqa: SLF001  # the same package's operator
            self,  # it reads nothing from it
            _centred(x, x_zero),
            _centred(w, None if w_zero is None else _along(w_zero, w.ndim, 0)),
            None,
            auto_pad,
            dilations,
            group,
            kernel_shape,
            pads,
            strides,
        )
        return (total.astype(np.int32),)


class QLinearMatMul(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Product of quantised matrices, exact up to the last scaling."""

    def _run(
        self,
        a: Array,
        a_scale: Array,
        a_zero: Array,
        b: Array,
        b_scale: Array,
        b_zero: Array,
        y_scale: Array,
        y_zero: Array,
    ) -> tuple[Array]:
        total = _centred(a, _rows(a_zero)) @ _centred(b, _columns(b_zero))
        factor = _rows(a_scale) * _columns(b_scale) / _single(y_scale)
        return (_quantise(total.astype(np.float32) * factor, _single(y_zero)),)


class MatMulInteger(OpRun):  # type: ignore[misc]  # onnx is untyped
    """Product of quantised matrices without scales."""

    def _run(self, a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None) -> tuple[Array]:
        left = _centred(a, None if a_zero is None else _rows(a_zero))
        right = _centred(b, None if b_zero is None else _columns(b_zero))
        return (np.asarray(left @ right).astype(np.int32),)


def _quantise(scaled: Array, zero: Array) -> Array:
    # The zero point comes after rounding: before it, an odd one would turn half to even into half to odd.
    bounds = np.iinfo(zero.dtype)
    whole = np.rint(scaled).astype(np.float64) + zero.astype(np.float64)
    return np.clip(whole, bounds.min, bounds.max).astype(zero.dtype)


def _centred(values: Array, zero: Array | None) -> Array:
    # In float64 sums of such products are exact, and products of matrices are fast.
    return values.astype(np.float64) - (0.0 if zero is None else zero.astype(np.float64))


def _along(values: Array, rank: int, axis: int) -> Array:
    if values.size == 1:
        return values.reshape(())
    if values.ndim != 1:
        raise NotImplementedError(f"a scale or zero point of shape {values.shape}")
    return values.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def _rows(values: Array) -> Array:
    return _single(values) if values.size == 1 else values[:, None] if values.ndim == 1 else values


def _columns(values: Array) -> Array:
    return _single(values) if values.size == 1 else values


def _single(values: Array) -> Array:
    if values.size != 1:
        raise NotImplementedError(f"a scale or zero point of shape {values.shape} for the result")
    return values.reshape(())


def _check_type(values: Array, known: set[str]) -> None:
    if str(values.dtype) not in known:
        raise NotImplementedError(f"quantised values of {values.dtype}")
