"""Costs: whoever reads a floor off a chart trusts these counts, so every rule is held to a sum done by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.build import build
from models.cost import Cost, cost
from models.cost_table import CELL_ACTIVATIONS, ELEMENTARY, POINTWISE, REDUCTIONS
from models.errors import ModelError
from models.facts import facts, zoo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

E = ELEMENTARY
F32, I64 = np.float32, np.int64


def zeros(*shape: int, kind: Any = F32) -> np.ndarray[Any, Any]:
    return np.zeros(shape, kind)


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
    domains: Sequence[str] = (),
    noted: Sequence[onnx.ValueInfoProto] = (),
) -> onnx.ModelProto:
    """Inputs are shapes (float32) or (shape, type); weights arrays or tensors; outputs are left to inference."""
    ports = [
        helper.make_tensor_value_info(name, port[1], port[0])
        if port and isinstance(port[0], (tuple, list))
        else helper.make_tensor_value_info(name, TensorProto.FLOAT, port)
        for name, port in inputs.items()
    ]
    stored = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), name)
        for name, value in (weights or {}).items()
    ]
    ends = [helper.make_empty_tensor_value_info(name) for name in outputs]
    body = helper.make_graph(list(nodes), "tiny", ports, ends, stored, value_info=list(noted))
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(body, opset_imports=imports, ir_version=10)


def one(
    operator: str,
    inputs: Mapping[str, Any],
    weights: Mapping[str, Any] | None = None,
    *,
    order: Sequence[str] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
    **attributes: Any,
) -> Cost:
    names = order or [*inputs, *(weights or {})]
    node = helper.make_node(operator, names, list(outputs), name="it", **attributes)
    return cost(graph([node], inputs, weights, [name for name in outputs if name], opset))


# operator, inputs, weights, attributes, multiply-adds, other operations
PRODUCTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], int, int]] = [
    # 8 outputs of 3 taps in 4 channels for each of 5; every output gets its bias. Padding counts: 8, not 6, places.
    ("Conv", {"x": (1, 4, 8)}, {"w": zeros(5, 4, 3), "b": zeros(5)}, {"pads": [1, 1]}, 5 * 8 * 4 * 3, 5 * 8),
    # Dilated by 2, two taps reach over 3 places: 6 remain.
    ("Conv", {"x": (2, 4, 8)}, {"w": zeros(5, 4, 2)}, {"dilations": [2]}, 2 * 5 * 6 * 4 * 2, 0),
    # Depthwise 2-D with a stride: (1 + (9 - 3) / 2, 1 + (7 - 3) / 2) = (4, 3) places, 9 taps, one channel each.
    ("Conv", {"x": (1, 6, 9, 7)}, {"w": zeros(6, 1, 3, 3)}, {"group": 6, "strides": [2, 2]}, 6 * 4 * 3 * 9, 0),
    # Two groups: each of 8 outputs sees 3 of 6 channels.
    ("Conv", {"x": (1, 6, 5)}, {"w": zeros(8, 3, 1)}, {"group": 2}, 8 * 5 * 3, 0),
    # Each of 4 · 5 inputs goes into 3 channels at 4 places; 2 · 4 + 4 = 12 places less 2 get a bias.
    (
        "ConvTranspose",
        {"x": (1, 4, 5)},
        {"w": zeros(4, 3, 4), "b": zeros(3)},
        {"strides": [2], "pads": [1, 1]},
        4 * 5 * 3 * 4,
        3 * 10,
    ),
    (
        "ConvTranspose",
        {"x": (1, 4, 5, 5)},
        {"w": zeros(4, 2, 2, 2)},
        {"group": 2, "strides": [2, 2]},
        4 * 25 * 2 * 4,
        0,
    ),
    ("MatMul", {"x": (2, 3, 4)}, {"w": zeros(4, 5)}, {}, 2 * 3 * 5 * 4, 0),
    ("MatMul", {"a": (2, 1, 3, 4), "b": (6, 4, 5)}, {}, {}, 2 * 6 * 3 * 5 * 4, 0),
    ("MatMul", {"a": (4,), "b": (4,)}, {}, {}, 4, 0),
    ("Gemm", {"x": (3, 4)}, {"w": zeros(5, 4), "c": zeros(5)}, {"transB": 1}, 3 * 5 * 4, 15),
    # Scaled by α; βC is known beforehand, and still added.
    ("Gemm", {"x": (4, 3)}, {"w": zeros(4, 5), "c": zeros(5)}, {"transA": 1, "alpha": 0.5, "beta": 2.0}, 60, 30),
    # Here it is not.
    ("Gemm", {"x": (3, 4), "w": (4, 5), "c": (5,)}, {}, {"beta": 2.0}, 60, 30),
]


@pytest.mark.parametrize(("operator", "inputs", "weights", "attributes", "products", "others"), PRODUCTS)
def test_products(
    operator: str,
    inputs: dict[str, Any],
    weights: dict[str, Any],
    attributes: dict[str, Any],
    products: int,
    others: int,
) -> None:
    found = one(operator, inputs, weights, **attributes)
    assert (found.multiply_adds, found.flops, found.unknown) == (products, 2 * products + others, {})


U8, I8, F = TensorProto.UINT8, TensorProto.INT8, TensorProto.FLOAT
SCALE, POINT, POINTS = F32(0.1), np.uint8(3), np.int8(0)
QUANTISED: list[tuple[str, dict[str, Any], dict[str, Any], list[str], int, int]] = [
    # Divide, round, two bounds, and the zero point; back: subtract and multiply.
    ("QuantizeLinear", {"x": (3, 4)}, {"s": SCALE, "z": POINT}, ["x", "s", "z"], 0, 5 * 12),
    ("QuantizeLinear", {"x": (3, 4)}, {"s": SCALE}, ["x", "s"], 0, 4 * 12),
    ("DequantizeLinear", {"x": ((3, 4), U8)}, {"s": SCALE, "z": POINT}, ["x", "s", "z"], 0, 2 * 12),
    ("DequantizeLinear", {"x": ((3, 4), U8)}, {"s": SCALE}, ["x", "s"], 0, 12),
    # 8 outputs in 5 channels, 3 taps in 4; the zero point comes off 4 · 10 inputs, off the weights before the call.
    (
        "ConvInteger",
        {"x": ((1, 4, 10), U8)},
        {"w": zeros(5, 4, 3, kind=np.int8), "xz": POINT, "wz": POINTS},
        ["x", "w", "xz", "wz"],
        5 * 8 * 4 * 3,
        40,
    ),
    ("ConvInteger", {"x": ((1, 4, 10), U8)}, {"w": zeros(5, 4, 3, kind=np.int8)}, ["x", "w"], 5 * 8 * 4 * 3, 0),
    # Both sides change with the call: 12 and 20 values lose their zero points.
    (
        "MatMulInteger",
        {"a": ((3, 4), U8), "b": ((4, 5), I8)},
        {"az": POINT, "bz": POINTS},
        ["a", "b", "az", "bz"],
        60,
        12 + 20,
    ),
    # Zero point off 40 inputs, a bias and five operations of rounding for each of 40 outputs.
    (
        "QLinearConv",
        {"x": ((1, 4, 10), U8)},
        {"xs": SCALE, "xz": POINT, "w": zeros(5, 4, 3, kind=np.int8), "ws": SCALE, "wz": POINTS}
        | {"ys": SCALE, "yz": POINT, "b": zeros(5, kind=np.int32)},
        ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"],
        5 * 8 * 4 * 3,
        40 + 40 + 5 * 40,
    ),
    (
        "QLinearMatMul",
        {"x": ((3, 4), U8)},
        {"xs": SCALE, "xz": POINT, "w": zeros(4, 5, kind=np.int8), "ws": SCALE, "wz": POINTS, "ys": SCALE, "yz": POINT},
        ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"],
        60,
        12 + 5 * 15,
    ),
]


@pytest.mark.parametrize(("operator", "inputs", "weights", "order", "products", "others"), QUANTISED)
def test_quantised(
    operator: str, inputs: dict[str, Any], weights: dict[str, Any], order: list[str], products: int, others: int
) -> None:
    found = one(operator, inputs, weights, order=order)
    assert (found.multiply_adds, found.flops, found.unknown) == (products, 2 * products + others, {})


def test_dynamic_quantisation() -> None:
    # Smallest, largest, and the five of QuantizeLinear.
    found = one("DynamicQuantizeLinear", {"x": (3, 4)}, outputs=("y", "scale", "zero"))
    assert found.flops == 7 * 12
    # 48 bytes in; 12, a float and a byte out.
    assert (found.read_bytes, found.written_bytes) == (48, 12 + 4 + 1)


# Frames, batch, features, hidden, directions.
T, B, I, H = 5, 2, 3, 4  # noqa: E741  # the standard's letters
RECURRENT: list[tuple[str, int, int, dict[str, Any], int, int]] = [
    # gates, directions, attributes, products per frame and signal, others
    # Four gates; three sigmoids, two tanhs; c = f·c + i·c̃ and h = o·tanh(c) are four; four biases.
    ("LSTM", 4, 1, {}, 4 * H * (I + H), H * (5 * E + 4 + 4)),
    ("LSTM", 4, 2, {"direction": "bidirectional"}, 2 * 4 * H * (I + H), 2 * H * (5 * E + 4 + 4)),
    # Five activations are bounded from both sides before.
    ("LSTM", 4, 1, {"clip": 3.0}, 4 * H * (I + H), H * (5 * E + 4 + 4 + 10)),
    # Three gates; two sigmoids, a tanh; r·h is one, (1 − z)·h̃ + z·h four; three biases.
    ("GRU", 3, 1, {}, 3 * H * (I + H), H * (3 * E + 1 + 4 + 3)),
    # The reset comes behind the product: one product and one sum per value, and a bias more.
    ("GRU", 3, 1, {"linear_before_reset": 1}, 3 * H * (I + H), H * (3 * E + 2 + 4 + 4)),
    ("RNN", 1, 1, {}, H * (I + H), H * (E + 1)),
    ("RNN", 1, 1, {"activations": ["Relu"]}, H * (I + H), H * (1 + 1)),
]


@pytest.mark.parametrize(("kind", "gates", "directions", "attributes", "products", "others"), RECURRENT)
def test_recurrent(
    kind: str, gates: int, directions: int, attributes: dict[str, Any], products: int, others: int
) -> None:
    rows = gates * H
    weights = {"w": zeros(directions, rows, I), "r": zeros(directions, rows, H), "b": zeros(directions, 2 * rows)}
    found = one(kind, {"x": (T, B, I)}, weights, hidden_size=H, **attributes)
    assert (found.multiply_adds, found.unknown) == (T * B * products, {})
    assert found.flops == T * B * (2 * products + others)
    assert found.weight_bytes == 4 * directions * rows * (I + H + 2)
    # What goes in is read once, what nobody asks for is not written.
    assert (found.read_bytes, found.written_bytes) == (4 * T * B * I, 4 * T * B * H * directions)


def test_recurrent_without_biases_and_with_peepholes() -> None:
    weights = {"w": zeros(1, 4 * H, I), "r": zeros(1, 4 * H, H), "p": zeros(1, 3 * H)}
    found = one(
        "LSTM", {"x": (T, B, I)}, weights, order=["x", "w", "r", "", "", "", "", "p"], outputs=("y",), hidden_size=H
    )
    # Three gates also see the cell they keep.
    assert found.multiply_adds == T * B * (4 * H * (I + H) + 3 * H)
    assert found.flops == 2 * found.multiply_adds + T * B * H * (5 * E + 4)


@pytest.mark.parametrize("attributes", [{"input_forget": 1}, {"activations": ["Sigmoid", "Cube", "Tanh"]}])
def test_recurrent_that_cannot_be_counted(attributes: dict[str, Any]) -> None:
    weights = {"w": zeros(1, 4 * H, I), "r": zeros(1, 4 * H, H)}
    found = one("LSTM", {"x": (T, B, I)}, weights, hidden_size=H, **attributes)
    assert found.unknown == {"LSTM": 1}
    assert found.nodes[0].problem


X = {"x": (2, 3, 4)}  # 24 values
OTHERS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], int]] = [
    *((name, X, {}, {}, 24) for name in ("Abs", "Neg", "Sqrt", "Relu", "Floor", "Sign", "Reciprocal")),
    *((name, X, {}, {}, 24 * E) for name in ("Exp", "Log", "Sin", "Cos", "Tanh", "Sigmoid", "Erf")),
    # Broadcasting: what counts is what comes out.
    *((name, {"a": (2, 3, 1), "b": (3, 4)}, {}, {}, 24) for name in ("Add", "Sub", "Mul", "Div")),
    ("Greater", {"a": (2, 3, 1), "b": (3, 4)}, {}, {}, 24),
    ("Where", {"c": ((4,), TensorProto.BOOL), "a": (2, 3, 4), "b": ()}, {}, {}, 24),
    # Three inputs are joined twice; an average divides, too.
    ("Max", {"a": (2, 3), "b": (3,), "c": (1,)}, {}, {}, 2 * 6),
    ("Min", {"a": (2, 3), "b": (3,)}, {}, {}, 6),
    ("Sum", {"a": (2, 3), "b": (3,), "c": (1,)}, {}, {}, 2 * 6),
    ("Mean", {"a": (2, 3), "b": (3,), "c": (1,)}, {}, {}, 3 * 6),
    ("LeakyRelu", X, {}, {}, 2 * 24),
    ("PRelu", X, {"slope": zeros(4)}, {}, 2 * 24),
    ("Elu", X, {}, {}, 24 * (E + 3)),
    ("Softplus", X, {}, {}, 24 * (2 * E + 1)),
    ("HardSigmoid", X, {}, {}, 4 * 24),
    ("HardSwish", X, {}, {}, 5 * 24),
    # One bound, two bounds.
    ("Clip", X, {"low": F32(0)}, {}, 24),
    ("Clip", X, {"low": F32(0), "high": F32(6)}, {}, 48),
    # A square is one product, a root one root; any other power a logarithm, a product and an exponential.
    ("Pow", X, {"p": F32(2)}, {}, 24),
    ("Pow", X, {"p": F32(0.5)}, {}, 24),
    ("Pow", X, {"p": F32(0.3)}, {}, 24 * (2 * E + 1)),
    ("Pow", {"x": (2, 3, 4), "p": (4,)}, {}, {}, 24 * (2 * E + 1)),
    # Largest, difference, exponential, sum, quotient.
    ("Softmax", X, {}, {"axis": 1}, 24 * (E + 4)),
    # One logarithm for each of 6 rows, and a difference instead of the quotient.
    ("LogSoftmax", X, {}, {}, 24 * (E + 4) + 6 * E),
    # 24 go in, 2 come out.
    ("ReduceSum", X, {"axes": np.array([1, 2], I64)}, {}, 24),
    ("ReduceMean", X, {"axes": np.array([1, 2], I64)}, {}, 24 + 2),
    ("ReduceMax", X, {"axes": np.array([1, 2], I64)}, {}, 24),
    ("ReduceL2", X, {"axes": np.array([1, 2], I64)}, {"keepdims": 0}, 48 + 2),
    ("ReduceSum", X, {}, {"noop_with_empty_axes": 1}, 0),
    ("ArgMax", X, {}, {"axis": 2}, 24),
    ("CumSum", X, {"axis": np.array(1, I64)}, {}, 24),
    # Two rows of 12: mean, difference, square, sum, two products, shift; and five more per row.
    ("LayerNormalization", X, {"g": zeros(3, 4), "b": zeros(3, 4)}, {"axis": 1}, 7 * 24 + 5 * 2),
    ("LayerNormalization", X, {"g": zeros(4)}, {}, 6 * 24 + 5 * 6),
    ("InstanceNormalization", X, {"g": zeros(3), "b": zeros(3)}, {}, 7 * 24 + 5 * 6),
    # The statistics are weights: one product and one sum.
    ("BatchNormalization", X, {k: zeros(3) for k in "gbmv"}, {}, 2 * 24),
    # They are not: (v + ε), root, quotient, product, difference for each of 3 channels.
    ("BatchNormalization", {"x": (2, 3, 4), **dict.fromkeys("gbmv", (3,))}, {}, {}, 2 * 24 + 5 * 3),
    ("LpNormalization", X, {}, {"axis": 2, "p": 2}, 3 * 24 + 6),
    # 2 · 3 · 3 places of two; an average divides; a hole on the padding counts, too.
    ("MaxPool", X, {}, {"kernel_shape": [2]}, 2 * 3 * 3 * 2),
    ("AveragePool", X, {}, {"kernel_shape": [2], "pads": [1, 0]}, 2 * 3 * 4 * 3),
    ("MaxPool", {"x": (1, 3, 8, 6)}, {}, {"kernel_shape": [2, 2], "strides": [2, 2]}, 3 * 4 * 3 * 4),
    ("GlobalAveragePool", X, {}, {}, 24 + 6),
    ("GlobalMaxPool", X, {}, {}, 24),
]


@pytest.mark.parametrize(("operator", "inputs", "weights", "attributes", "flops"), OTHERS)
def test_everything_else(
    operator: str, inputs: dict[str, Any], weights: dict[str, Any], attributes: dict[str, Any], flops: int
) -> None:
    found = one(operator, inputs, weights, **attributes)
    assert (found.flops, found.multiply_adds, found.unknown) == (flops, 0, {})


def test_resizing() -> None:
    def resized(mode: str, x: tuple[int, ...], *scales: float) -> tuple[int, int]:
        found = one("Resize", {"x": x}, {"roi": zeros(0), "scales": np.array(scales, F32)}, mode=mode)
        assert found.unknown == {}
        return found.multiply_adds, found.flops

    # Nearest neighbours are copied. Linear interpolation weighs two of them, in two directions four.
    assert resized("nearest", (1, 3, 4), 1, 1, 2) == (0, 0)
    assert resized("linear", (1, 3, 4), 1, 1, 2) == (2 * 24, 4 * 24)
    assert resized("linear", (1, 1, 4, 6), 1, 1, 2, 2) == (4 * 96, 8 * 96)
    assert resized("cubic", (1, 1, 4, 6), 1, 1, 1, 2) == (4 * 48, 8 * 48)


def test_newer_operators() -> None:
    assert one("Gelu", X, opset=20).flops == 24 * (E + 4)
    assert one("Gelu", X, opset=20, approximate="tanh").flops == 24 * (E + 8)
    group = one("GroupNormalization", {"x": (2, 6, 4)}, {"g": zeros(6), "b": zeros(6)}, opset=21, num_groups=3)
    assert group.flops == 7 * 48 + 5 * 6
    # Whatever follows has sizes, too.
    pair = [helper.make_node("GroupNormalization", ["x", "g", "b"], ["n"], num_groups=3)]
    pair.append(helper.make_node("Relu", ["n"], ["y"]))
    assert cost(graph(pair, {"x": (2, 6, 4)}, {"g": zeros(3), "b": zeros(3)})).flops == 7 * 48 + 5 * 6 + 48
    assert one("HardSwish", X, opset=22).flops == 5 * 24
    if onnx.defs.onnx_opset_version() >= 23:
        assert one("RMSNormalization", X, {"g": zeros(4)}, opset=23).flops == 4 * 24 + 4 * 6


def test_older_operators() -> None:
    assert one("Clip", X, opset=6, min=0.0, max=6.0).flops == 48
    assert one("LogSoftmax", X, opset=11, axis=1).flops == 24 * (E + 4) + 2 * E
    assert one("Upsample", X, {"scales": np.array([1, 1, 2], F32)}, opset=9, mode="nearest").flops == 0


MOVED: list[tuple[str, dict[str, Any], dict[str, Any], int, int]] = [
    # weights, attributes, values read, values written, of 24
    ("Transpose", {}, {"perm": [2, 0, 1]}, 24, 24),
    ("Pad", {"pads": np.array([0, 0, 1, 0, 0, 1], I64)}, {}, 24, 36),
    ("Tile", {"times": np.array([1, 1, 2], I64)}, {}, 24, 48),
    ("Expand", {"shape": np.array([5, 2, 3, 4], I64)}, {}, 24, 120),
    # Only what comes out is read.
    ("Slice", {"s": np.array([1], I64), "e": np.array([3], I64), "a": np.array([2], I64)}, {}, 12, 12),
    ("Gather", {"index": np.array([0, 2], I64)}, {"axis": 1}, 16, 16),
    ("DepthToSpace", {}, {"blocksize": 2}, 24, 24),
    ("Cast", {}, {"to": TensorProto.DOUBLE}, 24, 48),
    # Another name for the same bytes.
    ("Reshape", {"shape": np.array([6, 4], I64)}, {}, 0, 0),
    ("Flatten", {}, {}, 0, 0),
    ("Identity", {}, {}, 0, 0),
    ("Unsqueeze", {"axes": np.array([0], I64)}, {}, 0, 0),
    ("Dropout", {}, {}, 0, 0),
]


@pytest.mark.parametrize(("operator", "weights", "attributes", "read", "written"), MOVED)
def test_moving_computes_nothing(
    operator: str, weights: dict[str, Any], attributes: dict[str, Any], read: int, written: int
) -> None:
    shape = (1, 8, 1, 3) if operator == "DepthToSpace" else (2, 3, 4)
    found = one(operator, {"x": shape}, weights, **attributes)
    assert (found.flops, found.read_bytes, found.written_bytes) == (0, 4 * read, 4 * written)
    assert found.unknown == {}


def test_splitting_and_joining_move_bytes() -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["a", "b", "a"], ["y"], axis=1),
    ]
    split, joined = cost(graph(nodes, {"x": (1, 4, 5)})).nodes
    assert (split.read_bytes, split.written_bytes) == (80, 80)
    # One tensor is read once by one node, however often it is named.
    assert (joined.read_bytes, joined.written_bytes) == (80, 120)


def test_bytes_of_a_small_graph() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Add", ["r", "x"], ["y"]),
    ]
    found = cost(graph(nodes, {"x": (3, 4)}, {"w": zeros(4, 4), "idle": zeros(100)}))
    assert found.flops == 2 * 3 * 4 * 4 + 12 + 12
    # A weight that nobody reads is not read.
    assert found.weight_bytes == 64
    assert found.io_bytes == 48 + 48
    assert found.compulsory_bytes == 64 + 96
    # x, h, r, x are read; h, r, y are written.
    assert (found.read_bytes, found.written_bytes) == (4 * 48, 3 * 48)
    assert found.activation_bytes == 7 * 48
    # x is kept for the sum: with it h and r, later r and y.
    assert found.peak_bytes == 3 * 48
    assert json.loads(json.dumps(found.to_json())) == {
        "flops": 120,
        "weight_bytes": 64,
        "activation_bytes": 336,
        "io_bytes": 96,
        "unknown": {},
    }


def test_views_share_their_memory() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Flatten", ["a"], ["v"]),
        helper.make_node("Identity", ["v"], ["w"]),
        helper.make_node("Relu", ["w"], ["y"]),
    ]
    found = cost(graph(nodes, {"x": (2, 8)}))
    # x and a, then a and y: never three.
    assert found.peak_bytes == 2 * 64
    assert found.activation_bytes == 4 * 64


def test_a_shared_weight_counts_once() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"])]
    found = cost(graph(nodes, {"x": (3, 4)}, {"w": zeros(4, 4)}))
    assert found.weight_bytes == 64
    assert [node.weight_bytes for node in found.nodes] == [64, 64]


def test_weights_count_in_their_stored_type() -> None:
    # int8 weights that are made float on the fly are read as int8; making them float is done once, not per call.
    stored = {"w": zeros(4, 6, kind=np.int8), "s": F32(0.1)}
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["f"]), helper.make_node("MatMul", ["x", "f"], ["y"])]
    found = cost(graph(nodes, {"x": (3, 4)}, stored))
    assert found.nodes[0].before
    assert found.flops == 2 * 3 * 6 * 4
    assert found.weight_bytes == 24 + 4
    half = cost(
        graph(
            [helper.make_node("Cast", ["w"], ["f"], to=F), helper.make_node("MatMul", ["x", "f"], ["y"])],
            {"x": (3, 4)},
            {"w": zeros(4, 6, kind=np.float16)},
        )
    )
    assert half.weight_bytes == 48
    # Two values of 4 bits share a byte, the last of an odd number has one to itself.
    nibbles = helper.make_tensor("w", TensorProto.INT4, [5, 3], [0] * 15)
    nodes[0] = helper.make_node("DequantizeLinear", ["w", "s"], ["f"])
    four = cost(graph(nodes, {"x": (3, 5)}, {"w": nibbles, "s": F32(0.1)}, opset=21))
    assert four.weight_bytes == 8 + 4


def test_part_of_a_table_is_read() -> None:
    node = helper.make_node("Gather", ["table", "index"], ["y"])
    found = cost(graph([node], {"index": ((3,), TensorProto.INT64)}, {"table": zeros(1000, 4)}))
    assert (found.weight_bytes, found.read_bytes, found.written_bytes) == (48, 24, 48)


def test_constants_are_weights() -> None:
    values = numpy_helper.from_array(zeros(4, 5))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=values),
        helper.make_node("Constant", [], ["p"], value_float=2.0),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Pow", ["h", "p"], ["y"]),
    ]
    found = cost(graph(nodes, {"x": (3, 4)}))
    assert found.flops == 2 * 60 + 15
    assert found.weight_bytes == 80 + 4


def test_arithmetic_on_sizes_is_done_before() -> None:
    # As exporters flatten: the shape is asked for, its first size taken, and put before a -1.
    nodes = [
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "zero"], ["first"]),
        helper.make_node("Concat", ["first", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["y"]),
    ]
    weights = {"zero": np.array([0], I64), "rest": np.array([-1], I64)}
    found = cost(graph(nodes, {"x": (2, 3, 4)}, weights))
    assert [node.before for node in found.nodes] == [True, True, True, False, False]
    assert (found.flops, found.activation_bytes, found.unknown) == (24, 2 * 96, {})


def test_unknown_operators_are_named() -> None:
    noted = [helper.make_tensor_value_info("a", F, [2, 4])]
    nodes = [
        helper.make_node("Fancy", ["x", "w"], ["a"], domain="com.acme"),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    found = cost(graph(nodes, {"x": (2, 4)}, {"w": zeros(4)}, domains=["com.acme"], noted=noted))
    assert found.unknown == {"com.acme::Fancy": 1}
    # Its bytes are known all the same, and what follows is counted.
    assert (found.flops, found.weight_bytes, found.activation_bytes) == (8, 16, 4 * 32)
    # Nobody said what it gives: then nothing behind it can be counted either.
    lost = cost(graph(nodes, {"x": (2, 4)}, {"w": zeros(4)}, domains=["com.acme"]))
    assert lost.unknown == {"Relu": 1, "com.acme::Fancy": 1}
    assert lost.nodes[1].problem != lost.nodes[0].problem


def test_sizes_that_depend_on_values_are_named() -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["real"], to=F),
        helper.make_node("Exp", ["real"], ["y"]),
    ]
    assert cost(graph(nodes, {"x": (2, 4)})).unknown == {"Cast": 1, "Exp": 1, "NonZero": 1}


def test_branches_are_named_and_their_weights_read() -> None:
    def branch(operator: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{operator}.y", F, [2, 4])
        return helper.make_graph([helper.make_node(operator, ["x", "w"], [f"{operator}.y"])], operator, [], [out])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Add"), else_branch=branch("Mul"))
    found = cost(graph([node], {"c": ((), TensorProto.BOOL), "x": (2, 4)}, {"w": zeros(4)}))
    assert found.unknown == {"If": 1}
    assert (found.weight_bytes, found.read_bytes, found.written_bytes) == (16, 32 + 1, 32)


def test_training_is_not_counted() -> None:
    weights = {key: zeros(3) for key in "gbmv"}
    found = one("BatchNormalization", X, weights, outputs=("y", "mean", "var"), training_mode=1)
    assert found.unknown == {"BatchNormalization": 1}


def test_functions_of_the_file_are_counted_inside() -> None:
    inner = [helper.make_node("Exp", ["a"], ["e"]), helper.make_node("Mul", ["a", "e"], ["b"])]
    function = helper.make_function("mine", "Gate", ["a"], ["b"], inner, [helper.make_opsetid("", 18)])
    model = graph([helper.make_node("Gate", ["x"], ["y"], domain="mine")], X, domains=["mine"])
    model.functions.append(function)
    found = cost(model)
    assert (found.flops, found.unknown) == (24 * (E + 1), {})


def test_open_sizes_and_contradictions_are_errors() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(ModelError, match="'x'"):
        cost(graph([node], {"x": ("batch", 4)}))
    wrong = helper.make_node("MatMul", ["x", "x"], ["y"])
    with pytest.raises(ModelError, match="MatMul"):
        cost(graph([wrong], {"x": (2, 4)}))


def test_the_model_is_left_alone() -> None:
    model = build("rt8")
    before = model.SerializeToString(deterministic=True)
    cost(model)
    assert model.SerializeToString(deterministic=True) == before


def test_declared_costs_are_positive() -> None:
    assert all(POINTWISE.values())
    assert all(CELL_ACTIVATIONS.values())
    assert all(inner for inner, _ in REDUCTIONS.values())


def test_work_grows_with_the_batch_and_weights_do_not() -> None:
    single, double = (cost(build("rt8", batch)) for batch in (1, 2))
    assert double.flops == 2 * single.flops
    assert double.activation_bytes == 2 * single.activation_bytes
    assert double.weight_bytes == single.weight_bytes


@pytest.mark.parametrize("name", list(zoo()))
def test_facts_have_these_operations(name: str) -> None:
    found = cost(build(name))
    assert found.unknown == {}
    assert found.flops == facts(name).flops


@pytest.mark.parametrize("name", ["rt48", "fast16", "teacher", "residual_cnn", "hifigan_v2", "vocos"])
def test_another_tool_counts_the_same(name: str) -> None:
    onnx_tool = pytest.importorskip("onnx_tool")
    model = build(name)
    theirs = onnx_tool.Model(model, {"verbose": False, "constant_folding": False}).graph
    theirs.shape_infer()
    theirs.profile()
    compared = 0
    for node in cost(model).nodes:
        if node.operator in {"Conv", "MatMul", "Gemm"}:
            # Its figure is one per multiply-add and one per bias that is added.
            bias = node.flops - 2 * node.multiply_adds
            assert int(theirs.nodemap[node.name].macs[0]) == node.multiply_adds + bias, node.name
            compared += 1
    # Left out are transposed convolutions: it multiplies output places by the whole kernel and the output
    # channels, where every input place, not output place, meets every tap.
    assert compared == sum(n.op_type in {"Conv", "MatMul", "Gemm"} for n in model.graph.node)
    assert compared > 3
