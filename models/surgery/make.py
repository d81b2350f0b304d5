"""From a graph to one of its forms: the context that passes need, and the passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.inputs import Feeds, initial_state, make_inputs, stack
from models.reference import Reference, next_state
from models.surgery.base import Context, OrtTools
from models.surgery.catalogue import parse_form
from models.surgery.chain import Done, operate

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

    from models.card import Card

# Enough to see the range of every value; scales hardly move with more.
CALIBRATION_CALLS = 8


def make_form(
    model: onnx.ModelProto,
    form: str,
    parents: tuple[Card, Callable[[], Card]],
    ort: OrtTools | None,
    calls: Callable[[], list[Feeds]] | None = None,
) -> tuple[onnx.ModelProto, list[Done]]:
    """A model in one of its forms.

    Args:
        model: the form ``raw``, external data loaded, for as many signals as the form is wanted for.
        form: passes joined by ``+``.
        parents: the card of ``model``, and what gives the card of the same for one signal.
        ort: ONNX Runtime's offline tools; None where it is not installed.
        calls: calls to calibrate with; seeded ones when None.

    Raises:
        ModelError: a pass found nothing to change, or cannot be done.
    """
    card, single = parents
    context = Context(
        shapes={port.name: port.sizes for port in card.inputs},
        states=card.states,
        calibration=calls or (lambda: calibration_calls(card, single())),
        ort=ort,
    )
    return operate(model, parse_form(form), context, card.name)


def calibration_calls(card: Card, single: Card) -> list[Feeds]:
    """Seeded calls to calibrate with: like those that answers are judged by, but none of them.

    Args:
        card: the model as it will be called, in the form ``raw``.
        single: the same for one signal.
    """
    # Inputs are seeded by the model's name: another name, other inputs.
    stranger = replace(single, name=f"{single.name}/calibration")
    signals = make_inputs(stranger, CALIBRATION_CALLS, card.batch)
    shapes = {port.name: port.shape for port in card.inputs}
    calls = [
        {name: stack([signal[turn][name] for signal in signals], shapes[name]) for name in signals[0][turn]}
        for turn in range(CALIBRATION_CALLS)
    ]
    if not card.states:
        return calls
    run, state, complete = Reference(Path(card.path)), initial_state(card), []
    for call in calls:
        complete.append({**call, **state})
        state = next_state(card, run(complete[-1]))
    return complete
