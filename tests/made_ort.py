"""Requests to ONNX Runtime's adapter and small models that its settings have something to do in.

As a script it loads one model once for every set of options that it reads, in a process of its own, and prints how far
the answers are from those of the file's own graph: ``python tests/made_ort.py FOLDER < JSON``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from runtimes.base import Request, Tensor
from runtimes.errors import EngineError
from runtimes.options import resolve
from runtimes.ort import OrtCpu

Array = NDArray[Any]


def request(model: Path, cache: Path, threads: int = 1, sessions: int = 1, **options: Any) -> Request:
    """For a model with static inputs and outputs."""
    graph = onnx.load(str(model), load_external_data=False).graph
    cache.mkdir(exist_ok=True)
    inputs, outputs = (tuple(_tensor(value) for value in values) for values in (graph.input, graph.output))
    given = resolve("ort-cpu", OrtCpu.options, options)
    return Request(model, "0" * 64, inputs, outputs, "fp32", threads, sessions, given, cache)


def feeds(asked: Request, seed: int = 1) -> dict[str, Array]:
    """Numbers between 0 and 1."""
    generator = np.random.default_rng(seed)
    return {item.name: generator.random(item.shape, np.float32) for item in asked.inputs}


class Made:
    """A graph that grows node by node."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: dict[str, Array] = {}
        self.generator = np.random.default_rng(3)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node; its one output is returned."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any) -> str:
        """A weight."""
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(value)
        return name

    def normal(self, *shape: int) -> str:
        """A weight of small random numbers."""
        return self.constant((0.2 * self.generator.standard_normal(shape)).astype(np.float32))

    def rounded(self, value: str) -> str:
        """A pair of QuantizeLinear and DequantizeLinear."""
        scale, zero = self.constant(np.float32(0.05)), self.constant(np.uint8(128))
        return self.add("DequantizeLinear", self.add("QuantizeLinear", value, scale, zero), scale, zero)

    def save(self, path: Path, shape: tuple[int, ...], output: str, out: tuple[int, ...]) -> Path:
        """With the one input ``x``."""
        graph = helper.make_graph(
            self.nodes,
            "made",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, out)],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.save(model, str(path))
        return path


def float_model(path: Path) -> Path:
    """Convolutions of three kinds, side by side, then Gelu, constants to fold, conversions and a product."""
    made = Made()
    hidden = made.add("Relu", made.add("Conv", "x", made.normal(16, 16, 3, 3), made.normal(16), pads=[1, 1, 1, 1]))
    deep = made.add("Conv", hidden, made.normal(16, 1, 3, 3), group=16, pads=[1, 1, 1, 1])
    both = made.add("Add", deep, made.add("Conv", hidden, made.normal(16, 16, 1, 1)))
    flat = made.add("Reshape", both, made.constant(np.array([128, 8])))
    scaled = made.add("Div", flat, made.constant(np.float32(2**0.5)))
    erf = made.add("Add", made.add("Erf", scaled), made.constant(np.float32(1)))
    gelu = made.add("Mul", made.add("Mul", flat, erf), made.constant(np.float32(0.5)))
    shifted = made.add("Add", gelu, made.add("Mul", made.normal(128, 8), made.normal(128, 8)))
    there = made.add("Cast", made.add("Cast", shifted, to=TensorProto.DOUBLE), to=TensorProto.FLOAT16)
    back = made.add("Cast", there, to=TensorProto.FLOAT)
    product = made.add("Add", made.add("MatMul", back, made.normal(8, 8)), made.normal(8))
    return made.save(path, (1, 16, 8, 8), product, (128, 8))


def rounded_model(path: Path) -> Path:
    """A convolution that can be computed in 8 bits, values rounded twice, and a pair that nothing can use."""
    made = Made()
    twice = made.rounded(made.rounded("x"))
    kernel = made.constant(made.generator.integers(-50, 50, (16, 16, 1, 1)).astype(np.int8))
    weight = made.add("DequantizeLinear", kernel, made.constant(np.float32(0.01)), made.constant(np.int8(0)))
    convolved = made.rounded(made.add("Conv", twice, weight))
    # Sin has no kernel for 8 bits.
    output = made.add("Sin", made.rounded(made.add("Sin", convolved)))
    return made.save(path, (1, 16, 8, 8), output, (1, 16, 8, 8))


def _tensor(value: Any) -> Tensor:
    kind = value.type.tensor_type
    return Tensor(value.name, tuple(size.dim_value for size in kind.shape.dim), np.dtype(
        helper.tensor_dtype_to_np_dtype(kind.elem_type)).name)  # fmt: skip


def main() -> None:
    """Read sets of options with models and threads; print the largest differences."""
    folder = Path(sys.argv[1])
    adapter, started = OrtCpu(), False
    right: dict[Path, list[Any]] = {}
    found: list[float | str] = []
    for case in json.load(sys.stdin):
        model = Path(case["model"])
        asked = request(model, folder / "cache", case["threads"], case["sessions"], **case["options"])
        if not started:
            os.environ.update(adapter.environment(asked))
            adapter.start()
            started = True
        if model not in right:
            right[model] = ReferenceEvaluator(str(model)).run(None, feeds(asked))
        try:
            sessions = adapter.load(asked)
            answers = [session.run(feeds(asked)) for session in sessions for _ in range(2)]
            found.append(
                max(float(np.abs(a - b).max()) for got in answers for a, b in zip(got, right[model], strict=True))
            )
        except EngineError as error:
            found.append(str(error))
    sys.stdout.write(f"{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
