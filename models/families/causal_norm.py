"""CausalChannelLayerNorm as an exporter leaves it: nine elementary nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.graph import Graph

EPSILON = 1e-5


def causal_norm(graph: Graph, x: str, channels: int, name: str) -> str:
    """Normalise each frame of ``x`` (batch, channels, bins, frames) over channels and bins.

    ``y = (x − mean) / sqrt(var + 1e-5) · γ_c + β_c``; the statistics of a frame see no other frame,
    so the norm lets no future into the past. γ and β are (1, channels, 1, 1), seeded.

    Args:
        graph: where the nodes go.
        x: the tensor to normalise.
        channels: its second size.
        name: prefix of the nodes and weights.
    """
    g = graph
    axes = g.constant("norm.axes", np.array([1, 2], np.int64))
    mean = g.node("ReduceMean", [x, axes], f"{name}.mean", keepdims=1)
    centred = g.node("Sub", [x, mean], f"{name}.centred")
    squared = g.node("Pow", [centred, g.constant("norm.two", np.float32(2).reshape(()))], f"{name}.squared")
    variance = g.node("ReduceMean", [squared, axes], f"{name}.variance", keepdims=1)
    safe = g.node("Add", [variance, g.constant("norm.epsilon", np.float32(EPSILON).reshape(()))], f"{name}.safe")
    x = g.node("Div", [centred, g.node("Sqrt", [safe], f"{name}.deviation")], f"{name}.scaled")
    gain = g.weight(f"{name}.gain", [1, channels, 1, 1], 0.1, offset=1.0)
    shift = g.weight(f"{name}.shift", [1, channels, 1, 1], 0.1)
    return g.node("Add", [g.node("Mul", [x, gain], f"{name}.gained"), shift], f"{name}.shifted")
