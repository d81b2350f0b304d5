"""What rewriting passes share: looking around in a graph, and putting nodes in place of others."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.walk import RANDOM, all_nodes, captured, subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterable

Array = NDArray[Any]
_FOLDED_DEPTH = 8
# Never folded: what draws anew at each call, and weights that are kept small on purpose.
_KEPT = RANDOM | {"DequantizeLinear", "Dropout"}


class View:
    """A graph's top level, indexed: who makes and who reads each value, what is constant, how large it is.

    Args:
        model: not changed by looking; see :class:`Rewriter` for changing.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.graph = model.graph
        # Held on to, so that one node is one object and can be told from its likes.
        self.nodes = list(model.graph.node)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        # An initializer that is also an input may be fed another value: it is no constant.
        fed = {value.name for value in model.graph.input}
        self._fixed = {name for name in self.initializers if name not in fed}
        self.outputs = {value.name for value in model.graph.output}
        self.maker: dict[str, onnx.NodeProto] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        inner: set[str] = set()
        for node in self.nodes:
            for name in node.output:
                self.maker[name] = node
            for name in dict.fromkeys(node.input):
                self.readers[name].append(node)
            for name in captured(node):
                inner.add(name)
        # What a subgraph reads can not be taken away.
        self.kept = self.outputs | inner
        self._shapes, self._dtypes = _inferred(model)
        self._values: dict[str, Array | None] = {}

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """Sizes of a value, None for an open one; None altogether when even the rank is unknown."""
        found = self._shapes.get(name)
        node = self.made_by(name, "Reshape") if found is None or None in found else None
        target = self.value(node.input[1]) if node is not None else None
        if target is not None and bool((target > 0).all()):
            # Inference does not see through targets that are put together from shapes.
            return tuple(int(size) for size in target)
        return found

    def dtype(self, name: str) -> np.dtype[Any] | None:
        """Element type of a value; None when it is unknown."""
        return self._dtypes.get(name)

    def reader(self, name: str) -> onnx.NodeProto | None:
        """The only node that reads a value; None when there are several, none, or it leaves the graph."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.kept else None

    def made_by(self, name: str, *kinds: str) -> onnx.NodeProto | None:
        """The node that makes a value, if it is of one of these standard operators."""
        node = self.maker.get(name)
        return node if node is not None and node.op_type in kinds and is_standard(node) else None

    def value(self, name: str, depth: int = _FOLDED_DEPTH) -> Array | None:
        """The value of a constant: an initializer, a Constant, or a few nodes over such; else None."""
        if name not in self._values:
            self._values[name] = self._fold(name, depth)
        return self._values[name]

    def _fold(self, name: str, depth: int) -> Array | None:
        if name in self._fixed:
            return np.asarray(numpy_helper.to_array(self.initializers[name]))
        node = self.maker.get(name)
        if node is None or depth == 0 or not is_standard(node) or any(subgraphs(node)) or len(node.output) != 1:
            return None
        sizes = self.shape(node.input[0]) if node.op_type == "Shape" and node.input else None
        if sizes is not None and None not in sizes:
            return np.array(sizes[attribute(node, "start", 0) : attribute(node, "end", len(sizes))], np.int64)
        if node.op_type in _KEPT or (not any(node.input) and node.op_type != "Constant"):
            return None
        inputs = {given: self.value(given, depth - 1) for given in node.input if given}
        if any(value is None for value in inputs.values()):
            return None
        try:
            graph = helper.make_graph(
                [node],
                "constant",
                [
                    helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)  # type: ignore[union-attr]  # none is None here
                    for n, v in inputs.items()
                ],
                [onnx.ValueInfoProto(name=name)],
            )
            folded = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
            return np.asarray(ReferenceEvaluator(folded).run(None, inputs)[0])
        except Exception:  # noqa: BLE001  # what cannot be folded is simply no constant
            return None


def is_standard(node: onnx.NodeProto) -> bool:
    """Whether a node is of the standard operator set."""
    return node.domain in {"", "ai.onnx"}


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of an attribute, or a default."""
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def opset(model: onnx.ModelProto) -> int:
    """Version of the standard operator set."""
    return max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=1)


class Names:
    """New names that nothing in a graph has yet."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken = {value.name for value in (*model.graph.input, *model.graph.output)}
        self._taken |= {tensor.name for tensor in model.graph.initializer}
        for node in all_nodes(model.graph):
            self._taken.add(node.name)
            self._taken.update(node.output)
            for graph in subgraphs(node):
                self._taken |= {t.name for t in graph.initializer} | {v.name for v in graph.input}

    def new(self, wish: str) -> str:
        """The wish, or the wish with a number."""
        name, number = wish, 1
        while name in self._taken:
            name, number = f"{wish}.{number}", number + 1
        self._taken.add(name)
        return name


def rebuilt(
    model: onnx.ModelProto,
    nodes: Iterable[onnx.NodeProto],
    added: Iterable[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """A copy of the model with other nodes, in an order that runs; what nobody reads any more is gone.

    Noted sizes of inner values are dropped: they may be those of values that no longer exist.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.node[:]
    del graph.value_info[:]
    graph.initializer.extend(added)
    graph.node.extend(_living(list(nodes), graph))
    read = {name for node in all_nodes(graph) for name in node.input}
    read |= {name for node in graph.node for name in captured(node)}
    read |= {value.name for value in graph.output} | {value.name for value in graph.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return result


def _living(nodes: list[onnx.NodeProto], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Nodes that an output depends on, each after what it reads."""
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    ordered: list[onnx.NodeProto] = []
    state: dict[int, bool] = {}
    for output in graph.output:
        stack = [(maker[output.name], False)] if output.name in maker else []
        while stack:
            index, ready = stack.pop()
            if ready:
                if not state[index]:
                    state[index] = True
                    ordered.append(nodes[index])
                continue
            if index in state:
                continue
            state[index] = False
            stack.append((index, True))
            wanted = [*nodes[index].input, *captured(nodes[index])]
            stack.extend(
                (maker[name], False) for name in reversed(wanted) if name in maker and maker[name] not in state
            )
    return ordered


def _inferred(model: onnx.ModelProto) -> tuple[dict[str, tuple[int | None, ...]], dict[str, np.dtype[Any]]]:
    """Sizes and element types by name, as far as inference finds them."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # noqa: BLE001  # contradictions and foreign operators: what the file says must do
        inferred = model.graph
    shapes: dict[str, tuple[int | None, ...]] = {t.name: tuple(t.dims) for t in model.graph.initializer}
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        kinds[value.name] = tensor.elem_type
        if tensor.HasField("shape"):
            shapes[value.name] = tuple(
                dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim
            )
    known = {name: kind for name, kind in kinds.items() if kind in helper.get_all_tensor_dtypes() and kind}
    return shapes, {name: np.dtype(helper.tensor_dtype_to_np_dtype(kind)) for name, kind in known.items()}
