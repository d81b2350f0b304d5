"""Small graphs to be written, broken and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

Ports = Mapping[str, tuple[Sequence[int | str | None] | None, int]]
MakeModel = Callable[..., onnx.ModelProto]


def _value(name: str, shape: Sequence[int | str | None] | None, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.fixture
def make_model() -> MakeModel:
    """``make_model(nodes, inputs, outputs, weights)``: a graph from plain values, unchecked."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: Ports,
        outputs: Ports,
        weights: Mapping[str, Any] | None = None,
        opset: int = 18,
        domains: Sequence[str] = (),
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(nodes),
            "tiny",
            [_value(n, *port) for n, port in inputs.items()],
            [_value(n, *port) for n, port in outputs.items()],
            [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
        )
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)

    return make


@pytest.fixture
def linear(make_model: MakeModel) -> onnx.ModelProto:
    """``y = x @ w`` with a symbolic batch."""
    return make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        {"x": (["batch", 4], TensorProto.FLOAT)},
        {"y": (["batch", 3], TensorProto.FLOAT)},
        {"w": np.arange(12, dtype=np.float32).reshape(4, 3) / 10},
    )


@pytest.fixture
def gru(make_model: MakeModel) -> onnx.ModelProto:
    """One GRU step per frame, its state in and out, as streaming models are exported."""
    draw = np.random.default_rng(5).standard_normal
    return make_model(
        [helper.make_node("GRU", ["x", "W", "R", "", "", "h_in"], ["y", "h_out"], hidden_size=3, name="memory")],
        {"x": (["frames", "batch", 2], TensorProto.FLOAT), "h_in": ([1, "batch", 3], TensorProto.FLOAT)},
        {"y": (["frames", 1, "batch", 3], TensorProto.FLOAT), "h_out": ([1, "batch", 3], TensorProto.FLOAT)},
        {"W": draw((1, 9, 2)).astype(np.float32), "R": draw((1, 9, 3)).astype(np.float32)},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """``saved(model, name)``: the path of the file."""

    def save(model: onnx.ModelProto, name: str = "model.onnx") -> Path:
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return save
