"""What tasks share: from the words of a request to the objects they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.base import Request, Tensor
from runtimes.installed import probe_distributions

if TYPE_CHECKING:
    from models.card import Card, Port
    from models.surgery.base import OrtTools


def engine_request(request: dict[str, Any], card: Card) -> Request:
    """The adapter's part of a worker request."""
    cache = Path(request["engine_cache"])
    cache.mkdir(parents=True, exist_ok=True)
    return Request(
        model=Path(card.path),
        model_sha256=card.sha256,
        inputs=tuple(_tensor(port) for port in card.inputs),
        outputs=tuple(_tensor(port) for port in card.outputs),
        precision=card.precision,
        threads=int(request["threads_each"]),
        sessions=int(request["sessions"]),
        options=request["options"],
        cache=cache,
    )


def ort_tools() -> OrtTools | None:
    """ONNX Runtime's offline tools for passes that use them; None where it is not installed."""
    from runtimes.ort_tools import OrtTools as Tools

    # Both distributions bring the same module.
    installed = any(probe_distributions((name,), "").available for name in ("onnxruntime", "onnxruntime-gpu"))
    return Tools() if installed else None


def _tensor(port: Port) -> Tensor:
    return Tensor(port.name, port.shape or (), port.dtype)
