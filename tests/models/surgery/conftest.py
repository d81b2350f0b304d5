"""Graphs to operate on, and the question whether they still say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.compare import compare, verdict
from models.reference import Reference
from models.signature import real_inputs
from models.surgery.base import Context
from models.surgery.catalogue import form_precision, parse_form
from models.surgery.chain import Done, operate

if TYPE_CHECKING:
    from pathlib import Path

Feeds = dict[str, Any]
Operate = Callable[..., onnx.ModelProto]
Port = tuple[str, Sequence[int | str | None] | None] | tuple[str, Sequence[int | str | None] | None, int]
Draw = Callable[..., Any]


@pytest.fixture
def draw() -> Draw:
    """``draw(2, 3)``: seeded normal float32 values, smaller where there are more of them to be summed."""
    generator = np.random.default_rng(3)
    return lambda *shape: (generator.standard_normal(shape) / max(1, shape[0] if shape else 1) ** 0.5).astype("f")


@pytest.fixture
def graph() -> Callable[..., onnx.ModelProto]:
    """``graph(nodes, inputs, outputs, weights, opset=18)``; float32 where a port names no type."""

    def value(port: Port) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(port[0], port[2] if len(port) > 2 else TensorProto.FLOAT, port[1])

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        weights: Mapping[str, Any] | None = None,
        *,
        opset: int = 18,
        ir: int = 8,
        domains: Sequence[str] = (),
    ) -> onnx.ModelProto:
        tensors = [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()]
        body = helper.make_graph(list(nodes), "net", [*map(value, inputs)], [*map(value, outputs)], tensors)
        imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
        model = helper.make_model(body, opset_imports=imports, ir_version=ir, producer_name="exporter")
        helper.set_model_props(model, {"rtfloor.parameters": "7", "author": "somebody"})
        return model

    return make


@pytest.fixture
def form() -> Operate:
    """``form(model, "fp16+opset21")``: the new model; the old one, and its notes, must be as they were."""

    def apply(model: onnx.ModelProto, name: str, done: list[Done] | None = None, **context: Any) -> onnx.ModelProto:
        before = model.SerializeToString(deterministic=True)
        result, steps = operate(model, parse_form(name), Context(**context), "net")
        assert model.SerializeToString(deterministic=True) == before
        assert list(result.metadata_props) == list(model.metadata_props)
        assert result.producer_name == model.producer_name
        assert result.graph.name == model.graph.name
        if done is not None:
            done += steps
        return result

    return apply


@pytest.fixture
def answer(tmp_path: Path) -> Callable[[onnx.ModelProto, Feeds], list[Any]]:
    """The reference evaluator's answers, inputs cast to what the graph takes."""

    def run(model: onnx.ModelProto, feeds: Feeds) -> list[Any]:
        path = tmp_path / "asked.onnx"
        onnx.save(model, path)
        kinds = {v.name: helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type) for v in real_inputs(model)}
        return Reference(path)({name: np.asarray(value).astype(kinds[name]) for name, value in feeds.items()})

    return run


@pytest.fixture
def same(answer: Callable[[onnx.ModelProto, Feeds], list[Any]]) -> Callable[..., None]:
    """``same(before, after, feeds, "fp16")``: both answer alike, as far as the form's precision goes."""

    def check(before: onnx.ModelProto, after: onnx.ModelProto, feeds: Feeds, name: str) -> None:
        expected = answer(before, feeds)
        got = [value.astype(like.dtype) for value, like in zip(answer(after, feeds), expected, strict=True)]
        error = compare(expected, got, [value.name for value in before.graph.output])
        assert verdict(error, form_precision(name), "the graph before", subject=name) is None

    return check


@pytest.fixture
def ort_answer() -> Callable[[onnx.ModelProto, Feeds], list[Any]]:
    """ONNX Runtime's answers."""
    ort = pytest.importorskip("onnxruntime")

    def run(model: onnx.ModelProto, feeds: Feeds) -> list[Any]:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        answers: list[Any] = session.run(None, feeds)
        return answers

    return run
