"""What one node computes, operator by operator; what a value costs stands in :mod:`models.cost_table`.

Conventions:

* A convolution counts every tap of every output value, those that fall on padding too, as the direct
  algorithm does; a transposed one every tap of every input value, those that are cropped away too.
* A product of K terms is K multiply-adds, the first of them onto zero or onto the bias. A bias is one
  more addition per output value all the same, since that is how most engines apply it.
* What depends on weights alone is done before the first call: scale and shift of a batch norm are one
  multiplication and one addition per value.
* Integer arithmetic counts like floating point.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from models.cost_call import Call, NoRule, Work
from models.cost_recurrent import recurrent
from models.cost_table import ELEMENTARY, MOVES, POINTWISE, REDUCTIONS, VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def has_rule(operator: str) -> bool:
    """Whether an operator of the standard domain is known at all."""
    return operator in _RULES


def work(call: Call) -> Work:
    """What one node computes.

    Raises:
        NoRule: the operator, or this use of it, is not known.
    """
    try:
        rule = _RULES[call.operator]
    except KeyError:
        raise NoRule from None
    return rule(call)


def is_view(call: Call) -> bool:
    """Whether what comes out is what went in under another name or shape."""
    # Dropout drops nothing unless somebody says that this is training, or asks what was dropped.
    idle = call.operator == "Dropout" and not call.has(2) and len(call.outputs) == 1
    return idle or call.operator in VIEWS


def _nothing(_: Call) -> Work:
    return Work()


def _pointwise(call: Call) -> Work:
    return Work(others=POINTWISE[call.operator] * call.out)


def _reduction(call: Call) -> Work:
    if call.attributes.get("noop_with_empty_axes") and not call.has(1):
        return Work()
    inner, outer = REDUCTIONS[call.operator]
    return Work(others=inner * call.size(0) + outer * call.out)


def _variadic(call: Call) -> Work:
    # Max, Min and Sum join one input less than they have; Mean divides after that.
    return Work(others=(len(call.inputs) - (call.operator != "Mean")) * call.out)


def _clip(call: Call) -> Work:
    bounds = sum(call.has(index) for index in (1, 2)) + sum(key in call.attributes for key in ("min", "max"))
    return Work(others=bounds * call.out)


def _pow(call: Call) -> Work:
    # Exporters write squares and roots as powers, and engines turn them back.
    exponent = call.scalar(1)
    known = {1.0: 0, 2.0: 1, 3.0: 2, 0.5: 1, -1.0: 1, -0.5: 2}
    each = 2 * ELEMENTARY + 1 if exponent is None else known.get(exponent, 2 * ELEMENTARY + 1)
    return Work(others=each * call.out)


def _gelu(call: Call) -> Work:
    # x · ½ · (1 + erf(x / √2)), or x · ½ · (1 + tanh(√(2/π) · (x + 0.044715 · x³))).
    each = ELEMENTARY + (8 if call.attributes.get("approximate") == "tanh" else 4)
    return Work(others=each * call.out)


def _softmax(call: Call) -> Work:
    # Largest, difference, exp, sum, and a division; for the logarithm a subtraction instead, and log once a row.
    each = (ELEMENTARY + 4) * call.out
    if call.operator == "Softmax":
        return Work(others=each)
    shape, axis = call.shape(0), call.attributes.get("axis", -1 if call.opset >= 13 else 1)
    rows = call.out // max(shape[axis], 1) if call.opset >= 13 else math.prod(shape[:axis])
    return Work(others=each + ELEMENTARY * rows)


def _convolution(call: Call) -> Work:
    weight = call.shape(1)
    taps = math.prod(weight[1:])
    if call.operator == "ConvInteger":
        return Work(taps * call.out, _centred(call, 0, 2) + _centred(call, 1, 3))
    return Work(taps * call.out, call.out if call.has(2) else 0)


def _transposed_convolution(call: Call) -> Work:
    return Work(math.prod(call.shape(1)[1:]) * call.size(0), call.out if call.has(2) else 0)


def _matmul(call: Call) -> Work:
    products = call.shape(0)[-1] * call.out
    if call.operator == "MatMulInteger":
        return Work(products, _centred(call, 0, 2) + _centred(call, 1, 3))
    return Work(products)


def _gemm(call: Call) -> Work:
    rows, columns = call.shape(0)
    inner = rows if call.attributes.get("transA") else columns
    scaled = call.attributes.get("alpha", 1.0) != 1.0
    added = call.has(2) and call.attributes.get("beta", 1.0) != 0.0
    # βC is known beforehand where C is.
    weighted = added and not call.is_fixed(2) and call.attributes.get("beta", 1.0) != 1.0
    return Work(inner * call.out, (scaled + added + weighted) * call.out)


def _quantised_convolution(call: Call) -> Work:
    centred = _centred(call, 0, 2) + _centred(call, 3, 5)
    bias = call.out if call.has(8) else 0
    return Work(math.prod(call.shape(3)[1:]) * call.out, centred + bias + _REQUANTISE * call.out)


def _quantised_matmul(call: Call) -> Work:
    centred = _centred(call, 0, 2) + _centred(call, 3, 5)
    return Work(call.shape(0)[-1] * call.out, centred + _REQUANTISE * call.out)


# Multiply by the scales, round, add the zero point, and two bounds.
_REQUANTISE = 5


def _centred(call: Call, values: int, zero_point: int) -> int:
    """One subtraction per value, unless there is no zero point or the values are weights."""
    return 0 if not call.has(zero_point) or call.is_fixed(values) else call.size(values)


def _quantise(call: Call) -> Work:
    return Work(others=(4 + call.has(2)) * call.out)  # divide, round, two bounds; add the zero point


def _dequantise(call: Call) -> Work:
    return Work(others=(1 + call.has(2)) * call.out)


def _dynamic_quantise(call: Call) -> Work:
    # Smallest and largest, then as QuantizeLinear; the scale itself is a handful of operations, left out.
    return Work(others=7 * call.out)


def _batch_norm(call: Call) -> Work:
    if call.attributes.get("training_mode"):
        raise NoRule
    folded = all(call.is_fixed(index) for index in range(1, 5))
    # Otherwise: √(var + ε), scale over it, and shift less mean times that.
    return Work(others=2 * call.out + (0 if folded else 5 * call.size(1)))


def _norm(call: Call, rows: int, *, shifted: bool) -> Work:
    # Mean: sum, divide. Variance: difference, square, sum, divide. Then √(var + ε) and its inverse, two
    # multiplications, and the shift.
    return Work(others=(6 + shifted) * call.size(0) + 5 * rows)


def _layer_norm(call: Call) -> Work:
    return _norm(call, math.prod(call.shape(0)[: _axis(call, call.attributes.get("axis", -1))]), shifted=call.has(2))


def _instance_norm(call: Call) -> Work:
    return _norm(call, math.prod(call.shape(0)[:2]), shifted=True)


def _group_norm(call: Call) -> Work:
    return _norm(call, call.shape(0)[0] * call.attributes["num_groups"], shifted=True)


def _rms_norm(call: Call) -> Work:
    # Square, sum, two multiplications; per row a division, ε, the root and its inverse.
    rows = math.prod(call.shape(0)[: _axis(call, call.attributes.get("axis", -1))])
    return Work(others=4 * call.size(0) + 4 * rows)


def _lp_norm(call: Call) -> Work:
    power = call.attributes.get("p", 2)
    if power not in {1, 2}:
        raise NoRule
    rows = call.size(0) // max(call.shape(0)[call.attributes.get("axis", -1)], 1)
    return Work(others=3 * call.size(0) + (rows if power == 2 else 0))


def _axis(call: Call, axis: int) -> int:
    return axis % len(call.shape(0))


def _pool(call: Call) -> Work:
    # An average also divides; as with convolutions, places on the padding count.
    taps = math.prod(call.attributes["kernel_shape"])
    return Work(others=(taps + (call.operator == "AveragePool")) * call.out)


def _resize(call: Call) -> Work:
    mode = call.attributes.get("mode", "nearest")
    before, after = call.shape(0), next(tensor.shape for tensor in call.outputs if tensor is not None)
    resized = sum(one != other for one, other in zip(before, after or (), strict=True))
    # Interpolation takes 2 or 4 neighbours along every axis that changes, all at once.
    neighbours = {"nearest": 0, "linear": 2, "cubic": 4}.get(mode)
    if neighbours is None:
        raise NoRule
    return Work(neighbours**resized * call.out if neighbours and resized else 0)


def _scatter(call: Call) -> Work:
    if call.attributes.get("reduction", "none") != "none":
        raise NoRule
    return Work()


def _dropout(call: Call) -> Work:
    if not is_view(call):
        raise NoRule
    return Work()


_RULES: Mapping[str, Callable[[Call], Work]] = {
    **dict.fromkeys(("Constant", "Shape", "Size"), _nothing),
    **dict.fromkeys((*VIEWS, *MOVES), _nothing),
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(("Max", "Mean", "Min", "Sum"), _variadic),
    **dict.fromkeys(("Conv", "ConvInteger"), _convolution),
    **dict.fromkeys(("MatMul", "MatMulInteger"), _matmul),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), recurrent),
    **dict.fromkeys(("LogSoftmax", "Softmax"), _softmax),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    **dict.fromkeys(("ScatterElements", "ScatterND"), _scatter),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "ConvTranspose": _transposed_convolution,
    "DequantizeLinear": _dequantise,
    "Dropout": _dropout,
    "DynamicQuantizeLinear": _dynamic_quantise,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_norm,
    "Pow": _pow,
    "QLinearConv": _quantised_convolution,
    "QLinearMatMul": _quantised_matmul,
    "QuantizeLinear": _quantise,
    "RMSNormalization": _rms_norm,
}
