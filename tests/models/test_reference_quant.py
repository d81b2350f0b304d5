"""Quantised operators against ONNX Runtime without its optimisations, and against the specification by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Feeds = dict[str, Any]
Node = tuple[str, Feeds, "Mapping[str, Any]", int]


def draw(kind: str, *shape: int) -> Any:
    random = np.random.default_rng(sum(shape))
    if kind == "f":
        return (random.standard_normal(shape) * 40).astype(np.float32)
    bounds = np.iinfo(kind)
    return random.integers(bounds.min, bounds.max + 1, shape).astype(kind)


def weights(*shape: int) -> Any:
    """Signed weights from -64 on to 63.

    Where a processor has no VNNI, ONNX Runtime sums pairs of products in 16 bits, which saturate with larger ones: it
    would be wrong, and not the reference.
    """
    return draw("int8", *shape) >> 1


def scale(*values: float) -> Any:
    return np.float32(values[0]) if len(values) == 1 else np.array(values, np.float32)


U8, I8 = np.uint8, np.int8
W3 = {"ws": scale(0.02, 0.01, 0.03), "wz": np.zeros(3, I8)}
CASES: dict[str, Node] = {
    "quantize u8": ("QuantizeLinear", {"x": draw("f", 2, 3, 50), "s": scale(0.25), "z": U8(7)}, {}, 10),
    "quantize default": ("QuantizeLinear", {"x": draw("f", 2, 50), "s": scale(0.5)}, {}, 13),
    "quantize i8 per axis": (
        "QuantizeLinear",
        {"x": draw("f", 2, 3, 50), "s": scale(0.5, 1, 2), "z": np.array([-3, 0, 5], I8)},
        {"axis": -2},
        13,
    ),
    "quantize ties": (
        "QuantizeLinear",
        {"x": (np.arange(-9, 9) / 2).astype(np.float32), "s": scale(1), "z": U8(101)},
        {},
        13,
    ),
    "quantize 17": ("QuantizeLinear", {"x": draw("f", 9, 9), "s": scale(0.1), "z": I8(-128)}, {}, 17),
    "quantize 19": ("QuantizeLinear", {"x": draw("f", 9, 9), "s": scale(0.1), "z": I8(3)}, {}, 19),
    "dequantize u8": ("DequantizeLinear", {"x": draw("uint8", 2, 50), "s": scale(0.1), "z": U8(128)}, {}, 10),
    "dequantize i32": ("DequantizeLinear", {"x": draw("int32", 50), "s": scale(1e-4)}, {}, 13),
    "dequantize i8 axis 0": (
        "DequantizeLinear",
        {"x": draw("int8", 3, 4, 5), "s": scale(0.1, 0.2, 0.3), "z": np.array([-3, 0, 5], I8)},
        {"axis": 0},
        13,
    ),
    "dequantize 21": ("DequantizeLinear", {"x": draw("int8", 3, 5), "s": scale(0.1), "z": I8(1)}, {}, 21),
    "dynamic": ("DynamicQuantizeLinear", {"x": draw("f", 4, 30)}, {}, 11),
    "matmul integer": (
        "MatMulInteger",
        {"a": draw("uint8", 4, 30), "b": weights(30, 5), "az": U8(99), "bz": I8(-4)},
        {},
        10,
    ),
    "matmul integer per column": (
        "MatMulInteger",
        {"a": draw("uint8", 2, 4, 30), "b": weights(30, 3), "az": U8(9), "bz": np.array([1, -2, 3], I8)},
        {},
        10,
    ),
    "qlinear matmul": (
        "QLinearMatMul",
        {
            "a": draw("uint8", 4, 30),
            "as": scale(0.02),
            "az": U8(99),
            "b": weights(30, 5),
            "bs": scale(0.01),
            "bz": I8(-4),
            "ys": scale(0.7),
            "yz": U8(131),
        },
        {},
        10,
    ),
    "conv integer": (
        "ConvInteger",
        {"x": draw("uint8", 1, 4, 9, 8), "w": draw("uint8", 6, 2, 3, 3), "xz": U8(99), "wz": U8(120)},
        {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 1]},
        10,
    ),
    **{
        f"qlinear conv {axes}": (
            "QLinearConv",
            {
                "x": draw("uint8", 2, 4, *[9] * axes),
                "xs": scale(0.02),
                "xz": U8(99),
                "w": weights(3, 4, *[3] * axes),
                **W3,
                "ys": scale(0.31),
                "yz": U8(131),
                "b": np.array([100, -900, 7], np.int32),
            },
            {"pads": [1] * (2 * axes), "dilations": [2] * axes},
            10,
        )
        for axes in (1, 2)
    },
}


@pytest.mark.parametrize("case", CASES)
def test_against_onnxruntime(case: str, make_model: Any, saved: Callable[..., Path]) -> None:
    ort = pytest.importorskip("onnxruntime")
    op, feeds, attributes, opset = CASES[case]
    outputs = ["y", "scale", "zero"] if op == "DynamicQuantizeLinear" else ["y"]
    integer = TensorProto.INT8 if any(v.dtype == I8 for n, v in feeds.items() if n == "z") else TensorProto.UINT8
    kind = {"DequantizeLinear": TensorProto.FLOAT, "MatMulInteger": TensorProto.INT32, "ConvInteger": TensorProto.INT32}
    kinds = [kind.get(op, integer), TensorProto.FLOAT, TensorProto.UINT8]
    # Weights and zero points as initializers, as files have them; what varies goes in.
    first = next(iter(feeds))
    model = make_model(
        [helper.make_node(op, list(feeds), outputs, **attributes)],
        {first: (feeds[first].shape, helper.np_dtype_to_tensor_dtype(feeds[first].dtype))},
        {name: (None, k) for name, k in zip(outputs, kinds, strict=False)},
        {name: value for name, value in feeds.items() if name != first},
        opset=opset,
    )
    path = saved(model)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {first: feeds[first]}
    for want, got in zip(session.run(None, given), Reference(path)(given), strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        if op in {"QLinearConv", "QLinearMatMul"}:
            # The last scaling is in float32, where ties may fall to either side.
            assert np.abs(got.astype(int) - want.astype(int)).max() <= 1
            assert np.mean(got != want) < 0.02
        else:
            np.testing.assert_array_equal(got, want)


def test_rows_have_their_own_zero_points(make_model: Any, saved: Callable[..., Path]) -> None:
    a, zero = np.array([[5, 6], [7, 8]], U8), np.array([1, 2], U8)
    b = np.eye(2, dtype=U8)
    model = make_model(
        [helper.make_node("MatMulInteger", ["a", "b", "z"], ["y"])],
        {"a": ([2, 2], TensorProto.UINT8)},
        {"y": (None, TensorProto.INT32)},
        {"b": b, "z": zero},
    )
    assert Reference(saved(model))({"a": a})[0].tolist() == [[4, 5], [5, 6]]


def test_a_quantised_file_of_onnxruntime_is_evaluated(
    linear: onnx.ModelProto, saved: Callable[..., Path], tmp_path: Path
) -> None:
    values, zero = np.arange(12).reshape(4, 3).astype(I8), I8(1)
    graph = linear.graph
    del graph.initializer[:]
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(value), name)
        for name, value in {"q": values, "s": scale(0.5), "z": zero}.items()
    )
    graph.node.insert(0, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]))
    linear.opset_import[0].version = 13
    answer = Reference(saved(linear))({"x": np.ones((1, 4), np.float32)})[0]
    assert answer.tolist() == [((values - 1.0) * 0.5).sum(axis=0).tolist()]
