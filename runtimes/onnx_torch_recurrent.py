"""LSTM and GRU: ONNX weights rearranged for PyTorch's own, where PyTorch has the same cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812  # the name everybody knows it by

if TYPE_CHECKING:
    from runtimes.onnx_torch_node import Builder, Node

# Where PyTorch's gates are among ONNX's: iofc to ifgo, zrh to rzn.
LSTM_GATES = (0, 2, 3, 1)
GRU_GATES = (1, 0, 2)


def _recurrent(node: Node, gates: tuple[int, ...], activations: list[str]) -> tuple[str, int, list[Any]]:
    """Check what the table covers; the direction, the hidden size, and PyTorch's flat weights."""
    direction = node.get("direction", "forward")
    hidden, count = node.shape(2)[2], node.shape(1)[0]
    given = node.get("activations", activations * count)
    node.require([name.lower() for name in given] == [name.lower() for name in activations * count], f"with {given}")
    node.require("clip" not in node.attributes, "with clip")
    node.require(not node.get("layout", 0), "with layout 1")
    node.require(not node.get("input_forget", 0), "with input_forget")
    node.require(not node.has(7), "with peepholes")
    if node.has(4):
        lengths = node.constant(4, "sequence lengths")
        node.require(bool((lengths == node.shape()[0]).all()), "with sequences of several lengths")
    w, r = node.constant(1, "weights"), node.constant(2, "weights")
    b = node.constant(3, "biases") if node.has(3) else torch.zeros(count, 2 * len(gates) * hidden, dtype=w.dtype)

    def rearranged(values: Any) -> Any:
        return torch.cat([values.split(hidden)[gate] for gate in gates]).contiguous()

    weights = []
    for one in range(count):
        weights += [rearranged(part) for part in (w[one], r[one], *b[one].chunk(2))]
    return direction, hidden, weights


def _states(x: Any, hidden: int, count: int, states: tuple[Any, ...]) -> list[Any]:
    """The initial states, zero where the graph gives none."""
    return [x.new_zeros(count, x.shape[1], hidden) if state is None else state for state in states]


def _optional(node: Node, indices: tuple[int, ...]) -> list[int | None]:
    """Where each optional input is found among the function's arguments after ``x``."""
    left = [index for index in range(1, len(node.shapes)) if index not in node.consumed]
    return [left.index(index) if node.has(index) else None for index in indices]


def _sequence(y: Any, count: int) -> Any:
    """PyTorch's (time, batch, directions * hidden) as ONNX's (time, directions, batch, hidden)."""
    return y.reshape(y.shape[0], y.shape[1], count, -1).transpose(1, 2)


def _lstm(node: Node) -> Any:
    direction, hidden, weights = _recurrent(node, LSTM_GATES, ["Sigmoid", "Tanh", "Tanh"])
    both, count = direction == "bidirectional", node.shape(1)[0]
    places = _optional(node, (5, 6))
    for weight in weights:
        node.add(weight)

    def lstm(x: Any, *rest: Any) -> Any:
        flat = list(rest[-len(weights) :])
        state = _states(x, hidden, count, tuple(None if at is None else rest[at] for at in places))
        steps = x.flip(0) if direction == "reverse" else x
        y, h, c = torch.lstm(steps, state, flat, True, 1, 0.0, False, both, False)
        return _sequence(y.flip(0) if direction == "reverse" else y, count), h, c

    return lstm


def _gru(node: Node) -> Any:
    direction, hidden, weights = _recurrent(node, GRU_GATES, ["Sigmoid", "Tanh"])
    both, count = direction == "bidirectional", node.shape(1)[0]
    places = _optional(node, (5,))
    linear = bool(node.get("linear_before_reset", 0))
    for weight in weights:
        node.add(weight)

    def gru(x: Any, *rest: Any) -> Any:
        flat = list(rest[-len(weights) :])
        (state,) = _states(x, hidden, count, tuple(None if at is None else rest[at] for at in places))
        if linear:  # this is PyTorch's cell
            steps = x.flip(0) if direction == "reverse" else x
            y, h = torch.gru(steps, state, flat, True, 1, 0.0, False, both, False)
            return _sequence(y.flip(0) if direction == "reverse" else y, count), h
        answers = []
        for one in range(count):
            backwards = direction == "reverse" or one == 1
            steps = x.flip(0) if backwards else x
            y = _reset_first(steps, state[one], flat[4 * one : 4 * one + 4])
            answers.append((y.flip(0) if backwards else y, y[-1]))
        return torch.stack([y for y, _ in answers], 1), torch.stack([h for _, h in answers])

    return gru


def _reset_first(x: Any, h: Any, weights: list[Any]) -> Any:
    """One direction of the GRU whose reset gate acts before the recurrent product.

    PyTorch has no such cell. Gates are in PyTorch's order; shapes (time, batch, features) and
    (batch, hidden) give (time, batch, hidden).
    """
    hidden = h.shape[-1]
    w, r, w_bias, r_bias = weights
    inputs = F.linear(x, w, w_bias + r_bias)
    answers = []
    for step in inputs.unbind(0):
        gates = torch.sigmoid(step[:, : 2 * hidden] + F.linear(h, r[: 2 * hidden]))
        reset, update = gates.chunk(2, 1)
        candidate = torch.tanh(step[:, 2 * hidden :] + F.linear(reset * h, r[2 * hidden :]))
        h = torch.lerp(candidate, h, update)
        answers.append(h)
    return torch.stack(answers)


OPERATORS: dict[str, Builder] = {"GRU": _gru, "LSTM": _lstm}
