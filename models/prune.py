"""A graph without what no engine has to do: nodes that no answer depends on, and the same node again."""

from __future__ import annotations

import onnx

from models.walk import RANDOM, captured, subgraphs


def pruned(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every answer is the same and nothing is done for nothing.

    Nodes whose results nobody needs are left out. Of nodes that do the same to the same tensors the first one
    stays, and its results stand for those of the others; answers keep their own node, and so does whatever
    draws at random or has a graph of its own inside.
    """
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    answers = {value.name for value in kept.graph.output}
    # Names that graphs inside of nodes use are theirs to keep.
    keeping = answers | {name for node in kept.graph.node for name in captured(node)}
    same: dict[str, str] = {}
    first: dict[bytes, onnx.NodeProto] = {}
    nodes = []
    for node in kept.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
        fixed = node.op_type in RANDOM or any(True for _ in subgraphs(node)) or keeping & set(node.output)
        twin = node if fixed else first.setdefault(_key(node), node)
        if twin is node:
            nodes.append(node)
        else:
            same |= {name: other for name, other in zip(node.output, twin.output, strict=True) if name}
    needed = set(answers)
    live: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if needed & set(node.output):
            live.append(node)
            needed |= {*node.input, *captured(node)}
    del kept.graph.node[:]
    kept.graph.node.extend(reversed(live))
    return kept


def _key(node: onnx.NodeProto) -> bytes:
    """Equal for nodes that do the same to the same tensors."""
    bare = onnx.NodeProto()
    bare.CopyFrom(node)
    bare.name = bare.doc_string = ""
    del bare.output[:], bare.metadata_props[:]
    bare.output.extend("x" if name else "" for name in node.output)
    attributes = sorted(bare.attribute, key=lambda attribute: attribute.name)
    del bare.attribute[:]
    bare.attribute.extend(attributes)
    return bytes(bare.SerializeToString(deterministic=True))
