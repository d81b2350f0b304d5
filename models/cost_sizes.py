"""The size of every tensor of a graph, found without running it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, inliner, numpy_helper

from models.errors import ModelError
from models.signature import real_inputs

# Types whose names do not end in their number of bits.
_NAMED_BITS = {"FLOAT": 32, "DOUBLE": 64, "BOOL": 8}
# Initializers up to here are shown to shape inference, which reads axes and sizes from them.
_SHAPE_LIKE = 1024


@dataclass(frozen=True)
class Tensor:
    """What is known of one tensor.

    Attributes:
        name: as in the graph.
        shape: its sizes; None while one of them is unknown.
        bits: per element; None for strings and for what is no tensor.
    """

    name: str
    shape: tuple[int, ...] | None
    bits: int | None

    @property
    def known(self) -> bool:
        """Whether its bytes can be told."""
        return self.shape is not None and self.bits is not None

    @property
    def elements(self) -> int:
        """Number of values; 1 for a scalar."""
        assert self.shape is not None
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes as stored: 4-bit types in pairs."""
        return self.bytes_of(self.elements)

    def bytes_of(self, elements: int) -> int:
        """Bytes of so many values of this type."""
        assert self.bits is not None
        return -(-elements * self.bits // 8)


def static(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with every size that strict shape inference finds, without the values of large weights.

    Functions that the file defines itself are written out in place.

    Args:
        model: a graph whose input sizes are static; external data need not be loaded.

    Raises:
        ModelError: an input has an open size, or the graph contradicts itself.
    """
    light = onnx.ModelProto()
    light.CopyFrom(model)
    for tensor in light.graph.initializer:
        if math.prod(tensor.dims) > _SHAPE_LIKE:
            _forget_values(tensor)
    for value in real_inputs(light):
        shape = _shape(value)
        # A size of 0 is how some exporters write an open one.
        if shape is None or 0 in shape:
            raise ModelError(
                f"input {value.name!r} has sizes that are not static, so its cost cannot be told; "
                "fix every size first (--shape)"
            )
    try:
        if light.functions:
            light = inliner.inline_local_functions(light)
        asked = onnx.ModelProto()
        asked.CopyFrom(light)
        for node in asked.graph.node:
            # onnx knows no sizes for it, and gives up on whatever comes next.
            if node.op_type == "GroupNormalization" and node.domain in {"", "ai.onnx"}:
                node.op_type = "Identity"
                del node.input[1:], node.attribute[:]
        found = onnx.shape_inference.infer_shapes(asked, strict_mode=True, data_prop=True)
    except Exception as error:  # noqa: BLE001  # a broken graph raises several types; the user wants one sentence
        raise ModelError(f"the sizes in this graph cannot be worked out, so its cost cannot be told: {error}") from None
    for answers, values in ((found.graph.value_info, light.graph.value_info), (found.graph.output, light.graph.output)):
        del values[:]
        values.extend(answers)
    return light


def tensors(model: onnx.ModelProto) -> dict[str, Tensor]:
    """Every named tensor of the main graph; what :func:`static` found no size for is there with None.

    Args:
        model: what :func:`static` returned.
    """
    graph = model.graph
    found = {value.name: _value(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    found |= weights(model)
    for node in graph.node:
        for name in (*node.input, *node.output):
            if name:
                found.setdefault(name, Tensor(name, None, None))
    return found


def weights(model: onnx.ModelProto) -> dict[str, Tensor]:
    """Everything that the file stores: initializers and ``Constant`` nodes of the main graph, by name."""
    found = [(t.name, t) for t in model.graph.initializer]
    found += [(node.output[0], _constant(node)) for node in model.graph.node if node.op_type == "Constant"]
    return {name: Tensor(name, tuple(tensor.dims), bits(tensor.data_type)) for name, tensor in found}


def scalars(model: onnx.ModelProto) -> dict[str, float]:
    """The values of stored scalars, such as exponents, by name."""
    found = [(t.name, t) for t in model.graph.initializer]
    found += [(node.output[0], _constant(node)) for node in model.graph.node if node.op_type == "Constant"]
    return {
        name: float(numpy_helper.to_array(tensor).reshape(()))
        for name, tensor in found
        if math.prod(tensor.dims) == 1 and bits(tensor.data_type) and tensor.data_location != TensorProto.EXTERNAL
    }


def bits(kind: int) -> int | None:
    """Bits per element of a ``TensorProto.DataType``; None for strings and undefined ones."""
    name = TensorProto.DataType.Name(kind) if kind in TensorProto.DataType.values() else ""
    digits = re.search(r"\d+", name)
    return _NAMED_BITS.get(name) or (int(digits[0]) if digits else None)


def _forget_values(tensor: onnx.TensorProto) -> None:
    name, dims, kind = tensor.name, list(tensor.dims), tensor.data_type
    tensor.Clear()
    tensor.name, tensor.data_type = name, kind
    tensor.dims.extend(dims)


def _value(value: onnx.ValueInfoProto) -> Tensor:
    return Tensor(value.name, _shape(value), bits(value.type.tensor_type.elem_type))


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    if any(not dim.HasField("dim_value") or dim.dim_value < 0 for dim in kind.shape.dim):
        return None
    return tuple(dim.dim_value for dim in kind.shape.dim)


def _constant(node: onnx.NodeProto) -> onnx.TensorProto:
    """What a Constant node stores; of the type "undefined" for text and for sparse tensors."""
    stored = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    if "value" in stored:
        tensor: onnx.TensorProto = stored["value"]
        return tensor
    for key, kind in (("float", np.float32), ("floats", np.float32), ("int", np.int64), ("ints", np.int64)):
        if f"value_{key}" in stored:
            return numpy_helper.from_array(np.array(stored[f"value_{key}"], kind))
    return TensorProto()
