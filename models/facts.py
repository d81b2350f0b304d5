"""What is known about a model without building it: read from ``zoo/*.toml``, nothing heavy imported."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What an output can be, for the figures of quality that suit it.
KINDS = ("mask", "spectrum", "audio", "score", "other")


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
        family: which file of :mod:`models.families` builds the graph.
        forms: the forms that a suite spans when it names none, the parent first.
        signal: which kind of seeded input suits it (see :mod:`models.inputs`).
        audio: audio per call.
        provenance: how close to the original the reconstruction is.
        arguments: what the family needs to know, such as layer widths.
        outputs: output name -> what it is, see :mod:`models.quality`: ``mask``, ``spectrum``, ``audio``,
            ``score``; states are left out.
        claims: what the model promises and tests hold it to: ``causal``, ``mask``, ``complementary``,
            ``stateful``.
        parameters: trained values in the graph.
        parameters_published: the figure that was matched, if one was published.
        published_in: where that figure stands.
        nodes: nodes of the form ``raw``.
        flops: floating-point operations of one call, see :mod:`models.cost`.
    """

    name: str
    title: str
    family: str
    forms: tuple[str, ...]
    signal: str
    audio: Audio
    provenance: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    claims: tuple[str, ...] = ()
    parameters: int = 0
    parameters_published: int | None = None
    published_in: str | None = None
    nodes: int = 0
    flops: int = 0

    @property
    def parameters_difference(self) -> float | None:
        """How far the count is from the published one, as a share of it; None when none was published."""
        if not self.parameters_published:
            return None
        return self.parameters / self.parameters_published - 1


@cache
def zoo() -> dict[str, ModelFacts]:
    """Every model that ships with rtfloor, by name: file by file of ``zoo/``, in the order of each file."""
    folder = resources.files("models").joinpath("zoo")
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    tables = [tomllib.loads(file.read_text("utf-8")) for file in files]
    return {name: _facts(name, entry) for table in tables for name, entry in table.items()}


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


def _facts(name: str, entry: dict[str, Any]) -> ModelFacts:
    audio = Audio(**entry.pop("audio"))
    forms, claims = (tuple(entry.pop(key, ())) for key in ("forms", "claims"))
    return ModelFacts(name=name, audio=audio, forms=forms, claims=claims, **entry)
