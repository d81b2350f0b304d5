"""Layer normalisation in float16 on TensorRT, which leaves it in float32 unless it is told."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx
    import tensorrt as trt


def force_half(network: trt.INetworkDefinition, graph: onnx.GraphProto) -> tuple[int, int]:
    """Ask for float16 in every normalisation of a weakly typed network.

    ``INormalizationLayer.compute_precision`` is float32 by default, whatever flags are set, and may be float16. A norm
    that is written out in the graph is not one layer: each of its layers gets a constraint instead, which the builder
    obeys only under ``OBEY_PRECISION_CONSTRAINTS``.

    Args:
        network: parsed, not yet built.
        graph: what it was parsed from; the parser names tensors after it.

    Returns:
        How many normalisation layers, and how many layers of norms that are written out.
    """
    import tensorrt as trt

    written_out, answers = _written_out(graph), {output.name for output in graph.output}
    whole = parts = 0
    for index in range(network.num_layers):
        layer: Any = network.get_layer(index)
        if layer.type == trt.LayerType.NORMALIZATION:
            # The bindings hand out every layer as an ILayer; its own class is put on by hand.
            layer.__class__ = trt.INormalizationLayer
            layer.compute_precision = trt.DataType.HALF
            whole += 1
            continue
        names = [layer.get_output(number).name for number in range(layer.num_outputs)]
        if written_out.isdisjoint(names):
            continue
        layer.precision = trt.DataType.HALF
        for number, name in enumerate(names):
            # An answer keeps the type that the graph gives it.
            if name not in answers:
                layer.set_output_type(number, trt.DataType.HALF)
        parts += 1
    return whole, parts


def _written_out(graph: onnx.GraphProto) -> set[str]:
    """Names of values inside norms that are written out: mean, difference, square, mean, sum, root, quotient."""
    makers = {name: node for node in graph.node for name in node.output}
    readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    found: set[str] = set()
    for root in graph.node:
        if root.op_type == "Sqrt" and (chain := _variance(root, makers)):
            quotients = [node for node in readers[root.output[0]] if node.op_type in {"Div", "Reciprocal"}]
            found.update(node.output[0] for node in (*chain, root, *quotients))
    return found


def _variance(root: onnx.NodeProto, makers: dict[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """What leads to a root, last node first; nothing where it is no root of a variance."""
    chain: list[onnx.NodeProto] = []
    node = root
    for kinds in ({"Add"}, {"ReduceMean"}, {"Pow", "Mul"}, {"Sub"}, {"ReduceMean"}):
        sources = (makers.get(name) for name in node.input)
        before = next((source for source in sources if source is not None and source.op_type in kinds), None)
        if before is None:
            return []
        chain.append(before)
        node = before
    return chain
