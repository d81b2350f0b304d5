"""Task: ask an engine for every setting that its installed version has."""

from __future__ import annotations

from typing import Any

from runtimes import registry


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Reply with the settings in the vendor's spelling; the request has ``runtime``."""
    adapter = registry.get(request["runtime"])
    adapter.start()
    return {"settings": list(adapter.settings_here())}
