"""Seeded inputs: the same for every form, runtime and run of a model, different for every call.

Kinds of signal, for floating-point inputs:

* ``normal``: N(0, 1);
* ``magnitude``: like the magnitudes of a spectrogram whose frequencies lie on the last axis but
  one: non-negative, falling with frequency, typically 0 to 8, without denormals.

Integers are 0 or 1, booleans false or true. What a user may say instead, per input (``--input``):
a number (``16000``), a range (``0..256``, upper end excluded), one of the two words above, or a
``.npy`` file with the input's shape or with one more axis in front, over which the calls rotate.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.names import check_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.card import Card, Port

Array = NDArray[Any]
Feeds = dict[str, Array]

_KINDS = ("normal", "magnitude")
_FORMS = "a number (16000), a range (0..256), 'normal', 'magnitude', or the path of a .npy file"
# The amplitude at frequency 0, and how fast it falls: 3 at the bottom, 3/13 at the top.
_LOUDNESS, _FALL = 3.0, 12.0


def make_inputs(card: Card, rotations: int, channels: int) -> list[list[Feeds]]:
    """The inputs of every channel and every call, state inputs left out.

    Args:
        card: the model for one signal per call.
        rotations: how many different inputs take turns.
        channels: signals, such as 2 for stereo; each has its own inputs.

    Returns:
        ``[channel][rotation]`` -> input name -> array. A function of the model's name, the input's
        name, channel and rotation alone, so all forms of a model see the same.

    Raises:
        ModelError: an override does not fit, or the card is one for several signals.
    """
    if card.batch != 1:
        raise ModelError(f"inputs are made for one signal per call, but {card.name} was prepared for {card.batch}")
    return [
        [
            {p.name: _make(card, p, channel, turn, rotations) for p in card.inputs if p.name not in card.states}
            for turn in range(rotations)
        ]
        for channel in range(channels)
    ]


def initial_state(card: Card) -> Feeds:
    """Zeros for every state input: what the first call of a sequence gets."""
    return {p.name: np.zeros(p.sizes, p.dtype) for p in card.inputs if p.name in card.states}


def with_values(card: Card, values: Mapping[str, str]) -> Card:
    """The card with other values for some inputs (``--input NAME=SPEC``).

    Args:
        card: the model.
        values: input name -> number, range, kind of signal, or path of a ``.npy`` file.

    Raises:
        ModelError: unknown input, state input, or a value that does not fit the input.
    """
    ports = {port.name: port for port in card.inputs}
    constants = dict(card.constants)
    for name, spec in values.items():
        if name not in ports:
            raise ModelError(
                f"--input {name}={spec}: the model has no input {name!r}; its inputs are {', '.join(ports)}"
            )
        if name in card.states:
            raise ModelError(f"--input {name}={spec}: {name!r} is a state input, which always starts at zeros")
        # A measured process may have another working folder.
        full = str(Path(spec).absolute()) if spec.endswith(".npy") else spec
        check_text(Path(full))
        _override(ports[name], full, np.random.default_rng(0), 0)
        constants[name] = full
    return replace(card, constants=constants)


def stack(arrays: Sequence[Array], shape: tuple[int, ...] | None) -> Array:
    """One array for a call with several signals, from one array per signal.

    Args:
        arrays: one per signal, of equal shape; inputs, or expected outputs.
        shape: the shape in the call with several signals; None where it is unknown.

    Returns:
        The arrays joined along the first axis in which they are smaller than ``shape``; the first
        one where they are not smaller, as a sample rate is.
    """
    first = arrays[0]
    if shape is None:
        return np.concatenate(arrays, axis=0)
    grown = [axis for axis, (small, large) in enumerate(zip(first.shape, shape, strict=True)) if small != large]
    return np.concatenate(arrays, axis=grown[0]) if grown else first


def _make(card: Card, port: Port, channel: int, turn: int, rotations: int) -> Array:
    seed = [zlib.crc32(card.name.encode()), zlib.crc32(port.name.encode()), channel, turn]
    generator = np.random.default_rng(seed)
    if port.name in card.constants:
        return _override(port, card.constants[port.name], generator, channel * rotations + turn)
    return _signal(port, card.signal, generator)


def _signal(port: Port, kind: str, generator: np.random.Generator) -> Array:
    dtype, shape = np.dtype(port.dtype), port.sizes
    if dtype.kind != "f":
        return generator.integers(0, 2, shape).astype(dtype)
    if kind not in _KINDS:
        raise ModelError(f"there is no kind of signal called {kind!r}; there are {', '.join(_KINDS)}")
    values = np.asarray(generator.standard_normal(shape))
    if kind == "magnitude":
        values = np.hypot(values, generator.standard_normal(shape)) / math.sqrt(2) * _envelope(shape)
    return np.asarray(values, dtype)


def _envelope(shape: tuple[int, ...]) -> Array:
    if len(shape) < 2:
        return np.full((), _LOUDNESS)
    return (_LOUDNESS / (1 + _FALL * np.linspace(0, 1, shape[-2])))[:, None]


def _override(port: Port, spec: str, generator: np.random.Generator, turn: int) -> Array:
    given, dtype = f"--input {port.name}={spec}", np.dtype(port.dtype)
    if spec.endswith(".npy"):
        return _stored(port, Path(spec), given, turn)
    if spec in _KINDS:
        if dtype.kind != "f":
            raise ModelError(f"{given}: that is for floating-point inputs, and this one is {port.dtype}")
        return _signal(port, spec, generator)
    ends = re.fullmatch(r"(.+?)\.\.(.+)", spec)
    if ends is None:
        return np.full(port.sizes, _number(spec, dtype, given), dtype)
    low, high = (_number(text, dtype, given, end=last) for text, last in zip(ends.groups(), (False, True), strict=True))
    if not low < high:
        raise ModelError(f"{given}: the range is empty; the first number must be below the second")
    if dtype.kind == "f":
        return np.asarray(generator.uniform(low, high, port.sizes), dtype)
    kind: Any = np.uint64 if dtype.kind == "u" else np.int64
    return np.asarray(generator.integers(int(low), int(high), port.sizes, dtype=kind)).astype(dtype)


def _number(text: str, dtype: np.dtype[Any], given: str, *, end: bool = False) -> float:
    try:
        value: float = int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else float(text)
    except ValueError:
        raise ModelError(f"{given}: {text!r} is no number; give {_FORMS}") from None
    if dtype.kind == "f":
        if not abs(value) <= float(np.finfo(dtype).max):
            raise ModelError(f"{given}: {text} is no finite {dtype}")
        return float(value)
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if not (math.isfinite(value) and value == int(value) and low <= value <= high + end):
        raise ModelError(
            f"{given}: {text} does not fit an input of {dtype}, which takes whole numbers from {low} to {high}"
        )
    return int(value)


def _stored(port: Port, path: Path, given: str, turn: int) -> Array:
    try:
        with path.open("rb") as file:
            values = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise ModelError(f"{given}: there is no file {path}") from None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise ModelError(f"{given}: cannot be read as a .npy file ({error}); write it with numpy.save") from error
    if not isinstance(values, np.ndarray) or values.shape not in {port.sizes, (*values.shape[:1], *port.sizes)}:
        found = getattr(values, "shape", "an archive")
        raise ModelError(
            f"{given}: holds {found}, but the input needs {port.sizes}, or that with one more axis in front"
        )
    if not np.can_cast(values.dtype, port.dtype, "same_kind") or (
        values.dtype.kind == "f" and not np.isfinite(values).all()
    ):
        raise ModelError(f"{given}: holds {values.dtype}, perhaps NaN or infinite; the input needs finite {port.dtype}")
    if values.shape == port.sizes:
        return values.astype(port.dtype)
    if not len(values):
        raise ModelError(f"{given}: holds no values; its first axis needs at least one entry")
    return np.ascontiguousarray(values[turn % len(values)], port.dtype)
