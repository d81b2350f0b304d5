"""The offline mask U-Net: double 3×3 convolutions with batch norm, pooled in frequency and in time.

It looks at whole seconds at once, forwards and backwards; nothing in it is causal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.families.causal_unet import bounded_mask
from models.graph import Graph

if TYPE_CHECKING:
    import onnx

    from models.facts import ModelFacts

# Mean and variance of what convolutions meet, for conv_norm_relu: standard normal values behind a ReLU.
RECTIFIED = (0.40, 0.34)
# The largest of four such neighbours, which resemble each other.
POOLED = (0.85, 0.60)
# Rectified values behind a transposed convolution with weights of variance 2 / channels.
UPSAMPLED = (0.0, 1.0)
# log(1 + x) over the magnitudes of models.inputs.
COMPRESSED = (0.40, 0.09)


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``x``; outputs ``residual`` = m·x with m in [0, 0.5], and ``clean`` = x − residual.

    All three are magnitudes (batch, 1, bins, frames), float32. Bins and frames may be any: inside,
    they are padded with zeros to what can be halved once per level, here multiples of 16.
    """
    return _Builder(entry, batch).build()


def conv_norm_relu(
    graph: Graph, x: str, sizes: tuple[int, int], name: str, *moments: tuple[float, float], bias: bool
) -> str:
    """A 3×3 convolution, batch norm in its own node, and ReLU.

    The running statistics are those that the seeded weights would have met in training: what they
    make of independent values of the given moments. So no channel is switched off for good, and
    however many blocks follow each other, values keep their size.

    Args:
        graph: where the nodes go.
        x: (batch, channels, bins, frames).
        sizes: channels that come in, channels that go out.
        name: prefix of the nodes and weights.
        moments: mean and variance of what comes in, a pair for each equal share of its channels.
        bias: whether the convolution has one; before a norm it is idle, but it is there to be computed.
    """
    channels, width = sizes
    shape = (width, channels, 3, 3)
    kernel = graph.generator(f"{name}.weight").standard_normal(shape) * (2 / (9 * channels)) ** 0.5
    inputs = [x, graph.trained(f"{name}.weight", kernel.astype(np.float32))]
    if bias:
        inputs.append(graph.weight(f"{name}.bias", [width], 0.1))
    x = graph.node("Conv", inputs, name, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    mean, variance = np.repeat(np.array(moments), channels // len(moments), axis=0).T
    norm = [
        graph.weight(f"{name}.norm.gain", [width], 0.1, offset=1.0),
        graph.weight(f"{name}.norm.shift", [width], 0.1),
        graph.constant(f"{name}.norm.mean", (kernel.sum(axis=(2, 3)) @ mean).astype(np.float32)),
        graph.constant(f"{name}.norm.variance", ((kernel**2).sum(axis=(2, 3)) @ variance).astype(np.float32)),
    ]
    x = graph.node("BatchNormalization", [x, *norm], f"{name}.norm")
    return graph.node("Relu", [x], f"{name}.relu")


class _Builder:
    def __init__(self, entry: ModelFacts, batch: int) -> None:
        self.graph = Graph(entry.family)
        self.widths: list[int] = entry.arguments["widths"]
        self.bottleneck: int = entry.arguments["bottleneck"]
        self.dims = [batch, 1, entry.arguments["bins"], entry.audio.frames]

    def build(self) -> onnx.ModelProto:
        g = self.graph
        x, channels = self._padded(self._compressed("x")), 1
        skips: list[str] = []
        for level, width in enumerate(self.widths):
            x, channels = self._double(x, channels, width, f"enc{level}", POOLED if level else COMPRESSED), width
            skips.append(x)
            x = g.node("MaxPool", [x], f"enc{level}.pool", kernel_shape=[2, 2], strides=[2, 2])
        x, channels = self._double(x, channels, self.bottleneck, "bottleneck", POOLED), self.bottleneck
        for level, width in reversed(list(enumerate(self.widths))):
            x = self._twice_as_large(x, channels, width, f"dec{level}.up")
            x = g.node("Concat", [x, skips[level]], f"dec{level}.concat", axis=1)
            x, channels = self._double(x, 2 * width, width, f"dec{level}", UPSAMPLED, RECTIFIED), width
        head = [g.weight("head.weight", [1, channels, 1, 1], (2 / channels) ** 0.5), g.weight("head.bias", [1], 0.1)]
        x = bounded_mask(g, g.node("Conv", [x, *head], "head", kernel_shape=[1, 1]), "bounded")
        g.node("Mul", [self._cropped(x), "x"], "residual")
        g.node("Sub", ["x", "residual"], "clean")
        return g.finish({"x": self.dims}, {"residual": self.dims, "clean": self.dims})

    def _compressed(self, x: str) -> str:
        one = self.graph.constant("one", np.float32(1).reshape(()))
        return self.graph.node("Log", [self.graph.node("Add", [x, one], "log1p.sum")], "log1p")

    def _padded(self, x: str) -> str:
        step = 2 ** len(self.widths)
        missing = [0, 0, *(-size % step for size in self.dims[2:])]
        return self.graph.node(
            "Pad", [x, self.graph.constant("pad.pads", np.array([0] * 4 + missing, np.int64))], "pad"
        )

    def _cropped(self, x: str) -> str:
        g = self.graph
        starts, ends, axes = (np.array(v, np.int64) for v in ([0, 0], self.dims[2:], [2, 3]))
        places = [g.constant("crop.starts", starts), g.constant("crop.ends", ends), g.constant("crop.axes", axes)]
        return g.node("Slice", [x, *places], "mask")

    def _double(self, x: str, channels: int, width: int, stage: str, *moments: tuple[float, float]) -> str:
        x = conv_norm_relu(self.graph, x, (channels, width), f"{stage}.0", *moments, bias=False)
        return conv_norm_relu(self.graph, x, (width, width), f"{stage}.1", RECTIFIED, bias=False)

    def _twice_as_large(self, x: str, channels: int, width: int, name: str) -> str:
        # Every output value is a sum over the channels of one input place: steps as long as the kernel.
        weight = self.graph.weight(f"{name}.weight", [channels, width, 2, 2], (2 / channels) ** 0.5)
        bias = self.graph.weight(f"{name}.bias", [width], 0.1)
        return self.graph.node("ConvTranspose", [x, weight, bias], name, kernel_shape=[2, 2], strides=[2, 2])
