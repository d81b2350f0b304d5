"""Weights and values in 8 bits, by ONNX Runtime's quantisers.

Variants:

* ``static``: convolutions and matrix products between QuantizeLinear and DequantizeLinear, scales
  taken from representative calls, one per output channel for weights. All of it is standard;
* ``dynamic``: DynamicQuantizeLinear with MatMulInteger or ConvInteger, scales taken from each call.
  For an LSTM there is no standard operator: it becomes ONNX Runtime's own DynamicQuantizeLSTM.

The quantisers know neither nodes without names nor weights that are computed, and per-channel scales
came with operator set 13: all of that is put in order first.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from models.errors import ModelError
from models.signature import real_inputs
from models.surgery.base import Change
from models.surgery.graphs import (
    called,
    drop_unused_imports,
    first_line,
    fold_weights,
    keep_notes,
    name_nodes,
    plain_gemms,
    raise_ir,
    tidied,
)
from models.surgery.opset import convert
from models.surgery.rewrite import is_standard, opset
from models.walk import all_nodes

if TYPE_CHECKING:
    from models.surgery.base import Context, Feeds
    from models.surgery.catalogue import Step

_LEAST_OPSET = 13
_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM"})
_ROUNDED = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"}
_QUANTISED = {"MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM"}


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Quantise; a place is an operator that works on 8 bits."""
    tools = context.ort
    if tools is None:
        raise ModelError(f"{step.text} is done by ONNX Runtime, which is not installed: pip install 'rtfloor[cpu]'")
    rounded = next((node for node in all_nodes(model.graph) if node.op_type in _ROUNDED), None)
    if rounded is not None:
        raise ModelError(f"the graph is quantised already: it has {called(rounded)}; quantise the one it was made of")
    notes = []
    source = tidied(model)
    if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in source.graph.initializer):
        raise ModelError(
            "the graph is in float16, whose range is too small for the scales; quantise first, as int8+fp16"
        )
    if opset(source) < _LEAST_OPSET:
        notes.append(f"the operator set went from {opset(source)} to {_LEAST_OPSET}: scales per channel need it")
        source = convert(source, _LEAST_OPSET)
    fold_weights(source, _WEIGHTED)
    plain_gemms(source)
    name_nodes(source)
    if not any(node.op_type in _WEIGHTED and is_standard(node) for node in all_nodes(source.graph)):
        return Change(model, 0)
    feeds = [_fitted(call, source) for call in context.calibration()] if step.facts.variant == "static" else []
    with tempfile.TemporaryDirectory(prefix="rtfloor-int8-") as folder:
        before, after = Path(folder) / "model.onnx", Path(folder) / "quantised.onnx"
        before.write_bytes(source.SerializeToString())
        try:
            if step.facts.variant == "static":
                tools.quantise_static(before, after, feeds)
            else:
                tools.quantise_dynamic(before, after)
        except Exception as error:
            raise ModelError(f"{first_line(error)}; try it after sim, or with another form") from error
        # They do not see what branches read from outside, and may put it behind them.
        result = tidied(onnx.load(str(after)))
    keep_notes(result, source)
    del result.graph.value_info[:]
    drop_unused_imports(result)
    raise_ir(result)
    foreign = sorted({f"{node.domain}::{node.op_type}" for node in result.graph.node if not is_standard(node)})
    if foreign and not any(not is_standard(node) for node in source.graph.node):
        notes.append(f"it has operators of ONNX Runtime alone: {', '.join(foreign)}")
    return Change(result, _places(result), tuple(notes))


def _places(model: onnx.ModelProto) -> int:
    scaled = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return sum(
        node.op_type in _QUANTISED or (node.op_type in _WEIGHTED and len(scaled & set(node.input[:2])) == 2)
        for node in model.graph.node
    )


def _fitted(call: Feeds, model: onnx.ModelProto) -> Feeds:
    """A call as this graph takes it: a pass before may have changed the batch or the element type."""
    fitted = {}
    for value in real_inputs(model):
        if value.name not in call:
            raise ModelError(f"the calls to calibrate with have no input {value.name!r}")
        given, tensor = np.asarray(call[value.name]), value.type.tensor_type
        dims = [d.dim_value for d in tensor.shape.dim] if tensor.HasField("shape") else list(given.shape)
        wanted = [dim or size for dim, size in zip(dims, given.shape, strict=False)]
        if len(dims) != given.ndim or any(dim % size for dim, size in zip(wanted, given.shape, strict=True)):
            raise ModelError(
                f"input {value.name!r} has the shape {tuple(dims)}, a call to calibrate with {given.shape}"
            )
        repeats = [dim // size for dim, size in zip(wanted, given.shape, strict=True)]
        fitted[value.name] = np.tile(given, repeats).astype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return fitted
