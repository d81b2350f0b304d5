"""Compiled artefacts in a cache: named after all that shapes them, whole or absent, and sealed."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def key_digest(key: Mapping[str, object]) -> str:
    """A name for one set of circumstances, 20 hexadecimal digits; any change makes another.

    Args:
        key: JSON values only.
    """
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file that is complete or not there, whatever happens meanwhile and whoever else writes it.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f"unfinished-{os.getpid()}-{path.name}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def seal_file(artefact: Path) -> Path:
    """Where an artefact's digest stands."""
    return artefact.with_suffix(".sha256")


def keep(artefact: Path, content: bytes | memoryview) -> None:
    """Write an artefact and seal it.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(artefact, content)
    write_whole(seal_file(artefact), hashlib.sha256(content).hexdigest().encode())


def intact(artefact: Path) -> bool:
    """Whether it is there, whole, and as it was written: a damaged one would crash when it is loaded or called."""
    try:
        return seal_file(artefact).read_text("utf-8") == hashlib.sha256(artefact.read_bytes()).hexdigest()
    except (OSError, UnicodeDecodeError):
        return False
