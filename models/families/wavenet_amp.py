"""Guitar amplifiers as small WaveNets, in the layout of Neural Amp Modeler, block by block.

Two stacks of dilated convolutions. Every layer hears its stack's signal and the amplifier's input, adds
what it makes of them to a sum for the head, and passes its signal on with a residual. The head of the
first stack begins the sum of the second.

A layer keeps the samples of its own input that its kernel will look back on. They go in and come out as a
state, so a call computes its new samples and no others, whatever the length of a block. The states begin
as zeros, which is not quite what silence before the first sample would have left there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from models.facts import ModelFacts

KERNEL = 3
# What the trainer multiplies the last sum by when nothing is trained yet.
HEAD_SCALE = 0.02


class Stack(NamedTuple):
    """One stack: its channels, the dilation of each layer, and how many channels its head gives."""

    channels: int
    dilations: Sequence[int]
    head: int


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``x`` and output ``y``, audio (batch, 1, samples) float32.

    States ``past0``, ``past1``, … (batch, channels, 2 · dilation) come out as ``past0_next``, …
    """
    return _Builder(entry, batch).build()


def stacks(entry: ModelFacts) -> list[Stack]:
    """The stacks of one model; each head has the width of the next stack, the last one a single channel."""
    channels: list[int] = entry.arguments["channels"]
    return [
        Stack(width, dilations, head)
        for width, dilations, head in zip(channels, entry.arguments["dilations"], [*channels[1:], 1], strict=True)
    ]


def receptive_field(entry: ModelFacts) -> int:
    """How many input samples, the present one among them, an output sample depends on."""
    return 1 + sum((KERNEL - 1) * dilation for stack in stacks(entry) for dilation in stack.dilations)


class _Builder:
    def __init__(self, entry: ModelFacts, batch: int) -> None:
        self.stacks = stacks(entry)
        # Named after the layers: the same weights whatever the length of a block.
        self.graph = Graph("_".join(["wavenet", *(str(stack.channels) for stack in self.stacks)]))
        self.batch, self.samples = batch, entry.audio.frames * entry.audio.hop
        self.pasts: dict[str, list[int]] = {}

    def build(self) -> onnx.ModelProto:
        g, dims = self.graph, [self.batch, 1, self.samples]
        x, channels, head = "x", 1, ""
        for number, stack in enumerate(self.stacks):
            name = f"stack{number}"
            x = self._conv(x, (channels, stack.channels, 1), f"{name}.in", gain=1.0, bias=False)
            channels = stack.channels
            for layer, dilation in enumerate(stack.dilations):
                x, head = self._layer(x, head, (channels, dilation), f"{name}.{layer}")
            last = number + 1 == len(self.stacks)
            # 5: what the last scale takes away again, so that the output is a signal and no whisper.
            gain = 5.0 if last else 1.0
            head = self._conv(head, (channels, stack.head, 1), f"{name}.head", gain=gain, bias=last)
        g.node("Mul", [head, g.trained("head_scale", np.full((), HEAD_SCALE, np.float32))], "y")
        nexts = {f"{past}_next": sizes for past, sizes in self.pasts.items()}
        states = dict(zip(self.pasts, nexts, strict=True))
        return g.finish({"x": dims, **self.pasts}, {"y": dims, **nexts}, states)

    def _layer(self, x: str, head: str, sizes: tuple[int, int], name: str) -> tuple[str, str]:
        """One layer: its signal goes on, and so does the sum for the head.

        What the last layer passes on is heard by nobody, in the original as here; its weights are counted
        there, so they are here, and the two nodes are left for engines to throw away.
        """
        g, (channels, dilation) = self.graph, sizes
        heard = self._with_past(x, channels, (KERNEL - 1) * dilation, name)
        z = self._conv(heard, (channels, channels, KERNEL), f"{name}.conv", gain=1.0, dilation=dilation)
        mixed = self._conv("x", (1, channels, 1), f"{name}.mix", gain=0.5, bias=False)
        z = g.node("Tanh", [g.node("Add", [z, mixed], f"{name}.sum")], f"{name}.tanh")
        head = g.node("Add", [head, z], f"{name}.to_head") if head else z
        residual = self._conv(z, (channels, channels, 1), f"{name}.residual", gain=0.5)
        return g.node("Add", [x, residual], f"{name}.out"), head

    def _with_past(self, x: str, channels: int, length: int, name: str) -> str:
        """``x`` behind ``length`` samples that went before; the last ``length`` of both are the next past."""
        g, past = self.graph, f"past{len(self.pasts)}"
        self.pasts[past] = [self.batch, channels, length]
        both = g.node("Concat", [past, x], f"{name}.concat", axis=2)
        start = g.constant("block", np.array([self.samples], np.int64))
        end = g.constant(f"block+{length}", np.array([self.samples + length], np.int64))
        g.node("Slice", [both, start, end, g.constant("time", np.array([2], np.int64))], f"{past}_next")
        return both

    def _conv(
        self, x: str, sizes: tuple[int, int, int], name: str, *, gain: float, bias: bool = True, dilation: int = 1
    ) -> str:
        """A convolution without padding; sizes are channels in, channels out, and the kernel's."""
        channels, width, kernel = sizes
        inputs = [x, self.graph.weight(f"{name}.weight", [width, channels, kernel], gain / (channels * kernel) ** 0.5)]
        if bias:
            inputs.append(self.graph.weight(f"{name}.bias", [width], 0.1))
        return self.graph.node("Conv", inputs, name, kernel_shape=[kernel], dilations=[dilation])
