"""Weights and arithmetic in float16.

Variants, joined by ``_``: ``io32`` leaves inputs and outputs (states among them) in float32;
``ln32`` leaves normalisation in float32, whose squares are what leaves float16's range first.

Written anew: onnxconverter-common gives outputs that are read inside the wrong type, and does not
follow float32 through If, Loop, and sizes computed in floating point. This walks the graph in order,
knows the type of every value, and asks onnx's own schemas what an operator takes. What has no
float16 stays in float32 between Casts: foreign operators, quantisation (scales of 1e-8 would become
0), and numbers computed from sizes (float16 counts to 2048).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from models.surgery.base import Change
from models.surgery.fp16_nodes import Halving
from models.surgery.graphs import raise_ir, tidied

if TYPE_CHECKING:
    import onnx

    from models.surgery.base import Context
    from models.surgery.catalogue import Step


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Convert; a place is a node that computes in float16 where it computed in float32."""
    parts = step.facts.variant.split("_")
    source = tidied(model)
    halving = Halving(source, norms32="ln32" in parts)
    outside = TensorProto.FLOAT if "io32" in parts else TensorProto.FLOAT16
    result = halving.model(outside)
    raise_ir(result)
    notes = halving.weights.notes()
    if halving.foreign:
        kinds = ", ".join(f"{count} of {kind}" for kind, count in sorted(halving.foreign.items()))
        notes.append(f"operators outside the standard stayed in float32: {kinds}")
    if _crashes(result):
        notes.append(
            "some versions of ONNX Runtime crash on a MatMul behind a Transpose in float16, on x86-64 at the level all "
            "(issue 28392 of onnxruntime); the level extended is safe"
        )
    return Change(result, halving.places, tuple(notes))


def _crashes(model: onnx.ModelProto) -> bool:
    """Whether there is what ONNX Runtime 1.24 to 1.31 melt into an operator that they then stumble over."""
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    return any(made.get(name) == "Transpose" for node in products for name in node.input)
