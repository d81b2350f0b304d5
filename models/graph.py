"""A thin layer over ``onnx.helper``: named nodes, seeded weights, one place for opset and IR version."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

OPSET = 18
# IR 10 is read by every engine we drive; newer ones are not.
IR_VERSION = 10

STATES_KEY = "rtfloor.states"
PARAMETERS_KEY = "rtfloor.parameters"


class Graph:
    """Collects nodes and weights, then becomes a checked ``ModelProto``.

    Weights are seeded by model and tensor name alone, so they do not depend on the order in which
    a graph is built, nor on its batch or number of frames.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.parameters = 0
        self._seed = zlib.crc32(model.encode())
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name, which is the node's name."""
        return self.nodes(op, inputs, [name], name, **attributes)[0]

    def nodes(self, op: str, inputs: Sequence[str], outputs: Sequence[str], name: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs ("" for one that is not wanted); returns their names."""
        self._nodes.append(helper.make_node(op, list(inputs), list(outputs), name=name, **attributes))
        return list(outputs)

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Add an initializer that nobody trained; a second call with the same name keeps the first value."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def trained(self, name: str, value: NDArray[Any]) -> str:
        """Add an initializer whose values count as trained parameters; names must be new."""
        if name in self._initializers:
            raise ValueError(f"two weights of {self.model} are called {name!r}")
        self.parameters += value.size
        return self.constant(name, value)

    def weight(self, name: str, shape: Sequence[int], scale: float, offset: float = 0.0) -> str:
        """Add a seeded normal weight of the given shape: ``offset + scale * N(0, 1)``, float32."""
        values = offset + scale * self.generator(name).standard_normal(tuple(shape))
        return self.trained(name, values.astype(np.float32))

    def finish(
        self,
        inputs: Mapping[str, Sequence[int]],
        outputs: Mapping[str, Sequence[int]],
        states: Mapping[str, str] | None = None,
    ) -> onnx.ModelProto:
        """The model, checked by ``onnx.checker`` with full shape inference.

        Args:
            inputs: name -> shape, float32, states among them.
            outputs: the same of what comes out.
            states: state input -> the output that is fed back into it on the next call.
        """
        graph = helper.make_graph(
            self._nodes,
            self.model,
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in outputs.items()],
            list(self._initializers.values()),
        )
        model = helper.make_model(
            graph, producer_name="rtfloor", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        notes = {PARAMETERS_KEY: str(self.parameters), STATES_KEY: json.dumps(dict(states or {}))}
        helper.set_model_props(model, notes)
        onnx.checker.check_model(model, full_check=True)
        return model

    def generator(self, tensor: str) -> np.random.Generator:
        """Random numbers that belong to one tensor of this model."""
        return np.random.default_rng([self._seed, zlib.crc32(tensor.encode())])


def noted_states(model: onnx.ModelProto) -> dict[str, str]:
    """State input -> output, as :meth:`Graph.finish` noted them in the file; empty for foreign files."""
    notes = {entry.key: entry.value for entry in model.metadata_props}
    return dict(json.loads(notes.get(STATES_KEY, "{}")))


def noted_parameters(model: onnx.ModelProto) -> int | None:
    """Trained values, as :meth:`Graph.finish` counted them; None for foreign files."""
    notes = {entry.key: entry.value for entry in model.metadata_props}
    return int(notes[PARAMETERS_KEY]) if PARAMETERS_KEY in notes else None
