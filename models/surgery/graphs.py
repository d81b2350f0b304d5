"""What passes over whole files share: a copy in one plain shape, notes that survive, what changed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.errors import ModelError
from models.signature import real_inputs
from models.surgery.rewrite import Names, View, attribute, is_standard, rebuilt
from models.walk import all_nodes, captured, subgraphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

STANDARD = {"", "ai.onnx"}
# Initializers outside the list of inputs are constants from here on.
_FIRST_IR = 4
# Read by every engine we drive; newer ones are not.
_USUAL_IR = 10
# Sizes, axes, pads: what decides about shapes is small.
_MOST_SIZES = 64
_ROUNDS = 6


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model, the same to every engine, written in one way.

    Functions are inlined, sparse weights dense, constants initializers, weights no inputs, nodes in an
    order that runs and of different names; ``ai.onnx`` is written as the empty domain it stands for.

    Raises:
        ModelError: functions or sparse weights that cannot be written out.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    if result.functions:
        result = _inlined(result)
    _join_imports(result)

    _tidy(result.graph, frozenset())
    name_nodes(result, every=False)
    size_outputs(result)
    weights = {tensor.name for tensor in result.graph.initializer}
    inputs = [value for value in result.graph.input if value.name not in weights]
    del result.graph.input[:]
    result.graph.input.extend(inputs)
    result.ir_version = max(result.ir_version, _FIRST_IR)
    return result


def settled(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which computed sizes are constants, so that shape inference sees as far as it can.

    For looking only: use it where every input size is fixed.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for _ in range(_ROUNDS):
        view = View(result)
        folded = {}
        for index, node in enumerate(view.nodes):
            if len(node.output) != 1 or node.op_type == "Constant" or any(True for _ in subgraphs(node)):
                continue
            kind, shape = view.dtype(node.output[0]), view.shape(node.output[0])
            if kind is None or shape is None or len(shape) > 1 or kind.kind not in "iufb":
                continue
            value = view.value(node.output[0], 64)
            if value is not None and value.size <= _MOST_SIZES:
                folded[index] = value
        noted = _note_sizes(result, view)
        if not folded and not noted:
            return result
        for index, value in folded.items():
            name = result.graph.node[index].output[0]
            result.graph.node[index].CopyFrom(
                helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))
            )
    return result


def _note_sizes(model: onnx.ModelProto, view: View) -> bool:
    """Write down sizes that onnx's inference leaves out; returns whether there were any."""
    found = False
    for node in view.nodes:
        if node.op_type != "GroupNormalization" or not is_standard(node) or view.shape(node.output[0]) is not None:
            continue
        shape, kind = view.shape(node.input[0]), view.dtype(node.input[0])
        if shape is not None and kind is not None:
            code = helper.np_dtype_to_tensor_dtype(kind)
            model.graph.value_info.append(helper.make_tensor_value_info(node.output[0], code, shape))
            found = True
    return found


