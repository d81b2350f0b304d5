"""LSTM, GRU and RNN for the reference evaluator: every common activation honoured, sums in float64.

onnx's own ones compute ``Sigmoid`` and ``Tanh`` whatever a node asks for. A layer here is a *cell*, which
takes one frame and the states before it to the states after it, unrolled by :func:`unroll`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
Names = Sequence[str]
Floats = Sequence[float]
Activation = Callable[[Array], Array]
States = tuple[Array, ...]
# One frame's W·x + b_W, and the states before it -> the states after it, the output first.
Cell = Callable[[Array, States], States]


@dataclass(frozen=True)
class _Function:
    """An activation and the defaults of its α and β; None for one that it does not have."""

    formula: Callable[[Array, float, float], Array]
    alpha: float | None = None
    beta: float | None = None


FUNCTIONS = {
    "affine": _Function(lambda x, a, b: a * x + b, 1.0, 0.0),
    "elu": _Function(lambda x, a, _: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x), 1.0),
    "hardsigmoid": _Function(lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "leakyrelu": _Function(lambda x, a, _: np.where(x < 0, a * x, x), 0.01),
    "relu": _Function(lambda x, _a, _b: np.maximum(x, 0)),
    "scaledtanh": _Function(lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "sigmoid": _Function(lambda x, _a, _b: 0.5 + 0.5 * np.tanh(0.5 * x)),
    "softplus": _Function(lambda x, _a, _b: np.logaddexp(0, x)),
    "softsign": _Function(lambda x, _a, _b: x / (1 + np.abs(x))),
    "tanh": _Function(lambda x, _a, _b: np.tanh(x)),
    "thresholdedrelu": _Function(lambda x, a, _: np.where(x > a, x, 0), 1.0),
}
# What a direction uses when the node names nothing, in the order of the standard.
USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def ignored(node: onnx.NodeProto) -> list[str]:
    """What a recurrent node asks for that is not computed here: attributes, inputs, activations by name."""
    asked = {attribute.name: attribute for attribute in node.attribute}
    found = ["clip"] if "clip" in asked else []
    if "input_forget" in asked and asked["input_forget"].i:
        found.append("input_forget")
    if len(node.input) > 4 and node.input[4]:
        found.append("sequence_lens")
    names = [name.decode(errors="replace") for name in asked["activations"].strings] if "activations" in asked else []
    return found + [f"the activation {name}" for name in names if name.lower() not in FUNCTIONS]


def unroll(products: Array, states: States, cell: Cell, *, reverse: bool) -> tuple[Array, States]:
    """Walk over frames, forwards or backwards.

    Args:
        products: (frames, batch, gates · hidden), what the input adds to every gate.
        states: (batch, hidden) each.
        cell: see :data:`Cell`.
        reverse: begin with the last frame.

    Returns:
        The outputs (frames, batch, hidden), each where its frame was, and the states after the walk.
    """
    outputs = np.empty((len(products), *states[0].shape))
    frames = range(len(products))
    for frame in reversed(frames) if reverse else frames:
        states = cell(products[frame], states)
        outputs[frame] = states[0]
    return outputs, states


class _Recurrent(OpRun):  # type: ignore[misc]  # onnx is untyped
    """What the three operators share: activations, directions, layouts and types."""

    def _answer(
        self,
        x: Array,
        w: Array,
        make_cell: Callable[[int], Cell],
        bias: Array | None,
        states: Sequence[Array | None],
        hidden: int,
        direction: str,
        layout: int,
    ) -> tuple[Array, ...]:
        """Outputs Y, Y_h, … of all directions, as many as the node asks for.

        Args:
            x: (frames, batch, features), or (batch, frames, features) in layout 1.
            w: (directions, gates · hidden, features).
            make_cell: number of a direction -> its cell.
            bias: b_W of every gate, (directions, gates · hidden).
            states: initial ones, (directions, batch, hidden), in layout 1 (batch, directions, hidden).
            hidden: size of a state.
            direction: ``forward``, ``reverse`` or ``bidirectional``.
            layout: 1 where the batch comes first.
        """
        backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
        if len(backwards) != len(w):
            raise ValueError(f"weights of {len(w)} directions do not fit the direction {direction!r}")
        frames = _double(x.swapaxes(0, 1) if layout else x)
        zeros = np.zeros((len(w), frames.shape[1], hidden))
        begin = [zeros if s is None else _double(s.swapaxes(0, 1) if layout else s) for s in states]
        outputs, ends = [], []
        for number, reverse in enumerate(backwards):
            products = frames @ _double(w[number]).T + (0 if bias is None else bias[number])
            start = tuple(state[number] for state in begin)
            output, end = unroll(products, start, make_cell(number), reverse=reverse)
            outputs.append(output)
            ends.append(end)
        results = [np.stack(outputs, axis=1), *(np.stack(state) for state in zip(*ends, strict=True))]
        if layout:
            results = [results[0].transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in results[1:])]
        return tuple(value.astype(x.dtype) for value in results[: len(self.output)])

    def _activations(
        self, names: Names | None, alphas: Floats | None, betas: Floats | None, directions: int
    ) -> list[list[Activation]]:
        """The activations of every direction, in order; each takes its α and β from the front of the lists."""
        usual = USUAL[self.op_type]
        count = directions * len(usual)
        chosen = list(names or usual * directions)[:count]
        if len(chosen) < count:
            raise ValueError(f"{count} activations are needed, and there are {len(chosen)}")
        left, right = iter(alphas or ()), iter(betas or ())
        functions = [_bound(FUNCTIONS[name.lower()], left, right) for name in chosen]
        return [functions[i : i + len(usual)] for i in range(0, count, len(usual))]


class LSTM(_Recurrent):
    """Gates i, o, f, c; peepholes p_i, p_o, p_f."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        w: Array,
        r: Array,
        b: Array | None = None,
        sequence_lens: Array | None = None,  # refused before it gets here, as are clip and input_forget
        initial_h: Array | None = None,
        initial_c: Array | None = None,
        p: Array | None = None,
        activation_alpha: Floats | None = None,
        activation_beta: Floats | None = None,
        activations: Names | None = None,
        clip: float | None = None,
        direction: str = "forward",
        hidden_size: int | None = None,  # the recurrent weights say it, too
        input_forget: int = 0,
        layout: int = 0,
    ) -> tuple[Array, ...]:
        hidden = r.shape[-1]
        functions = self._activations(activations, activation_alpha, activation_beta, len(w))
        own, carried = _biases(b, len(w), 4 * hidden)
        holes = np.zeros((len(w), 3 * hidden)) if p is None else _double(p)

        def make_cell(number: int) -> Cell:
            back, (f, g, h) = _double(r[number]).T, functions[number]
            p_i, p_o, p_f = np.split(holes[number], 3)

            def cell(product: Array, states: States) -> States:
                output, memory = states
                i, o, forget, c = np.split(product + output @ back + carried[number], 4, axis=-1)
                memory_next = f(forget + p_f * memory) * memory + f(i + p_i * memory) * g(c)
                return f(o + p_o * memory_next) * h(memory_next), memory_next

            return cell

        return self._answer(x, w, make_cell, own, [initial_h, initial_c], hidden, direction, layout)


