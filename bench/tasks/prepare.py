"""Task: make one model file ready, and say what is in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.plan import ModelSpec
from models.prepare import prepare_user, prepare_zoo


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with the model's card.

    The request has ``spec`` (a :class:`~bench.plan.ModelSpec` as JSON), ``form``, ``batch`` and
    ``folder``.
    """
    spec = ModelSpec(**request["spec"])
    folder = Path(request["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    if spec.path is None:
        card = prepare_zoo(spec.name, request["form"], request["batch"], folder)
    else:
        card = prepare_user(
            Path(spec.path),
            batch=request["batch"],
            shapes={name: tuple(shape) for name, shape in spec.shapes.items()},
            states=dict(spec.states),
            audio_s=spec.audio_s,
            values=dict(spec.values),
            folder=folder,
        )
        card = replace(card, name=spec.name, audio=spec.audio or card.audio)
    return {"card": card.to_json()}
