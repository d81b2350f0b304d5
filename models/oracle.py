"""The oracle: what exactly this model, in this form, must answer to exactly these inputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelError
from models.health import health
from models.inputs import make_inputs
from models.names import slug, unwritable
from models.oracle_file import Inputs, load_facts, save_oracle
from models.reference import ALGORITHM, Evaluator, Reference, evaluate

if TYPE_CHECKING:
    from models.card import Card


@dataclass(frozen=True)
class OracleInfo:
    """Where an oracle lies and what it is worth.

    Attributes:
        path: the file, see :mod:`models.oracle_file`.
        sha256: digest of everything it belongs to: model, form, inputs, states, evaluator.
        origin: who computed the answers, in words.
        warnings: what :func:`models.health.health` had to say.
    """

    path: Path
    sha256: str
    origin: str
    warnings: tuple[str, ...]


def write_oracle(  # the last two belong together and are usually absent
    card: Card,
    folder: Path,
    rotations: int,
    channels: int,
    evaluator: Evaluator | None = None,
    origin: str | None = None,
) -> OracleInfo:
    """Compute the expected outputs, or find them where they were computed before.

    Args:
        card: the model for one signal per call.
        folder: where oracles lie; made if missing.
        rotations: different inputs per channel, at least 1.
        channels: signals, at least 1.
        evaluator: feeds -> outputs in the graph's order; None for the reference evaluator. A
            fallback must be independent of the engines it judges, or say so in ``origin``.
        origin: who ``evaluator`` is, in words; part of the key, so two evaluators never share a file.

    Raises:
        ReferenceUnsupported: the reference evaluator lacks an operator; call again with another one.
        ModelError: an output is not finite, or the folder cannot be written.
    """
    if rotations < 1 or channels < 1:
        raise ModelError(f"an oracle needs 1 or more inputs and channels, not {rotations} and {channels}")
    if (evaluator is None) != (origin is None):
        raise ModelError("another evaluator than the reference one must say who it is, and only that one")
    name = origin or Reference.name
    inputs = make_inputs(card, rotations, channels)
    key = _key(card, inputs, name)
    path = folder.absolute() / f"{slug(card.name)}-{card.form}-{key[:24]}.npz"
    if path.is_file():
        try:
            facts = load_facts(path)
        except ModelError:
            facts = {}  # damaged by a full disk or a curious editor: computed again below
        # The name of a file is no proof: another oracle may have been copied over it.
        if facts.get("sha256") == key:
            return OracleInfo(path, key, facts["origin"], tuple(facts["warnings"]))
    run = evaluator or Reference(Path(card.path))
    expected = [evaluate(card, feeds, run) for feeds in inputs]
    warnings = tuple(health(card, inputs, expected, run))
    names = [port.name for port in card.inputs if port.name not in card.states]
    try:
        save_oracle(path, inputs, expected, names, {"origin": name, "warnings": warnings, "sha256": key})
    except OSError as error:
        raise unwritable("oracle", path, error) from error
    return OracleInfo(path, key, name, warnings)


def _key(card: Card, inputs: Inputs, origin: str) -> str:
    """A digest of the very bytes that go in, so that no change of input can meet an old answer."""
    total = hashlib.sha256()
    head = [ALGORITHM, origin, card.name, card.form, card.sha256, card.states, card.output_names]
    total.update(json.dumps(head, sort_keys=True).encode())
    for channel, feeds in enumerate(inputs):
        for turn, feed in enumerate(feeds):
            for name, value in feed.items():
                total.update(json.dumps([channel, turn, name, str(value.dtype), value.shape]).encode())
                total.update(value.tobytes())
    return total.hexdigest()
