"""What a user says about a model of theirs, from flags or from a suite's ``[models.NAME]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.errors import UserError
from bench.plan import ModelSpec
from models.facts import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODEL_KEYS = ("path", "shapes", "states", "inputs", "outputs", "audio_seconds", "frames", "hop", "sample_rate")


def model_spec(name: str, entry: Mapping[str, Any], where: str, folder: Path) -> ModelSpec:
    """Validate one description.

    Args:
        name: as it will appear in cells.
        entry: keys of :data:`MODEL_KEYS`.
        where: for messages.
        folder: what a relative path is relative to.

    Raises:
        UserError: a key is missing, contradicts another, or has a value that is not allowed.
    """
    if not isinstance(entry.get("path"), str) or not entry["path"]:
        raise UserError(f'{where} needs path = "model.onnx"')
    for key in ("shapes", "states", "inputs", "outputs"):
        if not isinstance(entry.get(key, {}), dict):
            raise UserError(f"{where}: {key} must be a table such as {key} = {{ x = ... }}, not {entry[key]!r}")
    shapes = {key: parse_shape(value, f"{where}, shapes.{key}") for key, value in entry.get("shapes", {}).items()}
    audio_s, audio = audio_seconds(entry, where)
    return ModelSpec(
        name,
        str((folder / entry["path"]).absolute()),
        shapes,
        {str(key): str(value) for key, value in entry.get("states", {}).items()},
        {str(key): _value(str(value), folder) for key, value in entry.get("inputs", {}).items()},
        audio_s,
        audio,
        {str(key): _kind(value, f"{where}, outputs.{key}") for key, value in entry.get("outputs", {}).items()},
    )


def _kind(value: Any, where: str) -> str:
    if value not in KINDS:
        raise UserError(f"{where}: there is no kind of output {value!r}; there are: {', '.join(KINDS)}")
    return str(value)


def _value(text: str, folder: Path) -> str:
    """What to feed; a ``.npy`` path is relative to the same folder as the model's."""
    return str((folder / text).absolute()) if text.lower().endswith(".npy") else text


def parse_shape(value: Any, where: str) -> tuple[int, ...]:
    """A shape from ``"1,2,513,48"`` or a list of numbers; the empty text is a scalar's shape.

    Raises:
        UserError: it is no list of positive whole numbers.
    """
    try:
        items = (value.split(",") if value.strip() else []) if isinstance(value, str) else list(value)
        shape = tuple(_size(item) for item in items)
    except (TypeError, ValueError):
        shape = (0,)
    if any(size < 1 for size in shape):
        raise UserError(f"{where}: {value!r} is no shape; write positive sizes such as 1,2,513,48")
    return shape


def _size(item: Any) -> int:
    """A whole number, from text or as a number; anything that would need rounding is refused."""
    if isinstance(item, bool) or not isinstance(item, int | str):
        raise TypeError(item)
    return int(item)


def audio_seconds(entry: Mapping[str, Any], where: str) -> tuple[float | None, str]:
    """Seconds of audio per call, and the same in words.

    Raises:
        UserError: not positive, both ways given at once, or an incomplete triple.
    """
    triple = [entry.get(key) for key in ("frames", "hop", "sample_rate")]
    given = entry.get("audio_seconds")
    if given is not None and any(item is not None for item in triple):
        raise UserError(f"{where}: give either audio seconds, or frames, hop and sample rate, not both")
    if given is not None:
        seconds = _positive(given, "audio seconds", where)
        return seconds, f"{seconds:g} s, as stated"
    if all(item is None for item in triple):
        return None, ""
    if any(item is None for item in triple):
        raise UserError(f"{where}: frames, hop and sample rate belong together; give all three, or audio seconds")
    frames, hop, rate = (
        _positive(item, key, where) for item, key in zip(triple, ("frames", "hop", "sample rate"), strict=True)
    )
    return frames * hop / rate, f"{frames:g} frames x {hop:g} samples / {rate:g} Hz"


def _positive(value: Any, key: str, where: str) -> float:
    try:
        number = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < float("inf"):
        raise UserError(f"{where}: {key} is {value!r}; it must be a number above 0")
    return number
