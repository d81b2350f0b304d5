"""Vocos: ConvNeXt blocks at the frame rate, then one inverse Fourier transform instead of upsampling.

The transform is a transposed convolution with a fixed basis, which every engine has; ``ISTFT`` is no
ONNX operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.graph import Graph

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from models.facts import ModelFacts

EPSILON = 1e-6
LOUDEST = 100.0
# Mean square of a GELU behind N(0, 1).
ACTIVATED = 0.425
# Standard deviations of the log magnitudes and of the phases: loudness as of speech, and every phase there is.
MAGNITUDE, PHASE = 1.0, 3.0
# Mean log magnitude: audio of about a tenth of full scale.
LOUDNESS = 0.3


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``mel`` (batch, mel bins, frames); output ``audio`` (batch, frames · hop); float32."""
    return _Builder(entry, batch).build()


def inverse_stft(graph: Graph, parts: str, frames: int, n_fft: int, hop: int, output: str) -> str:
    """Spectra to audio, weighted overlap-add with a Hann window.

    Every frame is transformed back, windowed and added at its place; the sum is divided by that of the
    squared windows, and ``(n_fft − hop) / 2`` samples are dropped at either end.

    Args:
        graph: where the nodes go.
        parts: (batch, n_fft + 2, frames), the real parts of all bins and then the imaginary ones.
        frames: its last size.
        n_fft: samples per frame, which is also the length of the window.
        hop: samples from one frame to the next.
        output: name of the result, (batch, frames · hop).
    """
    window = hann(n_fft)
    around = (n_fft - hop) // 2
    basis = graph.constant("istft.basis", (_inverse_dft(n_fft) * window)[:, np.newaxis].astype(np.float32))
    x = graph.node(
        "ConvTranspose", [parts, basis], "istft.frames", kernel_shape=[n_fft], strides=[hop], pads=[around, around]
    )
    envelope = np.zeros((frames - 1) * hop + n_fft)
    for frame in range(frames):
        envelope[frame * hop : frame * hop + n_fft] += window**2
    envelope = envelope[around : around + frames * hop]
    weights = graph.constant("istft.envelope", envelope.reshape(1, 1, -1).astype(np.float32))
    x = graph.node("Div", [x, weights], "istft.even")
    return graph.node("Squeeze", [x, graph.constant("istft.axis", np.array([1], np.int64))], output)


