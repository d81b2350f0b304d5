"""An identity convolution before every nearest-neighbour upsampling.

ONNX Runtime copies upsampled values in its blocked layout five to ten times faster than outside
of it, but goes on in that layout only from a convolution. One that multiplies each channel by 1
costs far less than it saves and changes no value. For ONNX Runtime only; measured in docs/forms.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from onnx import NodeProto, helper, numpy_helper

from models.surgery.base import Change
from models.surgery.rewrite import Names, View, attribute, is_standard, rebuilt

if TYPE_CHECKING:
    import onnx

    from models.surgery.base import Context
    from models.surgery.catalogue import Step

_IN_BLOCKS = ("Conv", "MaxPool", "AveragePool", "Resize")


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Precede every upsampling by whole factors that does not follow a convolution already."""
    view, names = View(model), Names(model)
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []
    places = 0
    for node in view.nodes:
        factors = _factors(node, view)
        if factors is None or view.made_by(node.input[0], *_IN_BLOCKS) is not None:
            nodes.append(node)
            continue
        channels = int((view.shape(node.input[0]) or (0, 0))[1] or 0)
        ones, scales, held = (names.new(f"{node.name or node.output[0]}.{n}") for n in ("ones", "scales", "held"))
        dtype = view.dtype(node.input[0])
        tensors.append(numpy_helper.from_array(np.ones((channels, 1, 1, 1), dtype), ones))
        tensors.append(numpy_helper.from_array(np.array([1, 1, *factors], np.float32), scales))
        nodes.append(
            helper.make_node("Conv", [node.input[0], ones], [held], name=held, group=channels, kernel_shape=[1, 1])
        )
        new = NodeProto()
        new.CopyFrom(node)
        # Operator sets 11 and 12 want a region of interest, empty or not.
        new.input[:] = [held, node.input[1], scales]
        nodes.append(new)
        places += 1
    return Change(rebuilt(model, nodes, tensors), places) if places else Change(model, 0)


def _factors(node: onnx.NodeProto, view: View) -> tuple[int, int] | None:
    """By how much a Resize repeats rows and columns; None if it does something else."""
    if node.op_type != "Resize" or not is_standard(node) or len(node.input) < 3 or attribute(node, "axes") is not None:
        return None
    settings = [
        attribute(node, n, d) for n, d in (("mode", b"nearest"), ("coordinate_transformation_mode", b"half_pixel"))
    ]
    if settings[0] != b"nearest":
        return None
    before, after = view.shape(node.input[0]), view.shape(node.output[0])
    if before is None or after is None or len(before) != 4 or None in (*before[1:], *after[1:]):
        return None
    if before[:2] != after[:2] or view.dtype(node.input[0]) != np.dtype("float32"):
        return None
    rows, columns = ((int(b or 0), int(a or 0)) for b, a in zip(before[2:], after[2:], strict=True))
    if any(large % small for small, large in (rows, columns)):
        return None
    factors = (rows[1] // rows[0], columns[1] // columns[0])
    # With a whole factor, asymmetric with floor repeats each value; so does half_pixel as ONNX rounds it.
    scales = view.value(node.input[2]) if node.input[2] else None
    if node.input[2] and (scales is None or scales.tolist() != [1, 1, *factors]):
        return None  # 2.3 on three rows makes six, and repeats others than 2 does
    simple = settings[1] == b"asymmetric" and attribute(node, "nearest_mode", b"round_prefer_floor") == b"floor"
    return factors if simple and math.prod(factors) > 1 else None
