"""The causal mask U-Nets: ``rt`` (one channel in, one mask out) and ``fast`` (two and two).

Both are stacks of one block, *depthwise convolution → pointwise convolution → CausalCLN →
ReLU*, with max pooling and nearest upsampling along frequency only, so time is never mixed
except by the depthwise kernel, which sees the present and the past.

CausalCLN normalises each frame over channels and frequencies:
``y = (x − mean) / sqrt(var + 1e-5) · γ_c + β_c``, written out in nine elementary nodes, as an
exporter leaves it (:mod:`models.families.causal_norm`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.families.causal_norm import causal_norm
from models.graph import Graph

if TYPE_CHECKING:
    import onnx

    from models.facts import ModelFacts


@dataclass(frozen=True)
class UNetShape:
    """The layer table of one U-Net.

    Attributes:
        bins: frequency bins of the input (N_FFT / 2 + 1).
        channels: input channels, which is also the number of masks.
        widths: channels per level, top to bottom.
        bottleneck: channels below the last level.
        kernel: depthwise kernel as (frequency, time).
        encoder_blocks: blocks per encoder stage and in the bottleneck.
        reduce_before_upsample: a 1×1 convolution with bias halves the channels first.
    """

    bins: int
    channels: int
    widths: tuple[int, ...]
    bottleneck: int
    kernel: tuple[int, int]
    encoder_blocks: int
    reduce_before_upsample: bool


SHAPES = {
    "rt": UNetShape(513, 1, (16, 32, 64, 128), 256, (3, 2), 1, reduce_before_upsample=False),
    "fast": UNetShape(1025, 2, (24, 48, 96, 192), 384, (7, 3), 2, reduce_before_upsample=True),
}


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """One U-Net: input ``x`` and output ``mask``, both (batch, channels, bins, frames) float32."""
    return _Builder(entry.arguments["shape"], entry.audio.frames, batch).build()


def bounded_mask(graph: Graph, x: str, name: str) -> str:
    """``sigmoid(x) / 2``: a mask in [0, 0.5], so that no more than half of a bin is ever taken away."""
    x = graph.node("Sigmoid", [x], "head.sigmoid")
    return graph.node("Mul", [x, graph.constant("half", np.float32(0.5).reshape(()))], name)


def upsample_bins(graph: Graph, x: str, sizes: tuple[int, int, int, int], name: str) -> str:
    """Stretch (batch, channels, bins, frames) to ``sizes``, of which only the bins are new: nearest neighbours."""
    return graph.node(
        "Resize",
        [x, "", "", graph.constant(f"{name}.sizes", np.array(sizes, np.int64))],
        name,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


class _Builder:
    def __init__(self, shape: str, frames: int, batch: int) -> None:
        # Named after the network, not after the entry: the same weights whatever the number of frames.
        self.graph = Graph(shape)
        self.shape, self.frames, self.batch = SHAPES[shape], frames, batch

    def build(self) -> onnx.ModelProto:
        s = self.shape
        x, channels, bins = "x", s.channels, s.bins
        skips: list[tuple[str, int, int]] = []
        for level, width in enumerate(s.widths):
            x, channels = self._blocks(x, channels, width, f"enc{level}", s.encoder_blocks)
            skips.append((x, channels, bins))
            x = self.graph.node("MaxPool", [x], f"enc{level}.pool", kernel_shape=[2, 1], strides=[2, 1])
            bins //= 2
        x, channels = self._blocks(x, channels, s.bottleneck, "bottleneck", s.encoder_blocks)
        for level, (skip, width, bins) in reversed(list(enumerate(skips))):
            stage = f"dec{level}"
            if s.reduce_before_upsample:
                x, channels = self._pointwise(x, channels, width, f"{stage}.reduce", bias=True), width
            x = upsample_bins(self.graph, x, (self.batch, channels, bins, self.frames), f"{stage}.up")
            x = self.graph.node("Concat", [x, skip], f"{stage}.concat", axis=1)
            x, channels = self._blocks(x, channels + width, width, stage, 1)
        x = self._pointwise(x, channels, s.channels, "head", bias=True)
        bounded_mask(self.graph, x, "mask")
        dims = [self.batch, s.channels, s.bins, self.frames]
        return self.graph.finish({"x": dims}, {"mask": dims})

    def _blocks(self, x: str, channels: int, width: int, stage: str, count: int) -> tuple[str, int]:
        for block in range(count):
            name = f"{stage}.{block}"
            x = self._depthwise(x, channels, f"{name}.depthwise")
            x = self._pointwise(x, channels, width, f"{name}.pointwise", bias=False)
            x = causal_norm(self.graph, x, width, f"{name}.norm")
            x = self.graph.node("Relu", [x], f"{name}.relu")
            channels = width
        return x, channels

    def _depthwise(self, x: str, channels: int, name: str) -> str:
        height, time = self.shape.kernel
        weight = self.graph.weight(f"{name}.weight", [channels, 1, height, time], (2 / (height * time)) ** 0.5)
        bias = self.graph.weight(f"{name}.bias", [channels], 0.1)
        # All padding in time comes before the first frame: the future stays out.
        return self.graph.node(
            "Conv",
            [x, weight, bias],
            name,
            group=channels,
            kernel_shape=[height, time],
            pads=[height // 2, time - 1, height // 2, 0],
        )

    def _pointwise(self, x: str, channels: int, width: int, name: str, *, bias: bool) -> str:
        inputs = [x, self.graph.weight(f"{name}.weight", [width, channels, 1, 1], (2 / channels) ** 0.5)]
        if bias:
            inputs.append(self.graph.weight(f"{name}.bias", [width], 0.1))
        return self.graph.node("Conv", inputs, name, kernel_shape=[1, 1])
