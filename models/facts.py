"""What is known about a model without building it: read from ``zoo.toml``, nothing heavy imported."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from models.errors import ModelError


@dataclass(frozen=True)
class Audio:
    """How much audio one call answers for.

    Attributes:
        frames: spectral frames (or blocks) per call.
        hop: samples from one frame to the next.
        sample_rate: samples per second.
    """

    frames: int
    hop: int
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Seconds of audio per call: ``frames * hop / sample_rate``.

        Others divide by ``(frames - 1) * hop``; the denominator is therefore stored with
        every record and printed beside every real-time factor.
        """
        return self.frames * self.hop / self.sample_rate


@dataclass(frozen=True)
class ModelFacts:
    """One entry of the zoo.

    Attributes:
        name: what a user types.
        title: one line for tables.
        builder: which function of :mod:`models.build` makes the graph.
        forms: the forms it can be built in, the parent first.
        signal: which kind of seeded input suits it (see :mod:`models.inputs`).
        audio: audio per call.
        parameters: trainable values in the graph, without the form's own constants.
        parameters_published: the figure that was matched, if one was published.
        published_in: where that figure stands.
        provenance: how close to the original the reconstruction is.
    """

    name: str
    title: str
    builder: str
    forms: tuple[str, ...]
    signal: str
    audio: Audio
    provenance: str
    parameters: int = 0
    parameters_published: int | None = None
    published_in: str | None = None


@cache
def zoo() -> dict[str, ModelFacts]:
    """Every model that ships with rtfloor, by name, in the order of ``zoo.toml``."""
    table = tomllib.loads(resources.files("models").joinpath("zoo.toml").read_text("utf-8"))
    return {name: _facts(name, entry) for name, entry in table.items()}


def facts(name: str) -> ModelFacts:
    """The facts of one zoo model.

    Raises:
        ModelError: there is no model of that name.
    """
    try:
        return zoo()[name]
    except KeyError:
        raise ModelError(
            f"model {name!r} is not in the zoo ({', '.join(zoo())}) and is no .onnx file; "
            "'rtfloor models' lists the zoo, '--model path/to/file.onnx' takes a file of yours"
        ) from None


def check_form(name: str, form: str) -> None:
    """Refuse a form that the model does not have.

    Raises:
        ModelError: naming the forms there are.
    """
    entry = facts(name)
    if form not in entry.forms:
        raise ModelError(f"model {name!r} has no form {form!r}; its forms are: {', '.join(entry.forms)}")


def _facts(name: str, entry: dict[str, Any]) -> ModelFacts:
    audio = Audio(**entry.pop("audio"))
    forms = tuple(entry.pop("forms"))
    return ModelFacts(name=name, audio=audio, forms=forms, **entry)
