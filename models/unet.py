"""The causal mask U-Nets: ``rt`` (one channel in, one mask out) and ``fast`` (two and two).

Both are stacks of one block, *depthwise convolution → pointwise convolution → CausalCLN →
ReLU*, with max pooling and nearest upsampling along frequency only, so time is never mixed
except by the depthwise kernel, which sees the present and the past.

CausalCLN normalises each frame over channels and frequencies:
``y = (x − mean) / sqrt(var + 1e-5) · γ_c + β_c``. Form ``raw`` writes it out in nine
elementary nodes, as an exporter leaves it; form ``ln`` writes the same sum as one
LayerNormalization between two transposes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.graph import Graph

if TYPE_CHECKING:
    import onnx

EPSILON = 1e-5


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


RT = UNetShape(513, 1, (16, 32, 64, 128), 256, (3, 2), 1, reduce_before_upsample=False)
FAST = UNetShape(1025, 2, (24, 48, 96, 192), 384, (7, 3), 2, reduce_before_upsample=True)


def unet(name: str, shape: UNetShape, frames: int, form: str, batch: int) -> onnx.ModelProto:
    """Build one U-Net: input ``x`` and output ``mask``, both (batch, channels, bins, frames) float32.

    Args:
        name: seeds the weights.
        shape: the layer table.
        frames: time frames per call.
        form: ``raw`` or ``ln``.
        batch: signals per call.
    """
    return _Builder(name, shape, frames, form, batch).build()


class _Builder:
    def __init__(self, name: str, shape: UNetShape, frames: int, form: str, batch: int) -> None:
        self.graph = Graph(name)
        self.shape, self.frames, self.form, self.batch = shape, frames, form, batch

    def build(self) -> onnx.ModelProto:
        s = self.shape
        x, channels, bins = "x", s.channels, s.bins
        skips: list[tuple[str, int, int]] = []
        for level, width in enumerate(s.widths):
            x, channels = self._blocks(x, channels, width, bins, f"enc{level}", s.encoder_blocks)
            skips.append((x, channels, bins))
            x = self.graph.node("MaxPool", [x], f"enc{level}.pool", kernel_shape=[2, 1], strides=[2, 1])
            bins //= 2
        x, channels = self._blocks(x, channels, s.bottleneck, bins, "bottleneck", s.encoder_blocks)
        for level, (skip, width, bins) in reversed(list(enumerate(skips))):
            stage = f"dec{level}"
            if s.reduce_before_upsample:
                x, channels = self._pointwise(x, channels, width, f"{stage}.reduce", bias=True), width
            x = self._upsample(x, channels, bins, f"{stage}.up")
            x = self.graph.node("Concat", [x, skip], f"{stage}.concat", axis=1)
            x, channels = self._blocks(x, channels + width, width, bins, stage, 1)
        x = self._pointwise(x, channels, s.channels, "head", bias=True)
        x = self.graph.node("Sigmoid", [x], "head.sigmoid")
        self.graph.node("Mul", [x, self.graph.constant("half", np.float32(0.5).reshape(()))], "mask")
        dims = [self.batch, s.channels, s.bins, self.frames]
        return self.graph.finish({"x": dims}, {"mask": dims}, {"rtfloor.form": self.form})

    def _blocks(  # the running tensor and its sizes, in the order of the layer table
        self, x: str, channels: int, width: int, bins: int, stage: str, count: int
    ) -> tuple[str, int]:
        for block in range(count):
            name = f"{stage}.{block}"
            x = self._depthwise(x, channels, f"{name}.depthwise")
            x = self._pointwise(x, channels, width, f"{name}.pointwise", bias=False)
            x = self._norm(x, width, bins, f"{name}.norm")
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

    def _upsample(self, x: str, channels: int, bins: int, name: str) -> str:
        sizes = np.array([self.batch, channels, bins, self.frames], np.int64)
        return self.graph.node(
            "Resize",
            [x, "", "", self.graph.constant(f"{name}.sizes", sizes)],
            name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def _norm(self, x: str, channels: int, bins: int, name: str) -> str:
        g = self.graph
        gain = g.generator(f"{name}.gain").normal(1.0, 0.1, channels).astype(np.float32)
        shift = g.generator(f"{name}.shift").normal(0.0, 0.1, channels).astype(np.float32)
        if self.form == "ln":
            x = g.node("Transpose", [x], f"{name}.time_first", perm=[0, 3, 1, 2])
            scale = g.constant(f"{name}.gain", np.repeat(gain[:, None], bins, axis=1))
            offset = g.constant(f"{name}.shift", np.repeat(shift[:, None], bins, axis=1))
            x = g.node("LayerNormalization", [x, scale, offset], f"{name}.layer", axis=-2, epsilon=EPSILON)
            return g.node("Transpose", [x], f"{name}.time_last", perm=[0, 2, 3, 1])
        axes = g.constant("norm.axes", np.array([1, 2], np.int64))
        mean = g.node("ReduceMean", [x, axes], f"{name}.mean", keepdims=1)
        centred = g.node("Sub", [x, mean], f"{name}.centred")
        two = g.constant("norm.two", np.float32(2).reshape(()))
        squared = g.node("Pow", [centred, two], f"{name}.squared")
        variance = g.node("ReduceMean", [squared, axes], f"{name}.variance", keepdims=1)
        epsilon = g.constant("norm.epsilon", np.float32(EPSILON).reshape(()))
        safe = g.node("Add", [variance, epsilon], f"{name}.safe")
        deviation = g.node("Sqrt", [safe], f"{name}.deviation")
        x = g.node("Div", [centred, deviation], f"{name}.scaled")
        x = g.node("Mul", [x, g.constant(f"{name}.gain", gain.reshape(1, -1, 1, 1))], f"{name}.gained")
        return g.node("Add", [x, g.constant(f"{name}.shift", shift.reshape(1, -1, 1, 1))], f"{name}.shifted")
