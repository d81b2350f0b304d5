"""What is in a graph, as a card says it: operators, precision, weights, work."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import onnx

from models.cost import cost
from models.errors import ModelError
from models.userfile import tensors
from models.walk import all_nodes, subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLOATS = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
_INT4 = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4}
# QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, QLinearConv, ConvInteger, QAttention, …
_QUANTISED = re.compile(r"Quantize|Integer|(^|::)(QLinear|QGemm|QAttention|DynamicQuant)")


def contents(model: onnx.ModelProto) -> dict[str, Any]:
    """The part of a card that a graph tells of itself: nodes, operators, operator set, precision, work."""
    counts = Counter(
        f"{n.domain}::{n.op_type}" if n.domain not in {"", "ai.onnx"} else n.op_type for n in all_nodes(model.graph)
    )
    opset = max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)
    return {
        "nodes": counts.total(),
        "operators": dict(sorted(counts.items())),
        "opset": opset,
        "precision": _precision(model, set(counts)),
        "work": _work(model),
    }


def _work(model: onnx.ModelProto) -> dict[str, Any]:
    """What one call costs; empty where sizes are open or a graph cannot be looked through."""
    try:
        return cost(model).to_json()
    except ModelError:
        return {}


def _precision(model: onnx.ModelProto, operators: set[str]) -> str:
    kinds = onnx.TensorProto
    stored = {tensor.data_type for tensor in tensors(model)}
    stored |= {value.type.tensor_type.elem_type for value in model.graph.input}
    types = stored | set(_inner_types(model))
    if types & _INT4 or any(name.endswith("MatMulNBits") for name in operators):
        return "int4"
    if any(_QUANTISED.search(name) for name in operators):
        return "int8"
    for kind, name in ((kinds.BFLOAT16, "bf16"), (kinds.FLOAT16, "fp16"), (kinds.FLOAT, "fp32")):
        if kind in types:
            return name
    return "fp64" if kinds.DOUBLE in stored else "fp32"


def _inner_types(model: onnx.ModelProto) -> Iterator[int]:
    """Element types that the graph computes in, as far as it says so: noted values and casts."""
    for body in (model.graph, *model.functions):
        for node in all_nodes(body):
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.name == "to":
                    yield attribute.i
            for sub in subgraphs(node):
                yield from (value.type.tensor_type.elem_type for value in (*sub.output, *sub.value_info))
    for value in (*model.graph.output, *model.graph.value_info):
        yield value.type.tensor_type.elem_type


def weights_counted(model: onnx.ModelProto) -> int:
    """Values that look trained, for a file that does not say: all floating-point weights but scalars."""
    # Scalars are epsilons and exponents of the exporter, not something that was trained.
    return sum(math.prod(t.dims) for t in tensors(model) if t.dims and t.data_type in _FLOATS)
