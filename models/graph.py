"""A thin layer over ``onnx.helper``: named nodes, seeded weights, one place for opset and IR version."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OPSET = 18
# IR 10 is read by every engine we drive; newer ones are not.
IR_VERSION = 10


class Graph:
    """Collects nodes and weights, then becomes a checked ``ModelProto``.

    Weights are seeded by model and tensor name alone, so two forms of one model share their
    weights to the bit, whatever order they are built in.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output; returns the output's name, which is the node's name."""
        self._nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Add an initializer once; a second call with the same name keeps the first value."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def weight(self, name: str, shape: Sequence[int], scale: float, offset: float = 0.0) -> str:
        """Add a seeded normal weight of the given shape: ``offset + scale * N(0, 1)``, float32."""
        values = offset + scale * self.generator(name).standard_normal(tuple(shape))
        return self.constant(name, values.astype(np.float32))

    def finish(
        self, inputs: dict[str, Sequence[int]], outputs: dict[str, Sequence[int]], facts: dict[str, str]
    ) -> onnx.ModelProto:
        """The model, checked by ``onnx.checker`` with full shape inference."""
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
        helper.set_model_props(model, facts)
        onnx.checker.check_model(model, full_check=True)
        return model

    def generator(self, tensor: str) -> np.random.Generator:
        """Random numbers that belong to one tensor of this model, in every form."""
        return np.random.default_rng([zlib.crc32(self.model.encode()), zlib.crc32(tensor.encode())])
