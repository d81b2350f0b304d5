"""Where signals lie after an operator, given where they lie before; operators that keep signals apart.

A rule takes the walk, the node's number and the node; it answers with where the signals lie in every
output (one answer for all, or one per output), notes what has to change in the node, and raises
:class:`~models.surgery.batch_walk.Stuck` where one signal would get into another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.surgery.batch_shapes import SHAPE_RULES
from models.surgery.batch_walk import Along, Stuck
from models.surgery.graphs import called
from models.surgery.rewrite import attribute, opset

if TYPE_CHECKING:
    import onnx

    from models.surgery.batch_walk import Rule, Walk

# Softmax and its kin: until here everything from an axis on, since then that axis alone.
_LAST_COERCING = 12

Places = Along | tuple[Along | None, ...]


def _same(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """Every value by itself."""
    walk.only(node, {0})
    return walk.of(node.input[0])


def _first(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """Operators whose first axis is the batch by definition."""
    walk.only(node, {0})
    along = walk.of(node.input[0])
    if along.axis != 0:
        raise Stuck(f"{called(node)} meets signals along axis {along.axis}, and treats each of axis 0 by itself")
    if node.op_type == "MaxPool" and len(node.output) > 1 and node.output[1]:
        raise Stuck(f"{called(node)} counts places through all signals")
    if node.op_type == "BatchNormalization" and attribute(node, "training_mode", 0):
        raise Stuck(f"{called(node)} normalises over the signals, as in training")
    return along


def _broadcast(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """Operators over values of matching sizes."""
    given = [place for place, name in enumerate(node.input) if name]
    rank = max(len(walk.shape(node.input[place])) for place in given)
    name = next(name for name in node.input if name in walk.along)
    along, shape = walk.of(name), walk.shape(name)
    there = along.moved(along.axis + rank - len(shape))
    for place in given:
        walk.align(index, node, place, rank, there, shape[along.axis])
    return there


def _cast_like(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """The second input lends its type, and nothing else."""
    return (walk.along.get(node.input[0]),)


def _matmul(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    walk.only(node, {0, 1})
    ranks = [len(walk.shape(name)) for name in node.input[:2]]
    if min(ranks) < 2:
        return _matmul_vector(walk, node, ranks)
    rank, answers = max(ranks), []
    for place in (0, 1):
        name = node.input[place]
        if name not in walk.along:
            continue
        along = walk.of(name)
        from_end = ranks[place] - along.axis
        if from_end == 1 + place:
            raise Stuck(f"{called(node)} sums over the signals")
        if from_end <= 2 and node.input[1 - place] in walk.along:
            raise Stuck(f"{called(node)} multiplies signals by each other")
        there = along.moved(rank - from_end)
        if from_end > 2:
            walk.align(index, node, 1 - place, rank, there, walk.shape(name)[along.axis])
        answers.append(there)
    return answers[0]


def _matmul_vector(walk: Walk, node: onnx.NodeProto, ranks: list[int]) -> Along:
    place = 0 if node.input[0] in walk.along else 1
    along = walk.of(node.input[place])
    if node.input[1 - place] in walk.along or ranks[place] < 2 or ranks[place] - along.axis == 1 + place:
        raise Stuck(f"{called(node)} sums over the signals")
    # The axis that is summed over is gone from the result.
    return along.moved(along.axis - (1 if place == 1 and along.axis == ranks[1] - 1 else 0))


def _gemm(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    sides = [name in walk.along for name in node.input[:2]]
    if all(sides) or not any(sides):
        raise Stuck(f"{called(node)} multiplies signals by each other")
    place = sides.index(True)
    along, turned = walk.of(node.input[place]), bool(attribute(node, ("transA", "transB")[place], 0))
    # Rows of A and columns of B are kept apart.
    if along.axis != (turned if place == 0 else 1 - turned):
        raise Stuck(f"{called(node)} sums over the signals")
    there = along.moved(place)
    if len(node.input) > 2 and node.input[2]:
        walk.align(index, node, 2, 2, there, walk.shape(node.input[place])[along.axis])
    return there


def _but_axis(default: int) -> Rule:
    """Operators that work along one axis."""

    def rule(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
        walk.only(node, {0})
        along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
        if attribute(node, "axis", default) % rank == along.axis:
            raise Stuck(f"{called(node)} works along the axis of the signals")
        return along

    return rule


def _softmax(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
    coercing = opset(walk.facts.model) <= _LAST_COERCING
    axis = attribute(node, "axis", 1 if coercing else -1) % rank
    if along.axis == axis or (coercing and along.axis > axis):
        raise Stuck(f"{called(node)} works along the axis of the signals")
    return along


def _scan_axis(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """CumSum: the axis is an input."""
    walk.only(node, {0})
    along, axis = walk.of(node.input[0]), walk.constant(node, 1)
    if axis is None or int(axis.ravel()[0]) % len(walk.shape(node.input[0])) == along.axis:
        raise Stuck(f"{called(node)} works along the axis of the signals")
    return along


def _layer_norm(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    along, shape = walk.of(node.input[0]), walk.shape(node.input[0])
    if along.axis >= attribute(node, "axis", -1) % len(shape):
        raise Stuck(f"{called(node)} normalises over the signals")
    for place in range(1, len(node.input)):
        if node.input[place]:
            walk.align(index, node, place, len(shape), along, shape[along.axis])
    return along


def _means(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    walk.only(node, {0})
    along, axes = walk.of(node.input[0]), attribute(node, "axes", [0, 2, 3])
    if along.axis in {axis % len(walk.shape(node.input[0])) for axis in axes}:
        raise Stuck(f"{called(node)} normalises over the signals")
    return along


def _scaled(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """QuantizeLinear and DequantizeLinear."""
    walk.only(node, {0})
    along, shape = walk.of(node.input[0]), walk.shape(node.input[0])
    scale = walk.shape(node.input[1])
    if np.prod(scale) != 1 and (len(scale) != 1 or attribute(node, "axis", 1) % len(shape) == along.axis):
        raise Stuck(f"{called(node)} has a scale per signal")
    return along


def _dynamic(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    raise Stuck(f"{called(node)} takes one scale for all signals: resize the graph before int8_dynamic")


def _trilu(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    walk.only(node, {0})
    along = walk.of(node.input[0])
    if along.axis >= len(walk.shape(node.input[0])) - 2:
        raise Stuck(f"{called(node)} works along the axis of the signals")
    return along


def _recurrent(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """LSTM, GRU and RNN; a state that is the same for all signals is given to each."""
    walk.only(node, {0, 4, 5, 6})
    first = attribute(node, "layout", 0) == 1
    axes = {0: 0 if first else 1, 4: 0, 5: 0 if first else 1, 6: 0 if first else 1}
    for place, axis in axes.items():
        name = node.input[place] if place < len(node.input) else ""
        if not name:
            continue
        if name not in walk.along:
            walk.grow(index, place, Along(axis))
        elif walk.of(name).axis != axis or walk.of(name).outer > 1:
            raise Stuck(f"{called(node)} meets signals in {name!r} along axis {walk.of(name).axis}, not {axis}")
    state = Along(0 if first else 1)
    return (Along(0 if first else 2), state, state)[: len(node.output)]


def _einsum(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    text = attribute(node, "equation").decode().replace(" ", "")
    if "." in text or "->" not in text:
        raise Stuck(f"{called(node)} with the equation {text!r}")
    terms, result = text.split("->")[0].split(","), text.split("->")[1]
    letters = {terms[p][walk.of(n).axis] for p, n in enumerate(node.input) if n in walk.along}
    letter = letters.pop()
    outers = {walk.of(name).outer for name in node.input if name in walk.along}
    outer = outers.pop()
    if letters or outers or letter not in result or any(term.count(letter) > 1 for term in terms):
        raise Stuck(f"{called(node)} lets signals into each other")
    for place, name in enumerate(node.input):
        if name not in walk.along and letter in terms[place]:
            walk.grow(index, place, Along(terms[place].index(letter), outer))
    return Along(result.index(letter), outer)


def _pairs(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """GridSample: signals and where to look, both along the first axis."""
    for place, name in enumerate(node.input[:2]):
        if name not in walk.along:
            walk.grow(index, place, Along(0))
        elif walk.of(name) != Along(0):
            raise Stuck(f"{called(node)} meets signals along axis {walk.of(name).axis}")
    return Along(0)


def _attention(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    for place, name in enumerate(node.input):
        if name in walk.along and (walk.of(name).axis != 0 or walk.of(name).outer > 1):
            raise Stuck(f"{called(node)} meets signals along axis {walk.of(name).axis}")
        if name and place != 3 and name not in walk.along:
            walk.grow(index, place, Along(0))
    mask = node.input[3] if len(node.input) > 3 else ""
    if mask and (mask in walk.along or (len(walk.shape(mask)) == 4 and walk.shape(mask)[0] != 1)):
        raise Stuck(f"{called(node)} has a mask per signal")
    return Along(0)


def _transform(walk: Walk, index: int, node: onnx.NodeProto) -> Places:
    """DFT: along an attribute or, since operator set 20, an input."""
    walk.only(node, {0})
    along, rank = walk.of(node.input[0]), len(walk.shape(node.input[0]))
    given = walk.constant(node, 2)
    axis = attribute(node, "axis", 1) if opset(walk.facts.model) < 20 else -2 if given is None else int(given)
    if along.axis in {axis % rank, rank - 1}:
        raise Stuck(f"{called(node)} works along the axis of the signals")
    return along


_EACH = """
    Abs Acos Acosh Asin Asinh Atan Atanh Bernoulli BitwiseNot Cast Ceil Celu Cos Cosh Dropout Elu Erf Exp Floor
    Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not RandomNormalLike RandomUniformLike
    Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
