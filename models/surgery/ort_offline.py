"""The graph as ONNX Runtime rewrites it when it loads, saved: what loading pays for is paid once.

The pass's variant is the level. ``basic`` leaves standard operators; ``extended`` fuses into those of
``com.microsoft``; ``all`` also lays values out for this kind of processor (``com.microsoft.nchwc``).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from models.errors import ModelError
from models.surgery.base import Change
from models.surgery.graphs import differing, drop_unused_imports, first_line, keep_notes, raise_ir, tidied
from models.surgery.rewrite import is_standard, opset
from models.walk import all_nodes

if TYPE_CHECKING:
    from models.surgery.base import Context
    from models.surgery.catalogue import Step


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Save what ONNX Runtime makes of it; a place is a node that is new or gone."""
    if context.ort is None:
        raise ModelError(f"{step.text} is done by ONNX Runtime, which is not installed: pip install 'rtfloor[cpu]'")
    source = tidied(model)
    with tempfile.TemporaryDirectory(prefix="rtfloor-ort-") as folder:
        before, after = Path(folder) / "model.onnx", Path(folder) / "optimised.onnx"
        before.write_bytes(source.SerializeToString())
        try:
            context.ort.optimise(before, after, step.facts.variant)
        except Exception as error:
            raise ModelError(first_line(error)) from error
        result = onnx.load(str(after))
    keep_notes(result, source)
    del result.graph.value_info[:]
    drop_unused_imports(result)
    raise_ir(result)
    places = differing(model, result)
    private = _private(result)
    notes = tuple(_notes(source, result, step, private)) if places else ()
    return Change(result, places, notes, checkable=not private)


def _private(model: onnx.ModelProto) -> list[str]:
    """Operators that ONNX Runtime has put into the standard domain, where the standard has none such.

    It does so with LayerNormalization before operator set 17, and SimplifiedLayerNormalization.
    """
    found = set()
    for node in all_nodes(model.graph):
        if is_standard(node):
            try:
                onnx.defs.get_schema(node.op_type, opset(model), "")
            except onnx.defs.SchemaError:
                found.add(node.op_type)
    return sorted(found)


def _notes(before: onnx.ModelProto, after: onnx.ModelProto, step: Step, private: list[str]) -> list[str]:
    notes = []
    old, new = (Counter(node.domain for node in all_nodes(m.graph) if not is_standard(node)) for m in (before, after))
    foreign = {domain: count for domain, count in sorted(new.items()) if count > old[domain]}
    if foreign:
        shown = ", ".join(f"{count} of {domain}" for domain, count in foreign.items())
        notes.append(f"it has operators of ONNX Runtime alone ({shown}); other engines will refuse it")
    if private:
        notes.append(
            f"it has operators that are not in its operator set ({', '.join(private)}): ONNX Runtime knows them"
        )
    if step.facts.variant == "all":
        notes.append("it was made for processors of this kind: on another, ONNX Runtime may refuse it or be slower")
    return notes
