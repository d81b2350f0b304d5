"""What LSTM, GRU and RNN compute: products into all gates, activations, and the mixing of the state.

Every frame of every signal counts, also where ``sequence_lens`` would end some of them earlier. The two
biases of a gate are one, since their sum is known before the first call.
"""

from __future__ import annotations

from models.cost_call import Call, NoRule, Work
from models.cost_table import CELL_ACTIVATIONS

# Gates, and the activations of one direction in the order of the standard.
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
# How often each of them is applied to every value of the state.
_APPLIED = {"LSTM": (3, 1, 1), "GRU": (2, 1), "RNN": (1,)}
# c = f·c + i·c̃ and h = o·tanh(c); h = (1 − z)·h̃ + z·h; nothing.
_MIXING = {"LSTM": 4, "GRU": 4, "RNN": 0}


def recurrent(call: Call) -> Work:
    """What one recurrent layer computes, all frames and both directions.

    Raises:
        NoRule: an activation is not known, or input and forget gate are coupled.
    """
    kind = call.operator
    frames_and_batch, features = call.shape(0)[0] * call.shape(0)[1], call.shape(0)[2]
    directions, _, hidden = call.shape(2)
    if call.attributes.get("input_forget"):
        raise NoRule
    gates = _GATES[kind]
    products = directions * gates * hidden * (features + hidden)
    each = _MIXING[kind]
    biases = gates if call.has(3) else 0
    if kind == "GRU" and call.attributes.get("linear_before_reset"):
        # h̃ = g(W·x + r ⊙ (R·h + b_R) + b_W): the reset comes late, its bias stays apart, and one more sum.
        each += 2
        biases += call.has(3)
    elif kind == "GRU":
        each += 1  # h̃ = g(W·x + R·(r ⊙ h) + b)
    if "clip" in call.attributes:
        each += 2 * sum(_APPLIED[kind])
    if kind == "LSTM" and call.has(7):
        products += directions * 3 * hidden  # every gate also sees its own cell
    others = directions * hidden * (each + biases) + hidden * _activations(call, directions)
    return Work(frames_and_batch * products, frames_and_batch * others)


def _activations(call: Call, directions: int) -> int:
    """Operations per value of the state, over all directions."""
    names = call.attributes.get("activations") or _DEFAULTS[call.operator] * directions
    try:
        costs = [CELL_ACTIVATIONS[name.lower()] for name in names]
    except KeyError:
        raise NoRule from None
    return sum(cost * times for cost, times in zip(costs, _APPLIED[call.operator] * directions, strict=True))