class GRU(_Recurrent):
    """Gates z, r, h; the reset gate before or after the product with the state."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        w: Array,
        r: Array,
        b: Array | None = None,
        sequence_lens: Array | None = None,  # refused before it gets here, as is clip
        initial_h: Array | None = None,
        activation_alpha: Floats | None = None,
        activation_beta: Floats | None = None,
        activations: Names | None = None,
        clip: float | None = None,
        direction: str = "forward",
        hidden_size: int | None = None,  # the recurrent weights say it, too
        layout: int = 0,
        linear_before_reset: int = 0,
    ) -> tuple[Array, ...]:
        hidden = r.shape[-1]
        functions = self._activations(activations, activation_alpha, activation_beta, len(w))
        own, carried = _biases(b, len(w), 3 * hidden)

        def make_cell(number: int) -> Cell:
            back, (f, g) = _double(r[number]).T, functions[number]
            gates, last = slice(2 * hidden), slice(2 * hidden, None)

            def cell(product: Array, states: States) -> States:
                (output,) = states
                update, reset = np.split(
                    f(product[:, gates] + output @ back[:, gates] + carried[number, gates]), 2, axis=-1
                )
                if linear_before_reset:
                    past = reset * (output @ back[:, last] + carried[number, last])
                else:
                    past = (reset * output) @ back[:, last] + carried[number, last]
                return ((1 - update) * g(product[:, last] + past) + update * output,)

            return cell

        return self._answer(x, w, make_cell, own, [initial_h], hidden, direction, layout)


class RNN(_Recurrent):
    """One gate."""

    def _run(  # the evaluator passes inputs by position, attributes by name
        self,
        x: Array,
        w: Array,
        r: Array,
        b: Array | None = None,
        sequence_lens: Array | None = None,  # refused before it gets here, as is clip
        initial_h: Array | None = None,
        activation_alpha: Floats | None = None,
        activation_beta: Floats | None = None,
        activations: Names | None = None,
        clip: float | None = None,
        direction: str = "forward",
        hidden_size: int | None = None,  # the recurrent weights say it, too
        layout: int = 0,
    ) -> tuple[Array, ...]:
        functions = self._activations(activations, activation_alpha, activation_beta, len(w))
        own, carried = _biases(b, len(w), r.shape[-1])

        def make_cell(number: int) -> Cell:
            back, (f,) = _double(r[number]).T, functions[number]
            return lambda product, states: (f(product + states[0] @ back + carried[number]),)

        return self._answer(x, w, make_cell, own, [initial_h], r.shape[-1], direction, layout)


def _bound(function: _Function, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    # Only a function that has an α takes one from the list, which is how every engine reads the standard.
    alpha = 0.0 if function.alpha is None else next(alphas, function.alpha)
    beta = 0.0 if function.beta is None else next(betas, function.beta)
    return lambda x: function.formula(x, alpha, beta)


def _biases(b: Array | None, directions: int, size: int) -> tuple[Array, Array]:
    """b_W and b_R, (directions, size) each: a reset gate tells them apart."""
    both = np.zeros((directions, 2 * size)) if b is None else _double(b)
    return both[:, :size], both[:, size:]


def _double(values: Array) -> Array:
    return values.astype(np.float64)
