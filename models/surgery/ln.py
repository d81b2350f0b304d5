"""CausalCLN as one LayerNormalization, or as one node of a custom domain.

Variants:

* ``""``: Transpose → LayerNormalization over (channels, frequencies) → Transpose, γ and β written
  out for every frequency, which makes the file larger;
* ``last``: the same with channels as the innermost axis. Where frames come before frequencies
  (pass ``swap``) its transposes are those between "channels first" and "channels last", which
  ONNX Runtime melts into the reordering that its blocked convolutions need anyway. A ReLU that
  follows moves in front of the second transpose, where it would otherwise part the two;
* ``custom``: one node that no engine knows; for engines with an operator of the user's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnx import helper, numpy_helper

from models.surgery.base import Change
from models.surgery.causal_norm import CausalNorm, find_causal_norms
from models.surgery.opset import convert
from models.surgery.rewrite import Names, View, is_standard, opset, rebuilt

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from models.surgery.base import Context
    from models.surgery.catalogue import Step

CUSTOM_DOMAIN = "rtfloor.custom"
CUSTOM_OPERATOR = "CausalChannelLayerNorm"
LAYER_NORM_OPSET = 17


def apply(model: onnx.ModelProto, step: Step, context: Context) -> Change:
    """Replace every CausalCLN; everything else stays as it is."""
    notes: tuple[str, ...] = ()
    variant = step.facts.variant
    if not find_causal_norms(View(model)):
        return Change(model, 0)
    if variant != "custom" and opset(model) < LAYER_NORM_OPSET:
        notes = (f"the operator set went from {opset(model)} to {LAYER_NORM_OPSET}: LayerNormalization needs it",)
        model = convert(model, LAYER_NORM_OPSET)
    view, names = View(model), Names(model)
    norms = find_causal_norms(view)
    gone = frozenset().union(*(norm.nodes for norm in norms)) if norms else frozenset()
    writer = _Writer(view, names, variant)
    for norm in norms:
        writer.write(norm)
    # A Relu that moved is gone from its old place, too.
    nodes = [node for node in view.nodes if id(node) not in gone | writer.gone]
    result = rebuilt(model, [*nodes, *writer.nodes], writer.tensors)
    if variant == "custom":
        result.opset_import.append(helper.make_opsetid(CUSTOM_DOMAIN, 1))
    return Change(result, len(norms), notes)


class _Writer:
    """Collects the new nodes and constants of all norms."""

    def __init__(self, view: View, names: Names, variant: str) -> None:
        self.view, self.names, self.variant = view, names, variant
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.gone: set[int] = set()

    def write(self, norm: CausalNorm) -> None:
        """One norm."""
        if self.variant == "custom":
            self._custom(norm)
            return
        inner = tuple(axis for axis in norm.axes if axis != 1)
        order = (*inner, 1) if self.variant == "last" else norm.axes
        there = [0, norm.frame_axis, *order]
        back = [there.index(axis) for axis in range(len(there))]
        norm, relu = self._relu_after(norm)
        x = self._node("Transpose", [norm.x], f"{norm.name}.frames_first", perm=there)
        gain, shift = (
            self._tensor(f"{norm.name}.{name}", norm.expanded(values, order))
            for name, values in (("gain", norm.gain), ("shift", norm.shift))
        )
        x = self._node(
            "LayerNormalization", [x, gain, shift], f"{norm.name}.layer", axis=2, epsilon=float(norm.epsilon)
        )
        if relu:
            x = self._node("Relu", [x], f"{norm.name}.relu")
        self._node("Transpose", [x], f"{norm.name}.back", output=norm.y, perm=back)

    def _relu_after(self, norm: CausalNorm) -> tuple[CausalNorm, bool]:
        """The norm, its output after the Relu that follows if that may move inside."""
        reader = self.view.reader(norm.y) if self.variant == "last" else None
        if reader is None or reader.op_type != "Relu" or not is_standard(reader):
            return norm, False
        self.gone.add(id(reader))
        return replace(norm, y=reader.output[0]), True

    def _custom(self, norm: CausalNorm) -> None:
        gain, shift = (
            self._tensor(f"{norm.name}.{name}", values) for name, values in (("gain", norm.gain), ("shift", norm.shift))
        )
        self._node(
            CUSTOM_OPERATOR,
            [norm.x, gain, shift],
            f"{norm.name}.custom",
            output=norm.y,
            domain=CUSTOM_DOMAIN,
            axes=list(norm.axes),
            epsilon=float(norm.epsilon),
        )

    def _node(self, kind: str, inputs: list[str], name: str, *, output: str = "", **attributes: object) -> str:
        name = self.names.new(name)
        output = output or name
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def _tensor(self, name: str, values: NDArray[Any]) -> str:
        name = self.names.new(name)
        self.tensors.append(numpy_helper.from_array(values, name))
        return name
