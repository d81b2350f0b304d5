"""Distortion effects as stacks of LSTMs: the students and the teacher of a knowledge distillation.

``y = x + dense(LSTM(… LSTM(x)))``, sample by sample. A student may be conditioned: behind its first LSTM,
the knobs scale and shift every unit (FiLM), and a gated linear unit mixes them.

The state of every LSTM, h and c, goes in and comes out, so that calls follow each other without a seam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from models.graph import Graph

if TYPE_CHECKING:
    import onnx

    from models.facts import ModelFacts


def build(entry: ModelFacts, batch: int) -> onnx.ModelProto:
    """Input ``x`` and output ``y``, audio (batch, 1, samples) float32; where conditioned, ``knobs`` (batch, knobs).

    States ``h0``, ``c0``, … (1, batch, units) come out as ``h0_next``, ``c0_next``, …
    """
    return _Builder(entry, batch).build()


def lstm(
    graph: Graph, x: str, sizes: tuple[int, int], name: str, *, gain: float, states: tuple[str, str] | None = None
) -> tuple[str, str, str]:
    """One LSTM over all frames, one bias per gate; returns all outputs and the two states after the last frame.

    What it remembers halves within a few frames, so that no rounding error outlives it and no state runs away.

    Args:
        graph: where the node goes.
        x: (frames, batch, features).
        sizes: features, units.
        name: of the node; the outputs are (frames, 1, batch, units), twice (1, batch, units).
        gain: size of the gates for values of size 1: more for smaller values, or layer after layer fades.
        states: the initial ones, (1, batch, units) each; zeros when None.
    """
    features, units = sizes
    weights = [
        graph.weight(f"{name}.W", [1, 4 * units, features], gain / features**0.5),
        graph.weight(f"{name}.R", [1, 4 * units, units], 0.5 / units**0.5),
        _bias(graph, f"{name}.B", units),
    ]
    outputs = [name, *(f"{state}_next" for state in states or (f"{name}.h", f"{name}.c"))]
    y, h, c = graph.nodes("LSTM", [x, *weights, *(("", *states) if states else ())], outputs, name, hidden_size=units)
    return y, h, c


def _bias(graph: Graph, name: str, units: int) -> str:
    """b_W trained, b_R zeros: ONNX stores two biases per gate where the original has one."""
    trained = 0.1 * graph.generator(name).standard_normal(4 * units)
    # Gates in the order i, o, f, c. A new LSTM of Keras forgets little: its third gate begins at 1.
    trained[2 * units : 3 * units] += 1
    graph.parameters += trained.size
    return graph.constant(name, np.concatenate([trained, np.zeros_like(trained)])[None].astype(np.float32))


class _Builder:
    def __init__(self, entry: ModelFacts, batch: int) -> None:
        self.units: list[int] = entry.arguments["units"]
        self.knobs: int = entry.arguments.get("knobs", 0)
        # Named after the layers: the same weights whatever the number of samples.
        self.graph = Graph("_".join(["lstm", *map(str, self.units), *(["knobs"] * bool(self.knobs))]))
        self.batch, self.samples = batch, entry.audio.frames * entry.audio.hop

    def build(self) -> onnx.ModelProto:
        g = self.graph
        states: dict[str, str] = {}
        x, features = g.node("Transpose", ["x"], "frames", perm=[2, 0, 1]), 1
        sizes = {"x": [self.batch, 1, self.samples]}
        if self.knobs:
            sizes["knobs"] = [self.batch, self.knobs]
        results = {"y": sizes["x"]}
        axis = g.constant("direction", np.array([1], np.int64))
        for number, units in enumerate(self.units):
            pair = (f"h{number}", f"c{number}")
            # Outputs of an LSTM are small. Knobs can make them large and hold them there, which a forget gate
            # answers with counting.
            gain = 2.0 if number and not self.knobs else 1.0
            x, *after = lstm(g, x, (features, units), f"lstm{number}", gain=gain, states=pair)
            x, features = g.node("Squeeze", [x, axis], f"lstm{number}.outputs"), units
            states |= dict(zip(pair, after, strict=True))
            sizes |= {state: [1, self.batch, units] for state in pair}
            results |= {state: [1, self.batch, units] for state in after}
            if self.knobs and number == 0:
                x = self._gated(self._modulated(x, units), units)
        x = self._dense(x, features, 1, "dense", 4.0)
        g.node("Add", [g.node("Transpose", [x], "samples", perm=[1, 2, 0]), "x"], "y")
        return g.finish(sizes, results, states)

    def _dense(self, x: str, features: int, width: int, name: str, gain: float) -> str:
        product = self.graph.node(
            "MatMul",
            [x, self.graph.weight(f"{name}.weight", [features, width], gain / features**0.5)],
            f"{name}.product",
        )
        return self.graph.node("Add", [product, self.graph.weight(f"{name}.bias", [width], 0.1)], name)

    def _modulated(self, x: str, units: int) -> str:
        """FiLM: every unit is scaled and shifted by what a dense layer makes of the knobs."""
        g = self.graph
        weight = g.weight("film.weight", [self.knobs, 2 * units], 0.15)
        # Scales around 1: knobs at zero leave the effect as it is.
        bias = 0.1 * g.generator("film.bias").standard_normal(2 * units) + np.repeat([1, 0], units)
        both = g.node("Gemm", ["knobs", weight, g.trained("film.bias", bias.astype(np.float32))], "film")
        scale, shift = self._halves(both, units, 1, "film.scale", "film.shift")
        # (batch, units) fits the last two axes of (frames, batch, units).
        return g.node("Add", [g.node("Mul", [x, scale], "film.scaled"), shift], "film.shifted")

    def _gated(self, x: str, units: int) -> str:
        """A gated linear unit with the gate that the authors' layers have: softsign."""
        value, gate = self._halves(self._dense(x, units, 2 * units, "glu", 2.0), units, 2, "glu.value", "glu.gate")
        return self.graph.node("Mul", [value, self.graph.node("Softsign", [gate], "glu.softsign")], "glu.gated")

    def _halves(self, x: str, size: int, axis: int, *names: str) -> list[str]:
        sizes = self.graph.constant("halves", np.array([size, size], np.int64))
        return self.graph.nodes("Split", [x, sizes], names, f"{x}.split", axis=axis)