"""
_MATCHING = """
    Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min
    Mod Mul Or PRelu Pow Sub Sum Where Xor
"""
_BATCHED = """
    AveragePool BatchNormalization Conv ConvInteger ConvTranspose DeformConv DepthToSpace GlobalAveragePool
    GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool MaxPool Multinomial QLinearConv
    STFT SpaceToDepth
"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_EACH.split(), _same),
    **dict.fromkeys(_MATCHING.split(), _broadcast),
    **dict.fromkeys(_BATCHED.split(), _first),
    "rtfloor.custom::CausalChannelLayerNorm": _first,
    "Attention": _attention,
    "CastLike": _cast_like,
    "Clip": _same,
    "CumSum": _scan_axis,
    "DFT": _transform,
    "DequantizeLinear": _scaled,
    "DynamicQuantizeLinear": _dynamic,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "GridSample": _pairs,
    "Hardmax": _softmax,
    "LSTM": _recurrent,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _softmax,
    "LpNormalization": _but_axis(-1),
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "MeanVarianceNormalization": _means,
    "QuantizeLinear": _scaled,
    "RMSNormalization": _layer_norm,
    "RNN": _recurrent,
    "Softmax": _softmax,
    "TopK": _but_axis(-1),
    "Trilu": _trilu,
    **SHAPE_RULES,
}
