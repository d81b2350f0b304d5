"""RNNoise's network: features of a frame to gains of 22 bands and the chance that somebody speaks.

Three GRUs: one for speech, one for the noise between, one for the gains, each hearing those before it.
They carry their states from frame to frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.graph import Graph

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from models.facts import ModelFacts

FEATURES, DENSE, BANDS = 42, 24, 22
# The GRUs and their units, in the order in which they are computed.
UNITS = {"vad": 24, "noise": 48, "denoise": 96}
# What a state is on average. A rectified unit that no input reaches would fade until it is denormal, and
# stay so for as long as the inputs take turns: the candidates lie around this value, hardly ever below 0.
MEAN = 1.0


class Signal(NamedTuple):
    """Values (frames, batch, size) and their mean."""

    name: str
    size: int
    mean: float


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``features`` (batch, frames, 42); outputs ``gains`` (batch, frames, 22), ``vad`` (batch, frames, 1).

    States ``vad_state``, ``noise_state`` and ``denoise_state`` (1, batch, units) come out as ``…_next``.
    """
    return _Builder(entry, batch).build()


class _Builder:
    def __init__(self, entry: ModelFacts, batch: int) -> None:
        self.graph = Graph(entry.family)
        self.activation: str = entry.arguments["activation"]
        self.batch, self.frames = batch, entry.audio.frames

    def build(self) -> onnx.ModelProto:
        g = self.graph
        features = Signal(g.node("Transpose", ["features"], "frames", perm=[1, 0, 2]), FEATURES, 0.0)
        tanh = g.node("Tanh", [self._dense(features, DENSE, "dense", 1.0)], "dense.tanh")
        dense = Signal(tanh, DENSE, 0.0)
        vad = self._gru([dense], "vad")
        noise = self._gru([dense, vad, features], "noise")
        denoise = self._gru([vad, noise, features], "denoise")
        self._output(denoise, BANDS, "gains")
        self._output(vad, 1, "vad")
        states = {f"{name}_state": [1, self.batch, units] for name, units in UNITS.items()}
        nexts = {f"{state}_next": sizes for state, sizes in states.items()}
        dims = [self.batch, self.frames]
        return g.finish(
            {"features": [*dims, FEATURES], **states},
            {"gains": [*dims, BANDS], "vad": [*dims, 1], **nexts},
            dict(zip(states, nexts, strict=True)),
        )

    def _dense(self, x: Signal, width: int, name: str, gain: float) -> str:
        g = self.graph
        weight = gain / x.size**0.5 * g.generator(f"{name}.weight").standard_normal((x.size, width))
        bias = 0.1 * g.generator(f"{name}.bias").standard_normal(width) - x.mean * weight.sum(axis=0)
        product = g.node("MatMul", [x.name, g.trained(f"{name}.weight", _single(weight))], f"{name}.product")
        return g.node("Add", [product, g.trained(f"{name}.bias", _single(bias))], f"{name}.sum")

    def _output(self, x: Signal, width: int, name: str) -> None:
        x_sum = self._dense(x, width, f"{name}.dense", 4.0)
        self.graph.node("Transpose", [self.graph.node("Sigmoid", [x_sum], f"{name}.sigmoid")], name, perm=[1, 0, 2])

    def _gru(self, heard: list[Signal], name: str) -> Signal:
        """A GRU over all frames with one bias per gate.

        Its recurrent weights are small enough for states to stay bounded even where nothing saturates,
        and the product with the state comes after the reset, as in Keras' first version of the layer.
        """
        g, units = self.graph, UNITS[name]
        names, sizes, means = zip(*heard, strict=True)
        x = g.node("Concat", names, f"{name}.heard", axis=2) if len(names) > 1 else names[0]
        # Gates in the order z, r, h.
        gain = np.repeat([1.0, 1.0, 0.5], units)[:, None] / sum(sizes) ** 0.5
        weight = gain * g.generator(f"{name}.W").standard_normal((3 * units, sum(sizes)))
        bias = 0.1 * g.generator(f"{name}.B").standard_normal(3 * units) - weight @ np.repeat(means, sizes)
        bias[2 * units :] += MEAN
        # b_W trained, b_R zeros: ONNX stores two biases per gate where the original has one.
        g.parameters += bias.size
        inputs = [
            x,
            g.trained(f"{name}.W", _single(weight[None])),
            g.weight(f"{name}.R", [1, 3 * units, units], 0.3 / units**0.5),
            g.constant(f"{name}.B", _single(np.concatenate([bias, np.zeros_like(bias)])[None])),
            "",
            f"{name}_state",
        ]
        y, _ = g.nodes(
            "GRU",
            inputs,
            [f"{name}.gru", f"{name}_state_next"],
            f"{name}.gru",
            hidden_size=units,
            activations=["Sigmoid", self.activation],
        )
        outputs = g.node("Squeeze", [y, g.constant("direction", np.array([1], np.int64))], f"{name}.outputs")
        return Signal(outputs, units, MEAN)


def _single(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)
