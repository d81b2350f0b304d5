"""Task: make one model file ready, and say what is in it."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from bench.plan import ModelSpec
from bench.tasks.common import ort_tools
from models.errors import ModelError
from models.fusion import table
from models.prepare import prepare_user, prepare_zoo
from models.userfile import external_files

if TYPE_CHECKING:
    from models.card import Card


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with the model's card, and for one signal with what its nodes cost.

    The request has ``spec`` (a :class:`~bench.plan.ModelSpec` as JSON), ``form``, ``batch`` and
    ``folder``.
    """
    folder = Path(request["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    card = card_of(ModelSpec(**request["spec"]), request["form"], request["batch"], folder)
    # Floors are made of the graph for one signal.
    return {
        "card": card.to_json(),
        "graph": graph_of(card) if request["batch"] == 1 else {},
        "file_bytes": file_bytes(Path(card.path)),
    }


def file_bytes(path: Path) -> int:
    """Size of a model file and of the external data that belongs to it."""
    model = onnx.load(path, load_external_data=False)
    return sum(file.stat().st_size for file in (path, *external_files(model, path)))


def graph_of(card: Card) -> dict[str, Any]:
    """What the nodes of a card's graph cost, see :func:`models.fusion.table`; empty where it cannot be told."""
    try:
        return table(onnx.load(card.path, load_external_data=False))
    except ModelError:
        return {}
    except Exception:  # noqa: BLE001  # a graph that we fail to look through costs it its floor, never the run
        traceback.print_exc()
        return {}


def card_of(spec: ModelSpec, form: str, batch: int, folder: Path) -> Card:
    """The card of a zoo model or of a user's file, its model written into ``folder``."""
    if spec.path is None:
        return prepare_zoo(spec.name, form, batch, folder, ort_tools())
    card = prepare_user(
        Path(spec.path),
        form=form,
        batch=batch,
        shapes={name: tuple(shape) for name, shape in spec.shapes.items()},
        states=dict(spec.states),
        audio_s=spec.audio_s,
        values=dict(spec.values),
        kinds=dict(spec.outputs),
        folder=folder,
        ort=ort_tools(),
    )
    return replace(card, name=spec.name, audio=spec.audio or card.audio)
