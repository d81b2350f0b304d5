"""Whether a model's answers are fit to check engines with: finite, alive, free of denormals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.inputs import initial_state
from models.reference import Evaluator, Feeds, Reference, next_state

if TYPE_CHECKING:
    import onnx

    from models.card import Card

Array = NDArray[Any]

DENORMAL_SHARE = 1e-3


def health(card: Card, inputs: list[list[Feeds]], expected: list[list[list[Array]]], run: Evaluator) -> list[str]:
    """Look for what would make times or comparisons meaningless.

    Args:
        card: the model.
        inputs: ``[channel][rotation]`` -> feeds.
        expected: ``[channel][rotation]`` -> outputs.
        run: what computed them; only :class:`~models.reference.Reference` lets nodes be watched.

    Returns:
        Warnings, as full sentences.

    Raises:
        ModelError: an output has NaN or infinite values; names it and the first node that went bad.
    """
    for feeds, answers in zip(inputs, expected, strict=True):
        for turn, answer in enumerate(answers):
            for name, value in zip(card.output_names, answer, strict=True):
                if _bad(value):
                    raise _not_finite(card, name, turn, _replay(card, feeds, answers, turn), run)
    warnings = _dead_outputs(card, [answer for answers in expected for answer in answers])
    if isinstance(run, Reference) and inputs and inputs[0]:
        # The last call: decaying states reach denormals late.
        last = len(inputs[0]) - 1
        warnings += _denormals(card, run, _replay(card, inputs[0], expected[0], last))
    return warnings


def _replay(card: Card, feeds: list[Feeds], answers: list[list[Array]], turn: int) -> Feeds:
    state = next_state(card, answers[turn - 1]) if turn else initial_state(card)
    return {**feeds[turn], **state}


def _not_finite(card: Card, output: str, turn: int, feeds: Feeds, run: Evaluator) -> ModelError:
    first: list[str] = []

    def watch(node: onnx.NodeProto, name: str, value: Array) -> None:
        if not first and _bad(value):
            first.append(f"; it starts at {_label(node)} (tensor {name!r})")

    if isinstance(run, Reference):
        with run.watched(watch):
            run(feeds)
    origin = first[0] if first else ""
    return ModelError(
        f"output {output!r} of {card.name}/{card.form} has NaN or infinite values for input {turn}{origin}; "
        f"give inputs that suit the model with --input NAME=VALUE, LOW..HIGH or FILE.npy "
        f"(inputs: {', '.join(port.name for port in card.inputs)})"
    )


def _denormals(card: Card, run: Reference, feeds: Feeds) -> list[str]:
    found, seen = {"": 0}, 0

    def watch(node: onnx.NodeProto, _name: str, value: Array) -> None:
        nonlocal seen
        if value.dtype.kind == "f":
            seen += value.size
            small = np.abs(value) < np.finfo(value.dtype).tiny
            found[_label(node)] = found.get(_label(node), 0) + int(np.count_nonzero(small & (value != 0)))

    with run.watched(watch):
        run(feeds)
    total, worst = sum(found.values()), max(found, key=lambda label: found[label])
    if total <= DENORMAL_SHARE * seen:
        return []
    sentence = (
        f"{total / seen:.1%} of the values inside {Path(card.path).name} are denormal, most of them at {worst}: "
        "engines that flush them to zero will look faster than they are for other inputs; "
        "consider --input with larger values"
    )
    return [sentence]


def _dead_outputs(card: Card, answers: list[list[Array]]) -> list[str]:
    warnings = []
    for index, name in enumerate(card.output_names):
        values = [answer[index] for answer in answers]
        if len(values) > 1 and all(np.array_equal(value, values[0]) for value in values):
            warnings.append(f"output {name!r} does not depend on the input: a stale answer could not be seen")
        elif any(value.size > 1 and bool((value == value.flat[0]).all()) for value in values):
            warnings.append(
                f"output {name!r} has the same value everywhere: an answer in a wrong order could not be seen"
            )
    return warnings


def _bad(value: Array) -> bool:
    return value.dtype.kind == "f" and not np.isfinite(value).all()


def _label(node: onnx.NodeProto) -> str:
    # Exporters leave nodes unnamed; their output names are always there.
    return f"node {node.name or next(iter(node.output), '')!r} ({node.op_type})"
