"""What TensorRT's engine inspector says of an engine's layers: which arithmetic they use.

Source: TensorRT developer guide, *Engine Inspector*, and its page on migrating from 10.x to 11.x, which splits
``Format/Datatype`` in two. Neither lists all words: what is not known here is not counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORDS = {
    "fp32": "fp32", "float32": "fp32", "float": "fp32", "fp16": "fp16", "float16": "fp16", "half": "fp16",
    "bf16": "bf16", "bfloat16": "bf16", "int8": "int8", "fp8": "fp8",
}  # fmt: skip
_WORD = re.compile(rf"\b({'|'.join(_WORDS)})\b")
# Where the arithmetic is, by the type of a layer, of its parameters, or by the name of the kernel chosen for it.
_HEAVY = re.compile(r"conv(?!ert)|gemm|matmul|matrix_?multiply|rnn|lstm|gru|attention|mha|fprop|dgrad")
_TYPES = ("DataType", "Datatype", "Format/Datatype", "Format/DataType", "Format")


@dataclass
class Layers:
    """Layers of an engine by arithmetic; empty where the engine was not built to tell.

    Attributes:
        all: how many layers take values of each kind, such as ``fp16``.
        heavy: the same for convolutions and matrix products, with the layer's type before it.
    """

    all: Counter[str] = field(default_factory=Counter)
    heavy: Counter[tuple[str, str]] = field(default_factory=Counter)

    def precision(self) -> str:
        """The arithmetic of the heavy layers, joined by ``+``; empty where it is not known."""
        return "+".join(sorted({kind for _, kind in self.heavy}))

    def facts(self) -> dict[str, Any]:
        """Both counts, JSON values only."""
        heavy = {f"{layer} {kind}": count for (layer, kind), count in sorted(self.heavy.items())}
        return {"layers": dict(sorted(self.all.items())), "heavy_layers": heavy}


def read_layers(text: str, *, tf32: bool) -> Layers:
    """Count layers.

    Args:
        text: of ``get_engine_information`` as JSON.
        tf32: whether float32 products were allowed to be made in TF32: data types do not show it. A kernel's name
            does; a layer whose kernel has no name is then taken to use it.
    """
    found = Layers()
    for layer in _layers(text):
        kind = next(_kinds(layer), "")
        if not kind:
            continue
        name, tactic = str(layer.get("LayerType", "")), str(layer.get("TacticName", "")).lower()
        if _HEAVY.search(f"{name} {layer.get('ParameterType', '')} {tactic}".lower()):
            if kind == "fp32" and tf32 and (not tactic or "tf32" in tactic):
                kind = "tf32"
            found.heavy[name, kind] += 1
        found.all[kind] += 1
    return found


def _layers(text: str) -> list[dict[str, Any]]:
    """Layers with details; an engine that was built to tell less has names in their place."""
    try:
        told = json.loads(text)
    except ValueError:
        return []
    layers = told.get("Layers", []) if isinstance(told, dict) else told
    return [layer for layer in layers if isinstance(layer, dict)] if isinstance(layers, list) else []


def _kinds(layer: dict[str, Any]) -> Iterator[str]:
    """Kinds of floating-point or quantised values, inputs first: a product is made in the type it reads."""
    for tensor in (*layer.get("Inputs", ()), *layer.get("Outputs", ())):
        if not isinstance(tensor, dict):
            continue
        words = (_WORD.search(str(tensor[key]).lower()) for key in _TYPES if key in tensor)
        yield from (_WORDS[word[1]] for word in words if word)
