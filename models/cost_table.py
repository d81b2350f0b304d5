"""How many operations one value costs, declared once: the conventions behind :mod:`models.cost`.

* Adding, subtracting, multiplying, dividing, taking a square root, comparing, choosing, rounding and
  changing the sign are one operation each, whatever the element type.
* An elementary function is :data:`ELEMENTARY` operations. No engine publishes its own number; in single
  precision each comes to a range reduction and a polynomial, or to a quotient of two, of 12 to 25
  operations. One number for all of them, so that nobody argues about the ninth digit.
* Whatever is composed of these is counted as its definition in the ONNX standard reads.
"""

from __future__ import annotations

# exp, log, sin, cos, tan, their inverses and hyperbolic relatives, tanh, sigmoid, erf.
ELEMENTARY = 16

# Operations per value that comes out, broadcasting included.
POINTWISE = {
    **dict.fromkeys(("Abs", "Ceil", "Floor", "Neg", "Reciprocal", "Round", "Sign", "Sqrt"), 1),
    **dict.fromkeys(("Add", "Div", "Mod", "Mul", "Sub"), 1),
    **dict.fromkeys(("And", "Not", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"), 1),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Where"), 1),
    **dict.fromkeys(("Cos", "Erf", "Exp", "Log", "Sigmoid", "Sin", "Tan", "Tanh"), ELEMENTARY),
    **dict.fromkeys(("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cosh", "Sinh"), ELEMENTARY),
    "Relu": 1,
    "LeakyRelu": 2,  # compare, multiply
    "PRelu": 2,
    "ThresholdedRelu": 2,  # compare, choose
    "Softsign": 3,  # x / (1 + |x|)
    "Shrink": 4,  # two comparisons, an addition, a choice
    "HardSigmoid": 4,  # max(0, min(1, αx + β))
    "HardSwish": 5,  # x · HardSigmoid(x)
    "Elu": ELEMENTARY + 3,  # compare, α · (exp(x) − 1)
    "Selu": ELEMENTARY + 4,  # the same, times γ
    "Celu": ELEMENTARY + 6,  # max(0, x) + min(0, α · (exp(x / α) − 1))
    "Softplus": 2 * ELEMENTARY + 1,  # log(exp(x) + 1)
    "Mish": 3 * ELEMENTARY + 2,  # x · tanh(softplus(x))
    "CumSum": 1,
    "Range": 2,  # start + i · step
}

# Per value that goes in, and per value that comes out.
REDUCTIONS = {
    "ArgMax": (1, 0),
    "ArgMin": (1, 0),
    "GlobalAveragePool": (1, 1),
    "GlobalMaxPool": (1, 0),
    "ReduceL1": (2, 0),
    "ReduceL2": (2, 1),
    "ReduceLogSum": (1, ELEMENTARY),
    "ReduceLogSumExp": (ELEMENTARY + 3, ELEMENTARY + 1),  # largest, difference, exp, sum; log, largest added
    "ReduceMax": (1, 0),
    "ReduceMean": (1, 1),
    "ReduceMin": (1, 0),
    "ReduceProd": (1, 0),
    "ReduceSum": (1, 0),
    "ReduceSumSquare": (2, 0),
}

# Activations of recurrent cells, per value.
CELL_ACTIVATIONS = {
    "affine": 2,
    "elu": ELEMENTARY + 3,
    "hardsigmoid": 4,
    "leakyrelu": 2,
    "relu": 1,
    "scaledtanh": ELEMENTARY + 2,
    "sigmoid": ELEMENTARY,
    "softplus": 2 * ELEMENTARY + 1,
    "softsign": 3,
    "tanh": ELEMENTARY,
    "thresholdedrelu": 2,
}

# Another name for the same bytes: nothing is computed, nothing moves.
VIEWS = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}

# Bytes move, nothing is computed.
MOVES = {
    "Cast",
    "CastLike",
    "Concat",
    "ConstantOfShape",
    "DepthToSpace",
    "Expand",
    "EyeLike",
    "Gather",
    "GatherElements",
    "GatherND",
    "OneHot",
    "Pad",
    "ReverseSequence",
    "ScatterElements",
    "ScatterND",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Tile",
    "Transpose",
    "Trilu",
}

# Sizes are static, so these are answered before the first call.
ASKS_SIZES = {"Shape", "Size"}

# The first input is read only as far as it comes out again.
PARTIAL_READS = {"Gather", "GatherElements", "GatherND", "Slice"}
