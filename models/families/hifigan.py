"""HiFi-GAN's generator: transposed convolutions from mel frames up to samples, residual blocks behind each.

Weight norm is folded into the weights, as everybody does before exporting.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from models.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    from models.facts import ModelFacts

# Leak inside the network; before the last convolution it is PyTorch's default.
SLOPE, LAST_SLOPE = 0.1, 0.01
# Mean square of a leaky ReLU behind N(0, 1), the same to three digits for both slopes.
RECTIFIED = 0.5 * (1 + SLOPE**2)
# How loud a residual branch is beside what it is added to: at 1 a dozen of them would run away.
BRANCH = 0.5
# Standard deviation before the last tanh, which stays far from its ends.
LOUDNESS = 0.35


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``mel`` (batch, mel bins, frames); output ``audio`` (batch, 1, frames · hop) in (−1, 1); float32."""
    return _Builder(entry, batch).build()


class _Builder:
    def __init__(self, entry: ModelFacts, batch: int) -> None:
        self.graph = Graph(entry.name)
        self.arguments: Mapping[str, Any] = entry.arguments
        self.mel = [batch, self.arguments["mels"], entry.audio.frames]
        self.audio = [batch, 1, entry.audio.frames * entry.audio.hop]
        assert math.prod(self.arguments["rates"]) == entry.audio.hop

    def build(self) -> onnx.ModelProto:
        g, a = self.graph, self.arguments
        channels = a["channels"]
        x = self._conv("mel", (self.mel[1], channels), 7, "pre", mean_square=1.0)
        for stage, (rate, kernel) in enumerate(zip(a["rates"], a["kernels"], strict=True)):
            x = g.node("LeakyRelu", [x], f"up{stage}.leaky", alpha=SLOPE)
            x = self._upsample(x, channels, rate, kernel, f"up{stage}")
            channels //= 2
            x = self._fusion(x, channels, f"stage{stage}")
        x = g.node("LeakyRelu", [x], "post.leaky", alpha=LAST_SLOPE)
        # Every stage has made it somewhat louder.
        louder = 1 + BRANCH**2 * len(a["block_dilations"][0]) / len(a["block_kernels"])
        x = self._conv(x, (channels, 1), 7, "post", gain=LOUDNESS / louder ** (len(a["rates"]) / 2))
        g.node("Tanh", [x], "audio")
        return g.finish({"mel": self.mel}, {"audio": self.audio})

    def _fusion(self, x: str, channels: int, stage: str) -> str:
        """The mean of residual blocks that differ in their kernels and dilations."""
        g, a = self.graph, self.arguments
        block = self._double_block if a["block"] == 1 else self._single_block
        table = list(zip(a["block_kernels"], a["block_dilations"], strict=True))
        total = ""
        for index, (kernel, dilations) in enumerate(table):
            found = block(x, channels, kernel, dilations, f"{stage}.{index}")
            total = g.node("Add", [total, found], f"{stage}.sum{index}") if total else found
        count = g.constant("blocks", np.float32(len(table)).reshape(()))
        return g.node("Div", [total, count], f"{stage}.mean")

    def _double_block(self, x: str, channels: int, kernel: int, dilations: Sequence[int], name: str) -> str:
        """Residual block type 1: behind every dilated convolution an undilated one."""
        g = self.graph
        for index, dilation in enumerate(dilations):
            part = f"{name}.{index}"
            y = g.node("LeakyRelu", [x], f"{part}.first.leaky", alpha=SLOPE)
            y = self._conv(y, (channels, channels), kernel, f"{part}.first", dilation=dilation)
            y = g.node("LeakyRelu", [y], f"{part}.second.leaky", alpha=SLOPE)
            y = self._conv(y, (channels, channels), kernel, f"{part}.second", gain=BRANCH)
            x = g.node("Add", [y, x], f"{part}.sum")
        return x

    def _single_block(self, x: str, channels: int, kernel: int, dilations: Sequence[int], name: str) -> str:
        """Residual block type 2: dilated convolutions only."""
        g = self.graph
        for index, dilation in enumerate(dilations):
            part = f"{name}.{index}"
            y = g.node("LeakyRelu", [x], f"{part}.leaky", alpha=SLOPE)
            y = self._conv(y, (channels, channels), kernel, part, dilation=dilation, gain=BRANCH)
            x = g.node("Add", [y, x], f"{part}.sum")
        return x

    def _conv(
        self,
        x: str,
        sizes: tuple[int, int],
        kernel: int,
        name: str,
        *,
        dilation: int = 1,
        gain: float = 1.0,
        mean_square: float = RECTIFIED,
    ) -> str:
        """A convolution that keeps the length, and multiplies the standard deviation by ``gain``."""
        channels, width = sizes
        scale = gain / (channels * kernel * mean_square) ** 0.5
        weight = self.graph.weight(f"{name}.weight", [width, channels, kernel], scale)
        bias = self.graph.weight(f"{name}.bias", [width], 0.05 * gain)
        around = dilation * (kernel - 1) // 2
        return self.graph.node(
            "Conv", [x, weight, bias], name, kernel_shape=[kernel], dilations=[dilation], pads=[around, around]
        )

    def _upsample(self, x: str, channels: int, rate: int, kernel: int, name: str) -> str:
        """A transposed convolution: ``rate`` times the length, half of the channels."""
        # Every sample is reached by kernel / rate taps.
        scale = (rate / (channels * kernel * RECTIFIED)) ** 0.5
        weight = self.graph.weight(f"{name}.weight", [channels, channels // 2, kernel], scale)
        bias = self.graph.weight(f"{name}.bias", [channels // 2], 0.05)
        around = (kernel - rate) // 2
        return self.graph.node(
            "ConvTranspose", [x, weight, bias], name, kernel_shape=[kernel], strides=[rate], pads=[around, around]
        )
