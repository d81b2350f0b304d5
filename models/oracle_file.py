"""The oracle's file: inputs and expected outputs of one model, form and input.

Only NumPy is imported: a measured process reads this file, and must not load onnx for it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.atomic import write_atomically
from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Array = NDArray[Any]
Inputs = list[list[dict[str, Array]]]
Expected = list[list[list[Array]]]


def save_oracle(path: Path, inputs: Inputs, expected: Expected, names: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write an oracle; the file is whole or absent.

    Args:
        path: where.
        inputs: ``[channel][rotation]`` -> input name -> array; state inputs left out.
        expected: ``[channel][rotation]`` -> outputs in the graph's order.
        names: input names.
        facts: JSON values to keep beside the arrays.
    """
    arrays: dict[str, Array] = {}
    for channel, (feeds, answers) in enumerate(zip(inputs, expected, strict=True)):
        for turn, (feed, answer) in enumerate(zip(feeds, answers, strict=True)):
            # Numbers, not names, as keys: graphs have names that no archive would hold.
            arrays |= {f"in-{channel}-{turn}-{i}": feed[name] for i, name in enumerate(names)}
            arrays |= {f"out-{channel}-{turn}-{i}": value for i, value in enumerate(answer)}
    head: dict[str, Any] = {
        "channels": len(inputs),
        "rotations": len(inputs[0]) if inputs else 0,
        "names": list(names),
        "outputs": len(expected[0][0]) if expected and expected[0] else 0,
        "facts": dict(facts),
    }
    head["digest"] = _digest(head, arrays)
    arrays["head"] = np.array(json.dumps(head))
    write_atomically(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]  # its stub mistakes ** for a flag


def load_oracle(path: Path) -> tuple[Inputs, Expected]:
    """Read the inputs and the expected outputs, both ``[channel][rotation]``.

    In a model with states, rotation 0 starts at zero states and the others follow in order.

    Raises:
        ModelError: the file is missing or damaged.
    """
    head, data = _read(path)
    channels, rotations = range(head["channels"]), range(head["rotations"])
    inputs = [
        [{name: data[f"in-{c}-{r}-{i}"] for i, name in enumerate(head["names"])} for r in rotations] for c in channels
    ]
    expected = [[[data[f"out-{c}-{r}-{i}"] for i in range(head["outputs"])] for r in rotations] for c in channels]
    return inputs, expected


def save_answers(path: Path, answers: Sequence[Sequence[Sequence[Array]]]) -> None:
    """Write an engine's answers, ``[rotation][channel]`` -> outputs in the graph's order."""
    arrays = {
        f"out-{channel}-{turn}-{index}": np.asarray(value)
        for turn, channels in enumerate(answers)
        for channel, outputs in enumerate(channels)
        for index, value in enumerate(outputs)
    }
    write_atomically(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]  # its stub mistakes ** for a flag


def load_answers(path: Path) -> Expected:
    """Read back :func:`save_answers`, as ``[channel][rotation]`` -> outputs."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        data = {tuple(map(int, key.split("-")[1:])): archive[key] for key in archive.files}
    channels, rotations, outputs = (max(key[place] for key in data) + 1 for place in range(3))
    return [[[data[c, r, i] for i in range(outputs)] for r in range(rotations)] for c in range(channels)]


def load_facts(path: Path) -> dict[str, Any]:
    """What :func:`save_oracle` was given as facts.

    Raises:
        ModelError: the file is missing or damaged.
    """
    return dict(_read(path)[0]["facts"])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        # Opened here: given a path, NumPy leaves a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            data = {key: archive[key] for key in archive.files}
        head: dict[str, Any] = json.loads(str(data.pop("head")))
        if head.pop("digest") != _digest(head, data):
            raise ValueError("its values are not those that were written")  # noqa: TRY301  # as any other damage
    except Exception as error:  # a damaged archive can break any reader: zip, zlib, JSON, NumPy's header
        detail = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the oracle {path} cannot be read ({detail}); delete it, and it will be made again"
        ) from error
    return head, data


def _digest(head: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    total = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name, value in sorted(arrays.items()):
        total.update(json.dumps([name, str(value.dtype), value.shape]).encode())
        total.update(value.tobytes())
    return total.hexdigest()
