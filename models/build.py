"""From a zoo name, a form and a batch size to an ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.facts import ModelFacts, check_form, facts
from models.graph import Graph
from models.unet import FAST, RT, unet

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

NULL_SAMPLES = 64


def build(name: str, form: str, batch: int = 1) -> onnx.ModelProto:
    """Build a zoo model.

    Args:
        name: a key of :func:`models.facts.zoo`.
        form: one of the model's forms.
        batch: signals per call.

    Raises:
        ModelError: no such model, or it has no such form.
    """
    check_form(name, form)
    entry = facts(name)
    return _BUILDERS[entry.builder](entry, form, batch)


def _null(entry: ModelFacts, form: str, batch: int) -> onnx.ModelProto:
    graph = Graph(entry.name)
    graph.node("Identity", ["x"], "y")
    dims = [batch, NULL_SAMPLES]
    return graph.finish({"x": dims}, {"y": dims}, {"rtfloor.form": form})


_BUILDERS: dict[str, Callable[[ModelFacts, str, int], onnx.ModelProto]] = {
    "null": _null,
    "rt": lambda entry, form, batch: unet(entry.name, RT, entry.audio.frames, form, batch),
    "fast": lambda entry, form, batch: unet(entry.name, FAST, entry.audio.frames, form, batch),
}
