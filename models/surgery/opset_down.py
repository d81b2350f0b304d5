"""Operators said in an older operator set, down to 13.

Most newer versions of an operator only take more types, or have one more attribute whose default
is the old meaning: those are found by comparing onnx's own schemas. The rest is written out in
:mod:`models.surgery.opset_changes`, and what is neither is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.errors import ModelError
from models.surgery.graphs import called, first_line, set_attribute, size_outputs
from models.surgery.opset_changes import AXES_BECAME_INPUT, CHANGED, WRITTEN_OUT
from models.surgery.rewrite import Names, View, is_standard, opset
from models.walk import subgraphs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.surgery.opset_changes import Nodes

LOWEST = 13
# Values of attributes that exist in both versions, but not with this meaning.
_NEW_VALUES = {
    ("Resize", "coordinate_transformation_mode", b"half_pixel_symmetric"): 19,
    ("Pad", "mode", b"wrap"): 19,
    **{(op, "reduction", kind): 18 for op in ("ScatterElements", "ScatterND") for kind in (b"max", b"min")},
}
# Whose missing attribute means something else in the version before.
_NEW_DEFAULTS = {("RoiAlign", "coordinate_transformation_mode"): 16}


def lowered(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The model, tidied before, in an older operator set.

    Raises:
        ModelError: an operator that the older set cannot say.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    Lowering(result, version).graph(result.graph)
    del result.graph.value_info[:]
    for entry in result.opset_import:
        if entry.domain == "":
            entry.version = version
    size_outputs(result)
    try:
        onnx.checker.check_model(result)
        onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True)
    except Exception as error:
        raise ModelError(f"the graph cannot be said in operator set {version}: {first_line(error)}") from error
    return result


class Lowering:
    """One model on its way down.

    Attributes:
        now: the operator set it is in.
        version: the one it goes to.
        view: the model as it was.
    """

    def __init__(self, model: onnx.ModelProto, version: int) -> None:
        self.now, self.version = opset(model), version
        self.view, self.names = View(model), Names(model)
        self.constants: dict[str, NDArray[Any]] = {}
        self.added: list[onnx.TensorProto] = []

    def graph(self, graph: onnx.GraphProto) -> None:
        """Lower every node of a graph and of the graphs inside it, in place."""
        outer, self.added = self.added, []
        inner = {t.name: t for t in graph.initializer if t.data_type == TensorProto.INT64}
        self.constants |= {name: numpy_helper.to_array(tensor) for name, tensor in inner.items()}
        nodes = [new for node in graph.node for new in self.node(node)]
        for node in nodes:
            for sub in subgraphs(node):
                self.graph(sub)
        copies = []
        for node in nodes:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copies.append(copy)
        del graph.node[:]
        graph.node.extend(copies)
        del graph.value_info[:]
        graph.initializer.extend(self.added)
        self.added = outer

    def node(self, node: onnx.NodeProto) -> Nodes:
        """The same in the older set."""
        if not is_standard(node):
            return [node]
        try:
            new = onnx.defs.get_schema(node.op_type, self.now, "")
        except onnx.defs.SchemaError:
            return [node]  # no such operator: the checker will say so
        if new.since_version <= self.version:
            return [node]
        written = WRITTEN_OUT.get(node.op_type)
        if written is not None and self.version < written[0]:
            return written[1](self, node)
        try:
            old = onnx.defs.get_schema(node.op_type, self.version, "")
        except onnx.defs.SchemaError:
            raise ModelError(
                f"{called(node)} came with operator set {new.since_version}, and cannot be said in {self.version}"
            ) from None
        changed = CHANGED.get(node.op_type)
        if changed is not None and changed[0] > self.version:
            changed[1](self, node)
        self._fit(node, new, old)
        return [node]

    def _fit(self, node: onnx.NodeProto, new: Any, old: Any) -> None:
        """Take away what the older version does not know, where that is what it means anyway."""
        for entry in list(node.attribute):
            value = helper.get_attribute_value(entry)
            since = _NEW_VALUES.get((node.op_type, entry.name, value) if isinstance(value, bytes) else ("", "", b""))
            known = entry.name in old.attributes
            default = new.attributes[entry.name].default_value if entry.name in new.attributes else None
            same = default is not None and default.type and helper.get_attribute_value(default) == value
            if (since or 0) > self.version or not (known or same):
                raise self.refused(node, f"its {entry.name}, which was something else or not there")
            if not known:
                set_attribute(node, entry.name, None)
        for name, entry in new.attributes.items():
            given = any(present.name == name for present in node.attribute)
            if not given and self.version < _NEW_DEFAULTS.get((node.op_type, name), 0):
                raise self.refused(node, f"its {name}, which was something else")
            before = old.attributes[name].default_value if name in old.attributes else None
            if given or before is None or not entry.default_value.type:
                continue
            if before.SerializeToString() != entry.default_value.SerializeToString():
                node.attribute.append(entry.default_value)
        while node.input and not node.input[-1]:
            del node.input[-1]
        if len(node.input) > old.max_input:
            raise self.refused(node, f"its input {node.input[old.max_input]!r}, which was not there")

    def refused(self, node: onnx.NodeProto, what: str) -> ModelError:
        """The error for something that the older set cannot say."""
        return ModelError(f"{called(node)} cannot be said in operator set {self.version}: {what}")

    def constant(self, wish: str, values: Any, kind: Any = np.int64) -> str:
        """A new constant; returns its name."""
        name = self.names.new(wish)
        self.added.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def value(self, node: onnx.NodeProto, index: int) -> NDArray[Any] | None:
        """The value of an optional input that must be constant; None where it is not given.

        Raises:
            ModelError: it is computed.
        """
        name = node.input[index] if index < len(node.input) else ""
        if not name:
            return None
        found = self.known(name)
        if found is None:
            raise self.refused(node, f"{name!r} is computed, and must be a constant there")
        return found

    def known(self, name: str) -> NDArray[Any] | None:
        """The value of a constant; None where it is computed from inputs."""
        found = self.constants.get(name)
        return self.view.value(name, 64) if found is None else found

    def rank(self, node: onnx.NodeProto) -> int:
        """Number of axes of the first input."""
        shape = self.view.shape(node.input[0])
        if shape is None:
            raise self.refused(node, f"the number of axes of {node.input[0]!r} is not known")
        return len(shape)

    def make(self, op: str, inputs: Sequence[str], wish: str, into: Nodes, **attributes: Any) -> str:
        """Add a node with one new output."""
        name = self.names.new(wish)
        into.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def mean(self, x: str, axes: list[int], wish: str, into: Nodes) -> str:
        """Add a mean that keeps its axes, as the target version writes it."""
        if self.version < AXES_BECAME_INPUT:
            return self.make("ReduceMean", [x], wish, into, axes=axes, keepdims=1)
        return self.make("ReduceMean", [x, self.constant(f"{wish}.axes", axes)], wish, into, keepdims=1)
