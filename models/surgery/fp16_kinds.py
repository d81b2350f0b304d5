"""Element types: what onnx's schemas allow, and what every value of a graph has."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto

from models.surgery.rewrite import attribute, is_standard

if TYPE_CHECKING:
    from collections.abc import Callable

FLOAT, HALF = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
_SAID = {
    "tensor(bool)": TensorProto.BOOL,
    "tensor(float)": TensorProto.FLOAT,
    "tensor(double)": TensorProto.DOUBLE,
    "tensor(int32)": TensorProto.INT32,
    "tensor(int64)": TensorProto.INT64,
    "tensor(uint8)": TensorProto.UINT8,
    "tensor(string)": TensorProto.STRING,
}
# Operators whose attribute says what comes out, and what it is without one; None: as the input.
MADE_OF: dict[str, tuple[str, int | None]] = {
    "Cast": ("to", None),
    "ConstantOfShape": ("value", FLOAT),
    "RandomNormal": ("dtype", FLOAT),
    "RandomUniform": ("dtype", FLOAT),
    "RandomNormalLike": ("dtype", None),
    "RandomUniformLike": ("dtype", None),
    "Bernoulli": ("dtype", None),
    "EyeLike": ("dtype", None),
}


class Types:
    """The formal types of one operator."""

    def __init__(self, schema: Any) -> None:
        self._inputs, self._outputs = list(schema.inputs), list(schema.outputs)
        self._allowed = {c.type_param_str: set(c.allowed_type_strs) for c in schema.type_constraints}

    def input(self, index: int) -> str:
        """The type, or type variable, of an input; a variadic one stands for all that follow."""
        return _at(self._inputs, index)

    def output(self, index: int) -> str:
        """The type, or type variable, of an output."""
        return _at(self._outputs, index)

    def takes_half(self, kind: str) -> bool:
        """Whether a type variable may be float16; a fixed type may not."""
        return "tensor(float16)" in self._allowed.get(kind, ())

    def fixed(self, kind: str) -> int | None:
        """The element type, where there is only one."""
        allowed = self._allowed.get(kind, {kind})
        return _SAID.get(next(iter(allowed))) if len(allowed) == 1 else None


@cache
def types_of(operator: str, version: int) -> Types | None:
    """The formal types of a standard operator; None for one there is not."""
    try:
        return Types(onnx.defs.get_schema(operator, version, ""))
    except onnx.defs.SchemaError:
        return None


def output_kinds(
    node: onnx.NodeProto, version: int, kind_of: Callable[[str], int | None], noted: dict[str, int]
) -> list[int | None]:
    """Element types of a node's outputs, None for those unknown.

    Args:
        node: of any domain, without subgraphs.
        version: the standard operator set.
        kind_of: element type of an input.
        noted: what inference found, by name.
    """
    types = types_of(node.op_type, version) if is_standard(node) else None
    bound: dict[str, int] = {}
    if types is not None:
        for index, name in enumerate(node.input):
            kind = kind_of(name) if name else None
            if kind is not None:
                bound.setdefault(types.input(index), kind)
    found: list[int | None] = []
    for index, name in enumerate(node.output):
        kind = noted.get(name)
        if kind is None and types is not None:
            formal = types.output(index)
            kind = bound.get(formal)
            kind = types.fixed(formal) if kind is None else kind
            kind = _made(node, kind_of) if kind is None else kind
        found.append(kind)
    return found


def _made(node: onnx.NodeProto, kind_of: Callable[[str], int | None]) -> int | None:
    if node.op_type not in MADE_OF:
        return None
    name, default = MADE_OF[node.op_type]
    value = attribute(node, name)
    if isinstance(value, TensorProto):
        return int(value.data_type)
    if value is not None:
        return int(value)
    return default if default is not None or not node.input else kind_of(node.input[0])


def noted_kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of the top level's values as inference finds them, or the file says."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # noqa: BLE001  # contradictions and foreign operators: what the file says must do
        inferred = model.graph
    return tensor_kinds(inferred)


def tensor_kinds(graph: onnx.GraphProto) -> dict[str, int]:
    """Element types that a graph says of its values; none for those that are no tensors."""
    return {
        value.name: int(value.type.tensor_type.elem_type)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.WhichOneof("value") == "tensor_type" and value.type.tensor_type.elem_type
    }


def _at(formal: list[Any], index: int) -> str:
    return str(formal[min(index, len(formal) - 1)].type_str) if formal else ""
