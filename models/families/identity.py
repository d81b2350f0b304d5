"""One Identity node: what a call costs before any arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.graph import Graph

if TYPE_CHECKING:
    import onnx

    from models.facts import ModelFacts


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``x`` and output ``y``, both (batch, samples) float32."""
    graph = Graph(entry.name)
    graph.node("Identity", ["x"], "y")
    dims = [batch, entry.audio.frames * entry.audio.hop]
    return graph.finish({"x": dims}, {"y": dims})
