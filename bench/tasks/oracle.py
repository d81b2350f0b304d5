"""Task: work out the right answers of one model in one form, for its own seeded inputs.

The answers come from an evaluator that shares no code with any engine we measure. Where
ONNX Runtime is installed, its unoptimised graph answers the same inputs: when two independent
evaluators differ, nobody can be called wrong, and the oracle says so. Where the reference cannot
compute a model, ONNX Runtime stands in, and a warning says that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.tasks.common import engine_request
from models.card import Card
from models.compare import STAND_IN, compare, verdict
from models.inputs import initial_state
from models.oracle import write_oracle
from models.oracle_file import load_oracle
from models.reference import ReferenceUnsupported
from runtimes import registry
from runtimes.options import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

Feeds = dict[str, NDArray[np.generic]]
FALLBACK = "ort-cpu"
FALLBACK_TITLE = "onnxruntime with every optimisation off"


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with where the oracle is, who computed it, its warnings, and any dispute about it.

    The request has ``card``, ``folder``, ``rotations``, ``channels`` and ``engine_cache``; for another form than
    ``raw`` also ``parent``: path and origin of the answers of the form raw. They stand in where the reference
    cannot compute a form, and are stricter than any engine's own.
    """
    card = Card.from_json(request["card"])
    folder = Path(request["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    rotations, channels = request["rotations"], request["channels"]
    second = _unoptimised(request, card)
    try:
        oracle = write_oracle(card, folder, rotations, channels)
    except ReferenceUnsupported as error:
        if request.get("parent"):
            return _from_parent(request, card, folder, str(error))
        if second is None:
            raise
        origin = f"{FALLBACK_TITLE} ({error})"
        oracle = write_oracle(card, folder, rotations, channels, evaluator=second, origin=origin)
        second = None  # it cannot vouch for itself
    warnings = list(oracle.warnings)
    if oracle.origin.startswith(FALLBACK_TITLE):
        warnings.append(f"the right answers come from {oracle.origin}, so {FALLBACK} is judged by a part of itself")
    dispute = _dispute(card, oracle.path, second) if second else ""
    if dispute and request.get("parent"):
        # Rounding to few bits can fall either way; what the form was made of is beyond dispute.
        return _from_parent(request, card, folder, dispute)
    return {"path": str(oracle.path), "origin": oracle.origin, "warnings": warnings, "dispute": dispute}


def _from_parent(request: dict[str, Any], card: Card, folder: Path, why: str) -> dict[str, Any]:
    """The form raw's answers in the place of the form's own."""
    parent = request["parent"]
    origin = f"{STAND_IN}, by {parent['origin']}, since {why.removesuffix('; choose another oracle')}"
    replayed = _replay(card, Path(parent["path"]))
    oracle = write_oracle(card, folder, request["rotations"], request["channels"], evaluator=replayed, origin=origin)
    return {"path": str(oracle.path), "origin": origin, "warnings": list(oracle.warnings), "dispute": ""}


def _replay(card: Card, path: Path) -> Callable[[Feeds], list[NDArray[np.generic]]]:
    """Answers call after call, channel after channel, as the parent did, in this form's element types."""
    _, expected = load_oracle(path)
    answers = iter([answer for channel in expected for answer in channel])
    kinds = [port.dtype for port in card.outputs]

    def replay(_feeds: Feeds) -> list[NDArray[np.generic]]:
        return [value.astype(kind) for value, kind in zip(next(answers), kinds, strict=True)]

    return replay


def _unoptimised(request: dict[str, Any], card: Card) -> Callable[[Feeds], list[NDArray[np.generic]]] | None:
    adapter = registry.get(FALLBACK)
    if not adapter.probe().available:
        return None
    options = resolve(FALLBACK, adapter.options, {"graph_optimization_level": "disable"})
    settings = {**request, "options": options, "threads_each": 1, "sessions": 1}
    try:
        adapter.start()
        session = adapter.load(engine_request(settings, card))[0]
    except Exception:  # noqa: BLE001  # it only vouches; that it cannot load the model is told by its own row
        return None
    return lambda feeds: [np.asarray(output) for output in session.run(feeds)]


def _dispute(card: Card, path: Path, second: Callable[[Feeds], list[NDArray[np.generic]]]) -> str:
    inputs, expected = load_oracle(path)
    positions = {port.name: index for index, port in enumerate(card.outputs)}
    initial = initial_state(card)
    for channel, answers in zip(inputs, expected, strict=True):
        state = dict(initial)
        for number, (feeds, answer) in enumerate(zip(channel, answers, strict=True)):
            try:
                got = second({**feeds, **state})
            except Exception:  # noqa: BLE001  # as above
                return ""
            error = compare(answer, got, card.output_names)
            subject = f"{card.name}/{card.form}, input {number}"
            text = verdict(error, card.precision, "the reference evaluator", subject=subject)
            if text:
                return f"the reference evaluator and {FALLBACK_TITLE} disagree, so no answer can be judged: {text}"
            state = {name: got[positions[source]] for name, source in card.states.items()}
    return ""