def still_open(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Sizes that were given for the graph before any pass, as far as this graph leaves them open."""
    sizes = {}
    for value in real_inputs(model):
        given, tensor = shapes.get(value.name), value.type.tensor_type
        if given is None:
            continue
        dims = [dim.dim_value for dim in tensor.shape.dim] if tensor.HasField("shape") else [0] * len(given)
        if len(dims) == len(given):
            sizes[value.name] = tuple(dim if dim > 0 else size for dim, size in zip(dims, given, strict=True))
    return sizes


def keep_notes(after: onnx.ModelProto, before: onnx.ModelProto) -> None:
    """Give a graph that a library wrote the names and remarks of the one it was made of."""
    del after.metadata_props[:]
    after.metadata_props.extend(before.metadata_props)
    after.graph.name = before.graph.name
    for name in ("producer_name", "producer_version", "domain", "doc_string", "model_version"):
        if before.HasField(name):
            setattr(after, name, getattr(before, name))


def drop_unused_imports(model: onnx.ModelProto) -> None:
    """Leave no operator set that no node is of: an engine may refuse one it does not know."""
    used = {node.domain for node in all_nodes(model.graph)} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def raise_ir(model: onnx.ModelProto, least: int = 0) -> None:
    """Raise the IR version to what the operator sets need; one that is too new for most engines is lowered."""
    imports = [entry for entry in model.opset_import if entry.domain in STANDARD]
    needed = max(least, helper.find_min_ir_version_for(imports, ignore_unknown=True) if imports else 0)
    model.ir_version = max(needed, min(model.ir_version, _USUAL_IR))


def differing(before: onnx.ModelProto, after: onnx.ModelProto) -> int:
    """How many nodes are new or gone, whichever is more; names of nodes do not count, those of values do."""
    old, new = Counter(_signatures(before)), Counter(_signatures(after))
    return max((old - new).total(), (new - old).total())


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    """Give a node an attribute, in place of the one it had; None takes it away."""
    kept = [entry for entry in node.attribute if entry.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def first_line(error: BaseException) -> str:
    """What a library complains about, in one line."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def called(node: onnx.NodeProto) -> str:
    """How a message refers to a node."""
    kind = node.op_type if is_standard(node) else f"{node.domain}::{node.op_type}"
    return f"{kind} {node.name!r}" if node.name else f"{kind} that makes {next(filter(None, node.output), '')!r}"


def constant_of(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """The tensor of a Constant node, under the name of its output; None where it is text or sparse."""
    if node.op_type != "Constant" or not is_standard(node) or len(node.attribute) != 1:
        return None
    entry = node.attribute[0]
    if entry.name == "value":
        tensor = TensorProto()
        tensor.CopyFrom(entry.t)
    elif entry.name in {"value_float", "value_floats"}:
        values = entry.f if entry.name == "value_float" else list(entry.floats)
        tensor = numpy_helper.from_array(np.array(values, np.float32))
    elif entry.name in {"value_int", "value_ints"}:
        values = entry.i if entry.name == "value_int" else list(entry.ints)
        tensor = numpy_helper.from_array(np.array(values, np.int64))
    else:
        return None
    tensor.name = node.output[0]
    return tensor


def size_outputs(model: onnx.ModelProto) -> None:
    """Give outputs the sizes that inference finds where the file has none: onnx's checker wants some."""
    bare = [
        v for v in model.graph.output if v.type.HasField("tensor_type") and not v.type.tensor_type.HasField("shape")
    ]
    if not bare:
        return
    try:
        inferred = {v.name: v for v in onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output}
    except Exception:  # noqa: BLE001  # it raises several types; then nothing is known
        return
    for value in bare:
        if inferred[value.name].type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.CopyFrom(inferred[value.name].type.tensor_type.shape)


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import inliner

    try:
        result = inliner.inline_local_functions(model)
    except Exception as error:
        raise ModelError(f"its functions cannot be written out ({first_line(error)}); export it without") from error
    keep_notes(result, model)
    return result


def _join_imports(model: onnx.ModelProto) -> None:
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain in STANDARD else entry.domain
        versions[domain] = max(versions.get(domain, 0), entry.version)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, version) for domain, version in versions.items())


