"""The causal U-Net without taper: full 3×3 convolutions, one width at every level, zero lookahead.

The convolutions pad all of their time before the first frame, CausalCLN keeps to one frame, and
pooling and upsampling run along frequency only, so no frame hears a later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.families.causal_norm import causal_norm
from models.families.causal_unet import bounded_mask, upsample_bins
from models.graph import Graph

if TYPE_CHECKING:
    import onnx

    from models.facts import ModelFacts

KERNEL = 3
BLOCKS = 2


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``x``; outputs ``residual`` = m·x with m in [0, 0.5], and ``clean`` = x − residual.

    All three are magnitudes (batch, 1, bins, frames), float32. ``clean`` is a difference rather
    than (1 − m)·x, whose own rounding would keep the two from adding up to the input.
    """
    return _Builder(entry, batch).build()


class _Builder:
    def __init__(self, entry: ModelFacts, batch: int) -> None:
        # Named after the family: one set of weights serves every sample rate and number of frames.
        self.graph = Graph(entry.family)
        self.bins: int = entry.arguments["bins"]
        self.width: int = entry.arguments["width"]
        self.levels: int = entry.arguments["levels"]
        self.frames, self.batch = entry.audio.frames, batch

    def build(self) -> onnx.ModelProto:
        g, width, bins = self.graph, self.width, self.bins
        x, channels = "x", 1
        skips: list[tuple[str, int]] = []
        for level in range(self.levels):
            x = self._blocks(x, channels, f"enc{level}")
            channels = width
            skips.append((x, bins))
            x = g.node("MaxPool", [x], f"enc{level}.pool", kernel_shape=[2, 1], strides=[2, 1])
            bins //= 2
        x = self._blocks(x, width, "bottleneck")
        for level, (skip, bins) in reversed(list(enumerate(skips))):
            x = upsample_bins(g, x, (self.batch, width, bins, self.frames), f"dec{level}.up")
            x = g.node("Concat", [x, skip], f"dec{level}.concat", axis=1)
            x = self._blocks(x, 2 * width, f"dec{level}")
        x = self._conv(x, width, 1, 1, "head")
        g.node("Mul", [bounded_mask(g, x, "mask"), "x"], "residual")
        g.node("Sub", ["x", "residual"], "clean")
        dims = [self.batch, 1, self.bins, self.frames]
        return g.finish({"x": dims}, {"residual": dims, "clean": dims})

    def _blocks(self, x: str, channels: int, stage: str) -> str:
        for block in range(BLOCKS):
            name = f"{stage}.{block}"
            x = self._conv(x, channels, self.width, KERNEL, f"{name}.conv")
            x = causal_norm(self.graph, x, self.width, f"{name}.norm")
            x = self.graph.node("Relu", [x], f"{name}.relu")
            channels = self.width
        return x

    def _conv(self, x: str, channels: int, width: int, kernel: int, name: str) -> str:
        scale = (2 / (channels * kernel * kernel)) ** 0.5
        weight = self.graph.weight(f"{name}.weight", [width, channels, kernel, kernel], scale)
        bias = self.graph.weight(f"{name}.bias", [width], 0.1)
        # Before and after: frequency evenly, time only before, which keeps the future out.
        pads = [kernel // 2, kernel - 1, kernel // 2, 0]
        return self.graph.node("Conv", [x, weight, bias], name, kernel_shape=[kernel, kernel], pads=pads)
