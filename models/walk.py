"""Going through a graph with everything in it: branches and loop bodies are graphs inside nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

# Operators that draw anew at each call: no answer can be checked against another, and none is a constant.
RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node."""
    for entry in node.attribute:
        if entry.HasField("g"):
            yield entry.g
        yield from entry.graphs


def all_nodes(body: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Every node, each before those of the graphs inside it."""
    for node in body.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """Names that the graphs inside a node may read from outside, their own among them."""
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from filter(None, inner.input)
            yield from captured(inner)
        yield from (value.name for value in graph.output)
