"""The verdict on a residual: four convolutions over feature planes, one average, one probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.families.teacher import POOLED, RECTIFIED, conv_norm_relu
from models.graph import Graph

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from models.facts import ModelFacts

# Mean and variance that feature planes between about -1 and 3 have.
FEATURES = (0.6, 0.6)
# The head, see _verdict: how many directions it looks in, from where to where, and how steeply.
DIRECTIONS, REACH, SLOPE = 16, 1.8, 3.0


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``features`` (batch, channels, bins, frames); output ``score`` (batch, 1), P(AI) in (0, 1).

    Bins and frames may be any from 8 on; the average over both makes the head independent of them.
    """
    g = Graph(entry.family)
    channels, bins = entry.arguments["channels"], entry.arguments["bins"]
    widths, hidden = entry.arguments["widths"], entry.arguments["hidden"]
    dims = [batch, channels, bins, entry.audio.frames]
    x, moments = "features", FEATURES
    for level, width in enumerate(widths):
        x = conv_norm_relu(g, x, (channels, width), f"conv{level}", moments, bias=True)
        channels, moments = width, POOLED
        if level + 1 < len(widths):
            # Nothing is published about pooling in between; without it the last convolution alone
            # would take about twice the work of the whole teacher.
            x = g.node("MaxPool", [x], f"conv{level}.pool", kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x], "average")], "flat")
    _verdict(g, x, channels, hidden)
    return g.finish({"features": dims}, {"score": [batch, 1]})


def _verdict(graph: Graph, x: str, channels: int, hidden: int) -> str:
    """Two dense layers and a sigmoid whose score depends on the input wherever the averages lie.

    Averages over thousands of values hardly differ from input to input, and random layers upon
    them would answer nearly the same to everything, or 0 and 1 if they were steep enough to
    tell inputs apart. So the hidden units share a few random directions: along each they bend
    at even steps and count up and down in turn, which adds up to a zigzag. A sum of zigzags is
    moderately steep everywhere and large nowhere.
    """
    bends = hidden // DIRECTIONS
    step = 2 * REACH / bends
    generator = graph.generator("dense")
    directions = generator.standard_normal((DIRECTIONS, channels)) / channels**0.5
    starts = generator.uniform(-step / 2, step / 2, (DIRECTIONS, 1)) - REACH
    thresholds = RECTIFIED[0] * directions.sum(axis=1, keepdims=True) + starts + step * np.arange(bends)
    # Up by one, then by two down and up in turn, and level again behind the last bend.
    turns = 2.0 * (-1) ** np.arange(bends)
    turns[[0, -1]] /= 2
    height = SLOPE * step
    x = _dense(graph, x, np.repeat(directions, bends, axis=0), -thresholds.ravel(), "dense")
    x = graph.node("Relu", [x], "dense.relu")
    middle = np.array([-DIRECTIONS * height / 2])
    x = _dense(graph, x, np.tile(SLOPE * turns, DIRECTIONS)[None], middle, "verdict")
    return graph.node("Sigmoid", [x], "score")


def _dense(graph: Graph, x: str, weight: NDArray[np.float64], bias: NDArray[np.float64], name: str) -> str:
    inputs = [
        x,
        graph.trained(f"{name}.weight", weight.astype(np.float32)),
        graph.trained(f"{name}.bias", bias.astype(np.float32)),
    ]
    return graph.node("Gemm", inputs, name, transB=1)
