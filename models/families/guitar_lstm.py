"""A guitar amplifier as a hybrid net: two strided convolutions and an LSTM look at a window per sample.

Nothing is carried from call to call: every output sample comes with the window of input that it needs,
so a call of 256 samples is 256 windows, most of whose samples they share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.families.lstm_effect import lstm
from models.graph import Graph

if TYPE_CHECKING:
    import onnx

    from models.facts import ModelFacts


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``windows`` (batch · samples, 1, window), output ``y`` (batch · samples, 1): one sample per window."""
    g, count = Graph(entry.family), batch * entry.audio.frames * entry.audio.hop
    window, filters = entry.arguments["window"], entry.arguments["filters"]
    kernel, units = entry.arguments["kernel"], entry.arguments["units"]
    x, channels, length = "windows", 1, window
    for number in range(2):
        x, length = _strided(g, x, (channels, filters), (length, kernel), f"conv{number}")
        channels = filters
    x = g.node("Transpose", [x], "frames", perm=[2, 0, 1])
    _, last, _ = lstm(g, x, (filters, units), "lstm", gain=1.0)
    x = g.node("Squeeze", [last, g.constant("direction", np.array([0], np.int64))], "last")
    g.node("Gemm", [x, g.weight("dense.weight", [units, 1], 2 / units**0.5), g.weight("dense.bias", [1], 0.1)], "y")
    return g.finish({"windows": [count, 1, window]}, {"y": [count, 1]})


def _strided(graph: Graph, x: str, sizes: tuple[int, int], spans: tuple[int, int], name: str) -> tuple[str, int]:
    """A convolution with steps as long as its kernel, padded with zeros to whole steps, the odd one at the end.

    Args:
        graph: where the node goes.
        x: (windows, channels, length).
        sizes: channels that come in, channels that go out.
        spans: length, and the kernel's.
        name: of the node.

    Returns:
        Its output, and the length of that.
    """
    (channels, width), (length, kernel) = sizes, spans
    missing = -length % kernel
    weight = graph.weight(f"{name}.weight", [width, channels, kernel], (channels * kernel) ** -0.5)
    return graph.node(
        "Conv",
        [x, weight, graph.weight(f"{name}.bias", [width], 0.1)],
        name,
        kernel_shape=[kernel],
        strides=[kernel],
        pads=[missing // 2, missing - missing // 2],
    ), (length + missing) // kernel
