"""The walk that turns a graph into float16, node by node, graphs inside nodes included."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

from models.errors import ModelError
from models.surgery.fp16_kinds import FLOAT, HALF, MADE_OF, noted_kinds, output_kinds, tensor_kinds, types_of
from models.surgery.fp16_norms import norm_nodes
from models.surgery.fp16_weights import Weights, fits
from models.surgery.graphs import called, constant_of, set_attribute
from models.surgery.rewrite import Names, attribute, is_standard, opset
from models.walk import all_nodes, subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterable

# Whose numbers are places, counts or scales rather than signal.
_FULL = {
    "Bernoulli",
    "ConcatFromSequence",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Multinomial",
    "Optional",
    "OptionalGetElement",
    "QuantizeLinear",
    "Range",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceInsert",
    "SplitToSequence",
}
# Type variables of such numbers, where an operator has signals, too.
_FULL_VARIABLES = {("Resize", "T2"), ("GridSample", "T2")}
_BRANCHING = {"If", "Loop", "Scan"}
# What only moves values about, all of them from the first input.
_MOVING = {
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
}
# Where a value comes from: constants alone, the sizes of values, or the inputs. The largest wins.
_CONSTANT, _SIZE, _DATA = range(3)


class _Scope:
    """One graph on its way: what its values were, and are now."""

    def __init__(self, parent: _Scope | None, noted: dict[str, int]) -> None:
        self.parent, self.noted = parent, noted
        self.kinds: dict[str, int | None] = {}
        self.now: dict[str, int] = {}
        self.called: dict[str, str] = {}
        self.copies: dict[tuple[str, int], str] = {}
        self.origin: dict[str, int] = {}
        self.initial: dict[str, onnx.TensorProto] = {}
        self.halves: dict[str, onnx.TensorProto] = {}
        self.kept: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []

    def home(self, name: str) -> _Scope | None:
        """The graph that defines a value, seen from here."""
        scope: _Scope | None = self
        while scope is not None and name not in scope.kinds:
            scope = scope.parent
        return scope

    def kind(self, name: str) -> int | None:
        """Element type a value had; None when unknown."""
        home = self.home(name)
        return None if home is None else home.kinds[name]

    def current(self, name: str) -> int | None:
        """Element type a value has now."""
        home = self.home(name)
        return None if home is None else home.now.get(name, home.kinds[name])

    def define(self, name: str, kind: int | None, now: int | None, origin: int) -> None:
        self.kinds[name], self.origin[name] = kind, origin
        if now is not None:
            self.now[name] = now

    def came_of(self, name: str) -> int:
        home = self.home(name)
        return _DATA if home is None else home.origin[name]


class Halving:
    """Turns one model, tidied before, into float16.

    Attributes:
        weights: rounds constants, and knows what did not fit.
        places: nodes that compute in float16 and did not before.
        foreign: operators outside the standard that stay in float32, and how many of each.
    """

    def __init__(self, model: onnx.ModelProto, *, norms32: bool) -> None:
        self.weights, self.places = Weights(), 0
        self.foreign: Counter[str] = Counter()
        self._model, self._norms32 = model, norms32
        self._version, self._names = opset(model), Names(model)
        self._renamed: dict[str, str] = {}

    def model(self, outside: int) -> onnx.ModelProto:
        """The new model.

        Args:
            outside: element type of what were float32 inputs and outputs.
        """
        result = onnx.ModelProto()
        result.CopyFrom(self._model)
        graph = result.graph
        _part_outputs(graph, self._names)
        scope = _Scope(None, noted_kinds(result))
        for value in graph.input:
            self._enter(scope, value, outside)
        self._load(scope, graph)
        leaving = {v.name for v in graph.output if scope.noted.get(v.name) == FLOAT}
        self._walk(scope, graph.node, leaving, outside)
        for value in graph.output:
            if value.name in leaving:
                value.type.tensor_type.elem_type = outside
        self._store(scope, graph)
        for node in all_nodes(graph):
            for index, name in enumerate(node.input):
                node.input[index] = self._renamed.get(name, name)
        _rename_outputs(graph, self._renamed)
        return result

    def _enter(self, scope: _Scope, value: onnx.ValueInfoProto, now: int) -> None:
        kind = scope.noted.get(value.name)
        scope.define(value.name, kind, now if kind == FLOAT else kind, _DATA)
        if kind == FLOAT:
            value.type.tensor_type.elem_type = now

    def _load(self, scope: _Scope, graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            scope.define(tensor.name, int(tensor.data_type), int(tensor.data_type), _CONSTANT)
            scope.initial[tensor.name] = tensor

    def _store(self, scope: _Scope, graph: onnx.GraphProto) -> None:
        """Nodes and constants of a graph that is done; a constant that is only read halved keeps its name."""
        nodes = [_copy(node) for node in scope.nodes]
        kept = []
        for name, tensor in scope.initial.items():
            half = scope.halves.get(name)
            if half is None or name in scope.kept:
                kept.append(tensor)
            if half is not None:
                if name not in scope.kept:
                    self._renamed[half.name] = name
                    half.name = name
                kept.append(half)
        copies = []
        for tensor in kept:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copies.append(copy)
        for field in (graph.node, graph.initializer, graph.value_info):
            del field[:]
        graph.node.extend(nodes)
        graph.initializer.extend(copies)

    def _walk(self, scope: _Scope, nodes: Iterable[onnx.NodeProto], leaving: set[str], outside: int) -> None:
        listed = [_copy(node) for node in nodes]
        norms: set[int] = set()
        if self._norms32:
            above: _Scope | None = scope
            constants: set[str] = set()
            while above is not None:
                constants |= set(above.initial)
                above = above.parent
            norms = norm_nodes(listed, constants)
        for index, node in enumerate(listed):
            if is_standard(node) and node.op_type in _BRANCHING:
                kinds = self._branch(scope, node)
                now: list[int | None] = [HALF if kind == FLOAT else kind for kind in kinds]
                origin = _DATA
            else:
                kinds = output_kinds(node, self._version, scope.kind, scope.noted)
                origin = _origin(scope, node)
                now = self._node(scope, node, kinds, origin, full=index in norms)
            scope.nodes.append(node)
            for place, (name, kind, is_now) in enumerate(zip(list(node.output), kinds, now, strict=True)):
                if not name:
                    continue
                scope.define(name, kind, is_now, origin)
                if name in leaving and kind == FLOAT and is_now != outside:
                    inner = self._names.new(f"{name}.{'half' if is_now == HALF else 'full'}")
                    node.output[place] = scope.called[name] = inner
                    scope.nodes.append(helper.make_node("Cast", [inner], [name], name=f"{inner}.cast", to=outside))
                    scope.copies[name, outside] = name

    def _read(self, scope: _Scope, name: str, kind: int) -> str:
        """The name of a value in a floating-point type; casts are made once, where the value is."""
        home = scope.home(name)
        if home is None:
            return name
        now = home.now.get(name)
        if home.kinds[name] != FLOAT or now == kind:
            home.kept.add(name)
            return home.called.get(name, name)
        if (name, kind) not in home.copies:
            copy = self._names.new(f"{name}.{'half' if kind == HALF else 'full'}")
            home.copies[name, kind] = copy
            if name in home.initial:
                home.halves[name] = self.weights.half(home.initial[name], copy)
            else:
                source = home.called.get(name, name)
                home.nodes.append(helper.make_node("Cast", [source], [copy], name=f"{copy}.cast", to=kind))
        return home.copies[name, kind]

    def _node(
        self, scope: _Scope, node: onnx.NodeProto, kinds: list[int | None], origin: int, *, full: bool
    ) -> list[int | None]:
        """Rewire one node in place; returns what its outputs are now."""
        types = types_of(node.op_type, self._version) if is_standard(node) else None
        if types is None and any(True for _ in subgraphs(node)):
            raise ModelError(f"{called(node)} is foreign and has a graph inside, whose types are not known")
        if node.op_type == "Constant" and kinds == [FLOAT]:
            return self._constant(node)
        if types is None and FLOAT in {*kinds, *map(scope.kind, node.input)}:
            self.foreign[f"{node.domain}::{node.op_type}" if node.domain else node.op_type] += 1
        given = [scope.kind(name) if name else None for name in node.input]
        floats = [index for index, kind in enumerate(given) if kind == FLOAT]
        unknown = any(kind is None and name for kind, name in zip(given, node.input, strict=True))
        computed = origin != _DATA and not (node.op_type in _MOVING and origin == _CONSTANT)
        exact = node.op_type in {"ConstantOfShape", "EyeLike", "Shape", "Size"}
        full = full or types is None or unknown or node.op_type in _FULL or (computed and not exact)
        full = full or self._far(scope, node)
        bound: dict[str, int] = {}
        for index in floats:
            formal = types.input(index) if types is not None else ""
            half = types is not None and types.takes_half(formal) and (node.op_type, formal) not in _FULL_VARIABLES
            kind = FLOAT if full or not half else HALF
            if kind == HALF and FLOAT not in kinds and self._native(scope, node, floats):
                kind = FLOAT
            bound[formal] = kind
            node.input[index] = self._read(scope, node.input[index], kind)
        for index, name in enumerate(node.input):
            if name and index not in floats:
                node.input[index] = self._read(scope, name, FLOAT)
        now: list[int | None] = []
        for index, was in enumerate(kinds):
            formal = types.output(index) if types is not None else ""
            is_now = was
            if was == FLOAT and formal in bound:
                is_now = bound[formal]
            elif was == FLOAT and not full and node.op_type in MADE_OF:
                self._make_half(node)
                is_now = HALF
            now.append(is_now)
        self.places += HALF in bound.values() or (FLOAT in kinds and HALF in now)
        return now

    def _far(self, scope: _Scope, node: onnx.NodeProto) -> bool:
        """Whether values are scaled by something that float16 may not hold: clamped, it would be another scale."""
        if node.op_type not in {"Div", "Mul"}:
            return False
        for name in node.input:
            home = scope.home(name)
            if home is None or home.kinds[name] != FLOAT:
                continue
            if home.origin[name] == _SIZE or (name in home.initial and not fits(home.initial[name])):
                return True
        return False

    def _native(self, scope: _Scope, node: onnx.NodeProto, floats: list[int]) -> bool:
        """Whether float32 is what a node without float outputs is offered, so that a Cast would only lose."""
        offered = {scope.current(node.input[i]) for i in floats if scope.came_of(node.input[i]) != _CONSTANT}
        return offered == {FLOAT}

    def _make_half(self, node: onnx.NodeProto) -> None:
        name, default = MADE_OF[node.op_type]
        if node.op_type == "ConstantOfShape":
            value = attribute(node, name)
            tensor = value if value is not None else helper.make_tensor("", TensorProto.FLOAT, [1], [0.0])
            set_attribute(node, name, self.weights.half(tensor, ""))
        elif default is not None or attribute(node, name) is not None:
            set_attribute(node, name, HALF)

    def _constant(self, node: onnx.NodeProto) -> list[int | None]:
        tensor = constant_of(node)
        if tensor is None:
            return [FLOAT]
        del node.attribute[:]
        set_attribute(node, "value", self.weights.half(tensor, ""))
        return [HALF]

    def _branch(self, scope: _Scope, node: onnx.NodeProto) -> list[int | None]:
        """Turn the graphs inside a node; returns what its outputs were."""
        given = [scope.kind(name) if name else None for name in node.input]
        for index, name in enumerate(node.input):
            if name:
                node.input[index] = self._read(scope, name, HALF)
        found = [self._body(scope, body, _body_inputs(node, given)) for body in subgraphs(node)]
        first = found[0] if found else []
        if any(kinds != first for kinds in found):
            raise ModelError(f"the branches of {called(node)} end in values of different or unknown types")
        kinds = first[1:] if node.op_type == "Loop" else first
        return [*kinds, *[None] * len(node.output)][: len(node.output)]

    def _body(self, scope: _Scope, body: onnx.GraphProto, given: list[int | None]) -> list[int | None]:
        inner = _Scope(scope, tensor_kinds(body))
        for index, value in enumerate(body.input):
            if index < len(given) and given[index] is not None:
                inner.noted.setdefault(value.name, given[index] or 0)
            self._enter(inner, value, HALF)
        self._load(inner, body)
        self._walk(inner, body.node, set(), HALF)
        kinds = []
        for value in body.output:
            kind = inner.kind(value.name)
            kinds.append(kind)
            value.name = self._read(inner, value.name, HALF)
            if kind == FLOAT:
                value.type.tensor_type.elem_type = HALF
        self._store(inner, body)
        return kinds


def _origin(scope: _Scope, node: onnx.NodeProto) -> int:
    if not is_standard(node) or node.op_type.startswith("Random"):
        return _DATA
    if node.op_type in {"Shape", "Size"}:
        return _SIZE
    if node.op_type == "ConstantOfShape":
        return _CONSTANT
    origins = [scope.came_of(name) for name in node.input if name]
    if node.op_type in _MOVING and node.op_type != "Concat" and _DATA not in origins:
        origins = origins[:1]
    return max(origins, default=_CONSTANT)


def _body_inputs(node: onnx.NodeProto, given: list[int | None]) -> list[int | None]:
    """Element types of the inputs of the graph inside a node, as far as its own inputs tell."""
    if node.op_type == "Loop":
        return [int(TensorProto.INT64), int(TensorProto.BOOL), *given[2:]]
    return given if node.op_type == "Scan" else []


def _part_outputs(graph: onnx.GraphProto, names: Names) -> None:
    """Let a constant that is also an output leave through a node, so that the two can differ in type."""
    outputs = {value.name for value in graph.output}
    first, parted = [], {}
    for tensor in graph.initializer:
        if tensor.name in outputs:
            inner = parted[tensor.name] = names.new(f"{tensor.name}.constant")
            first.append(helper.make_node("Identity", [inner], [tensor.name], name=f"{inner}.out"))
            tensor.name = inner
    rest = [_copy(node) for node in graph.node]
    for node in rest:
        for index, name in enumerate(node.input):
            node.input[index] = parted.get(name, name)
    del graph.node[:]
    graph.node.extend([*first, *rest])


def _rename_outputs(graph: onnx.GraphProto, renamed: dict[str, str]) -> None:
    for node in graph.node:
        for body in subgraphs(node):
            for value in body.output:
                value.name = renamed.get(value.name, value.name)
            _rename_outputs(body, renamed)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy
