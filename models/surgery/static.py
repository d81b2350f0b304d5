"""Every input size fixed, as engines that plan ahead like it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.signature import fix_shapes, real_inputs, signature
from models.surgery.base import Change
from models.surgery.graphs import still_open, tidied
from models.walk import all_nodes

if TYPE_CHECKING:
    import onnx

    from models.surgery.base import Context
    from models.surgery.catalogue import Step


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Fix sizes: those that were given, else 1 where only the first is open; a place is an input."""
    inputs, _, is_open = signature(model, still_open(model, context.shapes))
    if not is_open:
        return Change(model, 0)
    before = real_inputs(model)
    result = fix_shapes(tidied(model), inputs)
    changed = sum(
        old.SerializeToString() != new.SerializeToString() for old, new in zip(before, real_inputs(result), strict=True)
    )
    notes: tuple[str, ...] = ()
    if any(node.op_type in {"If", "Loop"} for node in all_nodes(result.graph)):
        notes = (
            "it has If or Loop nodes: fixed sizes can contradict a branch that is not taken, which engines refuse",
        )
    return Change(result, changed, notes)
