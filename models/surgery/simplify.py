"""Constants folded and no-ops removed, by onnxsim, which is what people do to an export first.

onnxsim is an optional dependency. What it says about itself in the file's metadata is left out.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from typing import TYPE_CHECKING, Any

from models.errors import ModelError
from models.surgery.base import Change
from models.surgery.graphs import differing, first_line, keep_notes, raise_ir, tidied

if TYPE_CHECKING:
    import onnx

    from models.surgery.base import Context
    from models.surgery.catalogue import Step


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Simplify; a place is a node that is new or gone."""
    try:
        # By name: the library is optional, and untyped.
        onnxsim: Any = importlib.import_module("onnxsim")
    except ImportError as error:
        raise ModelError(
            f"{step.text} is done by onnxsim, which is not installed: pip install 'rtfloor[surgery]'"
        ) from error
    source = tidied(model)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            result, _ = onnxsim.simplify(source)
    except Exception as error:
        raise ModelError(f"onnxsim cannot simplify this graph: {first_line(error)}") from error
    keep_notes(result, source)
    del result.graph.value_info[:]
    raise_ir(result)
    return Change(result, differing(model, result))