def _tidy(graph: onnx.GraphProto, outer: frozenset[str]) -> None:
    for sparse in graph.sparse_initializer:
        graph.initializer.append(_dense(sparse))
    del graph.sparse_initializer[:]
    nodes, made = [], {value.name for value in graph.output}
    for node in graph.node:
        if node.domain == "ai.onnx":
            node.domain = ""
        tensor = constant_of(node)
        # One that leaves the graph stays: an output must be the work of a node.
        if tensor is None or node.output[0] in made:
            nodes.append(node)
        else:
            graph.initializer.append(tensor)
    known = outer | {""} | {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    ordered = _ordered(nodes, known)
    kept = [_copy(node) for node in ordered]
    del graph.node[:]
    graph.node.extend(kept)
    inner = known | {name for node in graph.node for name in node.output}
    for node in graph.node:
        for sub in subgraphs(node):
            _tidy(sub, frozenset(inner))


def _ordered(nodes: list[onnx.NodeProto], known: frozenset[str]) -> list[onnx.NodeProto]:
    """Nodes after what they read, else as they stood; whatever waits for nothing that comes is left as it was."""
    made = {name for node in nodes for name in node.output}
    ready, waiting, ordered = set(known), nodes, []
    while waiting:
        later = []
        for node in waiting:
            wanted = {*node.input, *(name for name in captured(node) if name in made)}
            if wanted <= ready:
                ordered.append(node)
                ready.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            return [*ordered, *later]
        waiting = later
    return ordered


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    try:
        values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        flat = np.zeros(int(np.prod(sparse.dims)), values.dtype)
        flat[places if places.ndim == 1 else np.ravel_multi_index(tuple(places.T), tuple(sparse.dims))] = values
        return numpy_helper.from_array(flat.reshape(tuple(sparse.dims)), sparse.values.name)
    except Exception as error:
        raise ModelError(f"the sparse weight {sparse.values.name!r} cannot be read ({first_line(error)})") from error


def _signatures(model: onnx.ModelProto) -> Iterator[bytes]:
    for node in model.graph.node:
        plain = _copy(node)
        plain.name = plain.doc_string = ""
        plain.domain = "" if is_standard(plain) else plain.domain
        plain.ClearField("metadata_props")
        attributes = sorted(plain.attribute, key=lambda entry: entry.name)
        del plain.attribute[:]
        for entry in attributes:
            entry.ClearField("doc_string")
            plain.attribute.append(entry)
        yield plain.SerializeToString(deterministic=True)


def name_nodes(model: onnx.ModelProto, *, every: bool = True) -> None:
    """Give nodes names of their own, in place.

    Args:
        model: changed.
        every: nodes without a name too: tools make names of new values from them. Names that two
            nodes share are refused by engines.
    """
    names, seen = Names(model), set[str]()
    for node in all_nodes(model.graph):
        if node.name in seen or (every and not node.name):
            node.name = names.new(node.name or f"{node.op_type}.{next(filter(None, node.output), '')}")
        if node.name:
            seen.add(node.name)


def fold_weights(model: onnx.ModelProto, operators: frozenset[str]) -> None:
    """Turn weights that nodes compute from constants alone (a Transpose, an Identity) into initializers, in place."""
    view, names = View(model), Names(model)
    made: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type not in operators or not is_standard(node):
            continue
        for index, name in enumerate(node.input):
            if name not in view.maker or view.made_by(name, "DequantizeLinear") is not None:
                continue
            value = view.value(name)
            if value is None or value.ndim == 0 or value.dtype.kind != "f":
                continue
            if name not in made:
                made[name] = names.new(f"{name}.folded")
                model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), made[name]))
            node.input[index] = made[name]
    if made:
        model.CopyFrom(rebuilt(model, list(model.graph.node)))


def plain_gemms(model: onnx.ModelProto) -> None:
    """Multiply the factors of Gemm into its constants, in place: what rounds weights does not look at factors."""
    view, names = View(model), Names(model)
    for node in model.graph.node:
        if node.op_type != "Gemm" or not is_standard(node):
            continue
        for place, name in ((1, "alpha"), (2, "beta")):
            factor = attribute(node, name, 1.0)
            value = view.value(node.input[place]) if place < len(node.input) and node.input[place] else None
            if factor == 1.0 or value is None:
                continue
            scaled = numpy_helper.from_array(value * value.dtype.type(factor), names.new(f"{node.input[place]}.{name}"))
            model.graph.initializer.append(scaled)
            node.input[place] = scaled.name
            set_attribute(node, name, None)


def computed(node: onnx.NodeProto, values: dict[str, NDArray[Any]], model: onnx.ModelProto) -> NDArray[Any] | None:
    """What one node with one output makes of known inputs; None where that cannot be told."""
    if len(node.output) != 1 or not (values or node.op_type == "Constant"):
        return None
    try:
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in values.items()
        ]
        graph = helper.make_graph([node], "one", inputs, [onnx.ValueInfoProto(name=node.output[0])])
        one = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        return np.asarray(ReferenceEvaluator(one).run(None, values)[0])
    except Exception:  # noqa: BLE001  # whatever the evaluator lacks or objects to: it is not told
        return None
