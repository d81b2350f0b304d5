"""What tasks share: from the words of a request to the objects they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.base import Request, Tensor

if TYPE_CHECKING:
    from models.card import Card, Port


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


def _tensor(port: Port) -> Tensor:
    return Tensor(port.name, port.shape or (), port.dtype)
