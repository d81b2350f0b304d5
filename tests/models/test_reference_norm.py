"""LayerNormalization in the reference: sums as wide as the standard asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper

from models.reference import Reference

if TYPE_CHECKING:
    from pathlib import Path


def model(folder: Path, kind: int, sizes: list[int], axis: int, outputs: int = 1, inputs: int = 3) -> Path:
    names = ["x", "scale", "shift"][:inputs]
    node = helper.make_node("LayerNormalization", names, ["y", "mean", "inverse"][:outputs], axis=axis, epsilon=1e-5)
    inner = sizes[axis % len(sizes) :]
    shapes = [sizes, inner, inner][:inputs]
    graph = helper.make_graph(
        [node],
        "norm",
        [helper.make_tensor_value_info(n, kind, s) for n, s in zip(names, shapes, strict=True)],
        [helper.make_tensor_value_info(n, kind if n == "y" else 1, None) for n in ["y", "mean", "inverse"][:outputs]],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), folder / "n.onnx")
    return folder / "n.onnx"


def feeds(kind: Any, sizes: list[int], axis: int, inputs: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    inner = sizes[axis % len(sizes) :]
    # A mean that is large beside the spread: what a float16 sum cannot hold.
    values = {"x": 8 + rng.standard_normal(sizes), "scale": rng.normal(1, 0.1, inner), "shift": rng.normal(0, 1, inner)}
    return {name: values[name].astype(kind) for name in ["x", "scale", "shift"][:inputs]}


def test_float16_is_summed_wide(tmp_path: Path) -> None:
    sizes = [2, 64, 257]
    given = feeds(np.float16, sizes, 1)
    [y] = Reference(model(tmp_path, 10, sizes, 1))(given)
    x = given["x"].astype(np.float64)
    right = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    right = right * given["scale"].astype(float) + given["shift"].astype(float)
    assert y.dtype == np.float16
    assert np.abs(y - right).max() < 0.01


@pytest.mark.parametrize(("kind", "code", "within"), [(np.float32, 1, 1e-5), (np.float16, 10, 2e-2)])
@pytest.mark.parametrize(("axis", "inputs"), [(-1, 3), (1, 3), (2, 2), (-2, 3)])
def test_an_engine_agrees(kind: Any, code: int, within: float, axis: int, inputs: int, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    sizes = [2, 5, 33]
    path, given = model(tmp_path, code, sizes, axis, inputs=inputs), feeds(kind, sizes, axis, inputs)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert np.abs(Reference(path)(given)[0].astype(float) - session.run(None, given)[0].astype(float)).max() < within


def test_mean_and_inverse_come_along(tmp_path: Path) -> None:
    sizes = [2, 3, 4]
    given = feeds(np.float32, sizes, 1)
    y, mean, inverse = Reference(model(tmp_path, 1, sizes, 1, outputs=3))(given)
    assert y.shape == tuple(sizes)
    assert mean.shape == inverse.shape == (2, 1, 1)
    assert np.allclose(mean.ravel(), given["x"].mean((1, 2)))


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "Softmax", "MatMul", "GlobalAveragePool"])
def test_sums_in_float16_lose_nothing(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = (1 + rng.random((1, 8, 500, 3))).astype(np.float16)
    inputs, constants = ["x"], []
    if kind.startswith("Reduce"):
        inputs.append("axes")
        constants.append(onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axes"))
    elif kind == "MatMul":
        inputs.insert(0, "ones")
        constants.append(onnx.numpy_helper.from_array(np.full((1, 500), 1 / 512, np.float16), "ones"))
    attributes = {"axis": 2} if kind == "Softmax" else {}
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], **attributes)],
        "sum",
        [helper.make_tensor_value_info("x", 10, list(x.shape))],
        [helper.make_tensor_value_info("y", 10, None)],
        constants,
    )
    path = tmp_path / "sum.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    [y] = Reference(path)({"x": x})
    wide = x.astype(np.float64)
    right = {
        "ReduceMean": lambda: wide.mean((1, 2), keepdims=True),
        "ReduceSum": lambda: wide.sum((1, 2), keepdims=True),
        "Softmax": lambda: np.exp(wide) / np.exp(wide).sum(2, keepdims=True),
        "MatMul": lambda: wide.sum(2, keepdims=True) / 512,
        "GlobalAveragePool": lambda: wide.mean((2, 3), keepdims=True),
    }[kind]()
    assert y.dtype == np.float16
    assert np.abs(y - right).max() <= np.abs(right).max() * 2**-10


@pytest.mark.parametrize("opset", [9, 11, 12, 13])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 1, 2, 3])
def test_softmax_means_what_its_operator_set_says(kind: str, axis: int | None, opset: int, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    x = np.random.default_rng(2).standard_normal((2, 3, 4, 5)).astype(np.float32)
    attributes = {} if axis is None else {"axis": axis}
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["y"], **attributes)],
        "soft",
        [helper.make_tensor_value_info("x", 1, list(x.shape))],
        [helper.make_tensor_value_info("y", 1, list(x.shape))],
    )
    path = tmp_path / "soft.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    [theirs] = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    assert np.allclose(Reference(path)({"x": x})[0], theirs, atol=1e-6)
