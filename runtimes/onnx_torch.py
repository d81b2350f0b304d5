"""An ONNX graph as a ``torch.nn.Module``: the nodes in order, through our own operator table.

Everything static is settled while the module is made: shapes, axes, index tables, whatever does not
depend on the inputs. What is left for a call is one PyTorch function per node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnx import helper, numpy_helper

from runtimes.errors import EngineError, UnsupportedError, engine_error
from runtimes.onnx_torch_node import Node, torch_dtype
from runtimes.onnx_torch_ops import OPERATORS as PLAIN
from runtimes.onnx_torch_signal import OPERATORS as SIGNAL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPERATORS = {**PLAIN, **SIGNAL}

# Before opset 11 several operators took as attributes what the table reads from inputs.
OLDEST_OPSET = 11


@dataclass(frozen=True)
class Step:
    """One call: ``outputs = function(*inputs)``; afterwards nobody needs ``dead`` any more."""

    function: Callable[..., Any]
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    dead: tuple[str, ...] = ()


class OnnxModule(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The graph, called with its inputs in order; answers with a tuple of its outputs in order."""

    def __init__(self, inputs: list[str], outputs: list[str], steps: list[Step], weights: dict[str, Any]) -> None:
        super().__init__()
        self.inputs = inputs
        self.outputs = outputs
        self.steps = steps
        # ONNX names may hold dots, which buffer names must not.
        self.weights = {name: f"weight_{index}" for index, name in enumerate(weights)}
        for name, value in weights.items():
            self.register_buffer(self.weights[name], value)

    def forward(self, *tensors: Any) -> tuple[Any, ...]:
        """Walk the steps."""
        values: dict[str | None, Any] = {None: None}
        values.update(zip(self.inputs, tensors, strict=True))
        buffers = self._buffers
        for name, buffer in self.weights.items():
            values[name] = buffers[buffer]
        for step in self.steps:
            answer = step.function(*[values[name] for name in step.inputs])
            if isinstance(answer, tuple):
                values.update(zip(step.outputs, answer, strict=False))
            else:
                values[step.outputs[0]] = answer
            for name in step.dead:
                del values[name]
        return tuple([values[name] for name in self.outputs])


def load_module(path: Path) -> OnnxModule:
    """Read an ONNX file.

    Raises:
        UnsupportedError: an operator, or a use of one, that the table does not cover.
        EngineError: PyTorch refused a node.
    """
    return build_module(onnx.load(path))


def build_module(model: onnx.ModelProto) -> OnnxModule:
    """Turn a graph with static input shapes into a module. Raises as :func:`load_module`."""
    walk = _Walk(model)
    for proto in model.graph.node:
        walk.visit(proto)
    return walk.finish()


class _Walk:
    """The state of one pass over the graph: what is known, the shapes of the rest, the steps so far."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self._opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)
        if self._opset < OLDEST_OPSET:
            raise UnsupportedError(
                f"torch: opset {self._opset} is not supported by the graph walk; "
                f"convert the model to {OLDEST_OPSET} or newer"
            )
        # Copied: an initializer may be a read-only view of the file's bytes.
        self._known = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
        self._inputs = [value.name for value in graph.input if value.name not in self._known]
        self._outputs = [value.name for value in graph.output]
        self._shaped = {value.name: _shaped(value) for value in graph.input if value.name not in self._known}
        self._steps: list[Step] = []

    def visit(self, proto: onnx.NodeProto) -> None:
        """Append the node's step, or its results when they are known already."""
        names = [name or None for name in proto.input]
        node = self._node(proto, names)
        builder = OPERATORS.get(proto.op_type) if proto.domain in {"", "ai.onnx"} else None
        if builder is None:
            domain = f"{proto.domain}." if proto.domain else ""
            raise UnsupportedError(
                f"torch: operator {domain}{proto.op_type} is not supported by the graph walk (node {node.name!r})"
            )
        try:
            answer = builder(node)
            if torch.is_tensor(answer):
                self._known[proto.output[0]] = answer
                return
            self._append(node, answer, [name for index, name in enumerate(names) if index not in node.consumed])
        except EngineError:
            raise
        except Exception as error:  # every failure of a foreign library becomes a row
            raise engine_error(f"torch: {proto.op_type} (node {node.name!r})", error) from error

    def finish(self) -> OnnxModule:
        """The module, with the weights that some step or output still needs."""
        last: dict[str, int] = {}
        for index, step in enumerate(self._steps):
            last.update({name: index for name in (*step.inputs, *step.outputs) if name})
        dead: dict[int, list[str]] = {}
        for name, index in last.items():
            if name not in self._outputs:
                dead.setdefault(index, []).append(name)
        steps = [replace(step, dead=tuple(dead.get(index, ()))) for index, step in enumerate(self._steps)]
        needed = {name for step in steps for name in step.inputs} | set(self._outputs)
        weights = {name: value for name, value in self._known.items() if name in needed}
        return OnnxModule(self._inputs, self._outputs, steps, weights)

    def _node(self, proto: onnx.NodeProto, names: list[str | None]) -> Node:
        return Node(
            op=proto.op_type,
            name=proto.name or proto.output[0],
            opset=self._opset,
            attributes={entry.name: _plain(helper.get_attribute_value(entry)) for entry in proto.attribute},
            shapes=[tuple(self._value(name).shape) if name else None for name in names],
            known=[self._known.get(name) if name else None for name in names],
            outputs=list(proto.output),
        )

    def _append(self, node: Node, function: Callable[..., Any], names: list[str | None]) -> None:
        while names and names[-1] is None:
            names.pop()
        for index, value in enumerate(node.added):
            name = f"{node.outputs[0]}:{index}"
            self._known[name] = value
            names.append(name)
        outputs = tuple(node.outputs)
        known = all(name is None or name in self._known for name in names)
        if known:
            answer = function(*[self._known[name] if name else None for name in names])
            self._known.update(_named(outputs, answer))
            return
        # Shapes come from a run on the device without data.
        answer = function(*[self._value(name).to("meta") if name else None for name in names])
        self._shaped.update(_named(outputs, answer))
        self._steps.append(Step(function, tuple(names), outputs))

    def _value(self, name: str) -> Any:
        if name in self._known:
            return self._known[name]
        if name not in self._shaped:
            raise EngineError(f"torch: nothing produces {name!r} before it is used")
        return self._shaped[name]


def _named(outputs: tuple[str, ...], answer: Any) -> dict[str, Any]:
    answers = answer if isinstance(answer, tuple) else (answer,)
    return dict(zip(outputs, answers, strict=False))


def _shaped(value: onnx.ValueInfoProto) -> Any:
    kind = value.type.tensor_type
    shape = [dim.dim_value for dim in kind.shape.dim]
    return torch.empty(shape, dtype=torch_dtype(kind.elem_type), device="meta")


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value