def hann(size: int) -> NDArray[np.float64]:
    """The periodic Hann window, float64."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def _inverse_dft(size: int) -> NDArray[np.float64]:
    """What every bin adds to every sample of a real signal, (size + 2, size): real parts, then imaginary ones."""
    bins = np.arange(size // 2 + 1)
    # Bins between the first and the last stand for their mirror images, too.
    weight = np.where((bins == 0) | (bins == size // 2), 1, 2)[:, np.newaxis] / size
    # Whole turns taken off first: a sine of π is then as near to 0 as it gets.
    angle = 2 * np.pi * (np.outer(bins, np.arange(size)) % size) / size
    sine = np.sin(angle)
    sine[[0, -1]] = 0
    return np.concatenate([weight * np.cos(angle), -weight * sine])


class _Builder:
    def __init__(self, entry: ModelFacts, batch: int) -> None:
        self.graph = Graph(entry.name)
        self.arguments: dict[str, Any] = dict(entry.arguments)
        self.width: int = entry.arguments["width"]
        self.frames, self.hop = entry.audio.frames, entry.audio.hop
        self.mel = [batch, entry.arguments["mels"], self.frames]
        self.audio = [batch, self.frames * self.hop]

    def build(self) -> onnx.ModelProto:
        g = self.graph
        weight = g.weight("embed.weight", [self.width, self.mel[1], 7], (7 * self.mel[1]) ** -0.5)
        bias = g.weight("embed.bias", [self.width], 0.05)
        x = g.node("Conv", ["mel", weight, bias], "embed", kernel_shape=[7], pads=[3, 3])
        x = self._turned(self._norm(self._turned(x, "embed.rows"), "norm"), "embed.columns")
        for index in range(self.arguments["blocks"]):
            x = self._block(x, f"block{index}")
        x = self._norm(self._turned(x, "last.rows"), "last.norm")
        inverse_stft(g, self._spectrum(x), self.frames, self.arguments["n_fft"], self.hop, "audio")
        return g.finish({"mel": self.mel}, {"audio": self.audio})

    def _block(self, x: str, name: str) -> str:
        """One ConvNeXt block on (batch, width, frames)."""
        g, hidden = self.graph, self.arguments["hidden"]
        weight = g.weight(f"{name}.depthwise.weight", [self.width, 1, 7], 7**-0.5)
        bias = g.weight(f"{name}.depthwise.bias", [self.width], 0.05)
        y = g.node("Conv", [x, weight, bias], f"{name}.depthwise", kernel_shape=[7], pads=[3, 3], group=self.width)
        y = self._norm(self._turned(y, f"{name}.rows"), f"{name}.norm")
        y = self._dense(y, (self.width, hidden), f"{name}.wide", self.width**-0.5)
        y = self._gelu(y, f"{name}.gelu")
        y = self._dense(y, (hidden, self.width), f"{name}.narrow", (ACTIVATED * hidden) ** -0.5)
        # One over the number of blocks, as the original is initialised.
        gamma = g.weight(f"{name}.gamma", [self.width], 0.02, offset=1 / self.arguments["blocks"])
        y = g.node("Mul", [gamma, y], f"{name}.scaled")
        return g.node("Add", [x, self._turned(y, f"{name}.columns")], f"{name}.sum")

    def _spectrum(self, x: str) -> str:
        """Real and imaginary parts, (batch, n_fft + 2, frames), from (batch, frames, width)."""
        g, bins = self.graph, self.arguments["n_fft"] // 2 + 1
        spread = np.repeat([MAGNITUDE, PHASE], bins) * self.width**-0.5
        weight = g.generator("head.weight").standard_normal((self.width, 2 * bins)) * spread
        bias = g.generator("head.bias").standard_normal(2 * bins) * 0.05 + np.repeat([LOUDNESS, 0.0], bins)
        x = g.node("MatMul", [x, g.trained("head.weight", weight.astype(np.float32))], "head.product")
        x = g.node("Add", [g.trained("head.bias", bias.astype(np.float32)), x], "head")
        x = self._turned(x, "head.columns")
        log, phase = g.nodes("Split", [x], ["head.log", "head.phase"], "head.split", axis=1, num_outputs=2)
        ceiling = g.constant("head.ceiling", np.float32(LOUDEST).reshape(()))
        size = g.node("Min", [g.node("Exp", [log], "head.exp"), ceiling], "head.magnitude")
        real = g.node("Mul", [size, g.node("Cos", [phase], "head.cos")], "head.real")
        imaginary = g.node("Mul", [size, g.node("Sin", [phase], "head.sin")], "head.imaginary")
        return g.node("Concat", [real, imaginary], "head.parts", axis=1)

    def _norm(self, x: str, name: str) -> str:
        """Layer norm over the last axis."""
        gain = self.graph.weight(f"{name}.gain", [self.width], 0.1, offset=1.0)
        shift = self.graph.weight(f"{name}.shift", [self.width], 0.1)
        return self.graph.node("LayerNormalization", [x, gain, shift], name, axis=-1, epsilon=EPSILON)

    def _dense(self, x: str, sizes: tuple[int, int], name: str, scale: float) -> str:
        product = self.graph.node("MatMul", [x, self.graph.weight(f"{name}.weight", sizes, scale)], f"{name}.product")
        return self.graph.node("Add", [self.graph.weight(f"{name}.bias", [sizes[1]], 0.05), product], name)

    def _gelu(self, x: str, name: str) -> str:
        """``x · (1 + erf(x / √2)) · ½``, as exporters write it below opset 20."""
        g = self.graph
        root, one, half = (
            g.constant(f"gelu.{key}", np.float32(value).reshape(()))
            for key, value in (("root", 2**0.5), ("one", 1), ("half", 0.5))
        )
        y = g.node("Erf", [g.node("Div", [x, root], f"{name}.divided")], f"{name}.erf")
        y = g.node("Mul", [x, g.node("Add", [y, one], f"{name}.added")], f"{name}.product")
        return g.node("Mul", [y, half], name)

    def _turned(self, x: str, name: str) -> str:
        """(batch, a, b) to (batch, b, a)."""
        return self.graph.node("Transpose", [x], name, perm=[0, 2, 1])
