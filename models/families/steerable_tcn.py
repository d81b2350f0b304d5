"""An audio effect as a temporal convolutional network: few layers that look back very far.

A block convolves with a wide, thinly spread kernel, bends the result (PReLU with one slope), and adds its
own input through a 1×1 convolution. Nothing is padded: a block is as much shorter than its input as its
kernel is wide, and the input of the residual is cropped at the front, where the past is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from models.facts import ModelFacts


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``x`` (batch, 1, past + samples), output ``y`` (batch, 1, samples), audio, float32."""
    g, samples = Graph(entry.family), entry.audio.frames * entry.audio.hop
    kernel, width = entry.arguments["kernel"], entry.arguments["channels"]
    dilations: Sequence[int] = entry.arguments["dilations"]
    past = sum((kernel - 1) * dilation for dilation in dilations)
    x, channels, length = "x", 1, past + samples
    for number, dilation in enumerate(dilations):
        crop = (kernel - 1) * dilation
        x = _block(g, x, (channels, width, kernel), (dilation, crop, length), f"block{number}")
        channels, length = width, length - crop
    head = [g.weight("head.weight", [1, width, 1], 0.5 / width**0.5), g.weight("head.bias", [1], 0.1)]
    g.node("Conv", [x, *head], "y", kernel_shape=[1])
    return g.finish({"x": [batch, 1, past + samples]}, {"y": [batch, 1, samples]})


def _block(graph: Graph, x: str, sizes: tuple[int, int, int], spans: tuple[int, int, int], name: str) -> str:
    """One block.

    Args:
        graph: where the nodes go.
        x: (batch, channels, length).
        sizes: channels that come in, channels that go out, and the kernel's size.
        spans: the dilation, how much shorter the output is, and the length of ``x``.
        name: prefix of the nodes and weights.
    """
    g, (channels, width, kernel), (dilation, crop, length) = graph, sizes, spans
    inputs = [
        x,
        g.weight(f"{name}.weight", [width, channels, kernel], (channels * kernel) ** -0.5),
        g.weight(f"{name}.bias", [width], 0.1),
    ]
    bent = g.node("Conv", inputs, f"{name}.conv", kernel_shape=[kernel], dilations=[dilation])
    slope = g.trained(f"{name}.slope", np.full((1, 1), 0.25, np.float32))
    bent = g.node("PRelu", [bent, slope], f"{name}.prelu")
    residual = g.node(
        "Conv",
        [x, g.weight(f"{name}.residual", [width, channels, 1], 0.7 / channels**0.5)],
        f"{name}.pass",
        kernel_shape=[1],
    )
    start, end = (g.constant(f"{name}.{k}", np.array([v], np.int64)) for k, v in (("start", crop), ("end", length)))
    axis = g.constant("time", np.array([2], np.int64))
    return g.node("Add", [bent, g.node("Slice", [residual, start, end, axis], f"{name}.crop")], f"{name}.sum")
