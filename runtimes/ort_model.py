"""The file that ONNX Runtime loads: the model's own, or its graph rewritten ahead, kept in the cache."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.artefacts import intact, keep, key_digest
from runtimes.ort_axes import AXES, FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtimes.base import Request

FORMAT = "model_format"


def rewritten_ahead(request: Request) -> bool:
    """Whether a file other than the model's own is loaded."""
    return request.options.get(FORMAT, "onnx") != "onnx"


def artefact(request: Request, version: str) -> Path:
    """Where the rewritten graph belongs.

    Args:
        request: with any ``model_format`` but ``onnx``.
        version: of the library; its next one may rewrite otherwise.
    """
    form = str(request.options[FORMAT])
    declared = {option.name for option in AXES}
    key = {
        "model": request.model_sha256,
        "version": version,
        # Rewriting blocks channels as wide as the processor's vectors are.
        "processor": _processor(),
        "options": {name: value for name, value in request.options.items() if name in declared},
    }
    return request.cache / f"{request.model.stem[:60]}-{key_digest(key)}{FORMATS[form]}"


def make(path: Path, settings: Any, load: Callable[[Any], object]) -> None:
    """Have the graph rewritten and written down.

    Args:
        path: of the artefact.
        settings: as for the model itself.
        load: makes a session with settings.
    """
    # Whole or not there, whatever happens meanwhile; the ending decides the format.
    unfinished = path.with_name(f"unfinished-{os.getpid()}-{path.name}")
    settings.optimized_model_filepath = str(unfinished)
    try:
        load(settings)
        keep(path, unfinished.read_bytes())
    finally:
        unfinished.unlink(missing_ok=True)


def ready(path: Path) -> bool:
    """Whether it is there, as it was written."""
    return intact(path)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
