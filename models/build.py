"""From a zoo name and a batch size to an ONNX graph in the form ``raw``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from models.facts import facts

if TYPE_CHECKING:
    import onnx


def build(name: str, batch: int = 1) -> onnx.ModelProto:
    """Build a zoo model as an exporter would leave it; other forms are made of it by :mod:`models.surgery`.

    Args:
        name: a key of :func:`models.facts.zoo`.
        batch: signals per call.

    Raises:
        ModelError: no such model.
    """
    entry = facts(name)
    family = importlib.import_module(f"models.families.{entry.family}")
    model: onnx.ModelProto = family.build(entry, batch)
    return model
