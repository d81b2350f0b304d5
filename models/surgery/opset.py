"""The standard operator set converted: up by onnx's own converter, down by us.

Upwards ``onnx.version_converter`` is right for nearly everything; where it is not
(``Resize`` of set 10, ``GroupNormalization`` of sets 18 to 20, ``Hardmax``) the graph is put right
before it sees it. Downwards it gives up at the first ``Pow``, so :mod:`models.surgery.opset_down`
does that, as far as operator set 13. Every operator of foreign domains stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper, version_converter

from models.errors import ModelError
from models.surgery.base import Change
from models.surgery.graphs import STANDARD, called, differing, first_line, keep_notes, raise_ir, set_attribute, tidied
from models.surgery.opset_down import LOWEST, lowered
from models.surgery.rewrite import Names, View, attribute, is_standard, opset
from models.walk import all_nodes

if TYPE_CHECKING:
    from models.surgery.base import Context
    from models.surgery.catalogue import Step

# Up to here an axis split a tensor in two; since, it is one axis.
_LAST_COERCING = 12
_RESIZE_HAD_NO_SAY = 10
_GROUP_NORM_PER_CHANNEL = 21


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Convert to the step's number."""
    target = step.number or 0
    if opset(model) == target:
        return Change(model, 0)
    result = convert(model, target)
    return Change(result, max(1, differing(tidied(model), result)))


def convert(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """A copy of the model in another version of the standard operator set.

    Raises:
        ModelError: no such version, or an operator that cannot be said in it.
    """
    newest = onnx.defs.onnx_opset_version()
    if not any(entry.domain in STANDARD for entry in model.opset_import):
        raise ModelError("the graph names no standard operator set, so there is none to convert; export it again")
    if not 1 <= version <= newest:
        raise ModelError(
            f"there is no operator set {version}: onnx {onnx.__version__} knows 1 to {newest}; "
            "a newer onnx may know more (pip install -U onnx)"
        )
    result, now = tidied(model), opset(model)
    if now > newest:
        raise ModelError(
            f"the graph is of operator set {now}, and onnx {onnx.__version__} knows 1 to {newest}: "
            "install a newer onnx (pip install -U onnx)"
        )
    if version < now:
        if version < LOWEST:
            raise ModelError(
                f"operator set {now} can be taken down to {LOWEST}, not to {version}: "
                "before, operators of the same name mean other things; export the model again"
            )
        result = lowered(result, version)
    elif version > now:
        result = _raised(result, now, version)
    raise_ir(result)
    return result


def _raised(model: onnx.ModelProto, now: int, version: int) -> onnx.ModelProto:
    if now < _RESIZE_HAD_NO_SAY < version and any(node.op_type == "Upsample" for node in all_nodes(model.graph)):
        # On the way from Upsample to Resize the converter drops what it does not know.
        model, now = _raised(model, now, _RESIZE_HAD_NO_SAY), _RESIZE_HAD_NO_SAY
    _prepare(model, now, version)
    try:
        result = version_converter.convert_version(model, version)
    except Exception as error:
        # The place in onnx's own source tells its developers something, and nobody else.
        reason = first_line(error).rsplit("Assertion `false` failed: ", maxsplit=1)[-1]
        raise ModelError(
            f"onnx cannot take this graph from operator set {now} to {version}: {reason}; "
            "export the model again with the newer set"
        ) from error
    # The converter keeps metadata today, but no promise says so.
    keep_notes(result, model)
    del result.graph.value_info[:]
    result = tidied(result)
    problem = _problem(result)
    if problem and not _problem(model):
        raise ModelError(
            f"onnx's converter leaves a broken graph on the way from operator set {now} to {version}: {problem}; "
            "export the model again with the newer set"
        )
    return result


def _prepare(model: onnx.ModelProto, now: int, version: int) -> None:
    """Say in so many words what the converter would get wrong; it hands unknown attributes through."""
    view = View(model)
    for node in all_nodes(model.graph):
        if not is_standard(node):
            continue
        while node.op_type == "BatchNormalization" and not node.output[-1]:
            del node.output[-1]
        if node.op_type == "Resize" and now == _RESIZE_HAD_NO_SAY < version:
            _say_resizing(node, view)
        elif node.op_type == "Hardmax" and now <= _LAST_COERCING < version:
            shape = view.shape(node.input[0])
            if shape is None or attribute(node, "axis", 1) % len(shape) != len(shape) - 1:
                raise ModelError(f"{called(node)} runs over several axes, which has no likeness after operator set 12")
        elif node.op_type == "GroupNormalization" and now < _GROUP_NORM_PER_CHANNEL <= version:
            _widen_group_norm(model, node, view)


def _say_resizing(node: onnx.NodeProto, view: View) -> None:
    """Until operator set 10 resizing had no say in where samples lie; since, the default is another place."""
    set_attribute(node, "coordinate_transformation_mode", "asymmetric")
    if attribute(node, "mode", b"nearest") != b"nearest":
        return
    scales = view.value(node.input[1])
    if scales is None:
        raise ModelError(f"{called(node)} computes its scales, and whether it rounds up or down depends on them")
    down, up = any(scale < 1 for scale in scales), any(scale > 1 for scale in scales)
    if down and up:
        raise ModelError(f"{called(node)} both shrinks and stretches, which rounds two ways at once")
    set_attribute(node, "nearest_mode", "ceil" if down else "floor")


def _widen_group_norm(model: onnx.ModelProto, node: onnx.NodeProto, view: View) -> None:
    """From one scale per group to one per channel."""
    shape, groups = view.shape(node.input[0]), attribute(node, "num_groups")
    values = [view.value(name) for name in node.input[1:3]]
    if shape is None or shape[1] is None or any(value is None for value in values):
        raise ModelError(f"{called(node)}: its channels are not known, or its scale is not constant")
    names = Names(model)
    for index, value in enumerate(values, 1):
        wide = np.repeat(np.asarray(value), shape[1] // groups)
        name = names.new(f"{node.input[index]}.channels")
        model.graph.initializer.append(numpy_helper.from_array(wide, name))
        node.input[index] = name


def _problem(model: onnx.ModelProto) -> str:
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except Exception as error:  # noqa: BLE001  # the checker raises several types
        return first_line(error)
    return ""
