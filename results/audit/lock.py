"""Digests of rows that were checked against their sources, so that no figure is changed unseen; pure.

One line per row: its id, then every key that is set with eight digits of the SHA-256 of its value. Keys stand apart
so that a change can be named.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from results.published.figure import Row

HEAD = """\
# Digests of published rows as they were checked against their sources.
# After checking a change: python -m results.audit --lock
"""
ADDED, REMOVED = "row added", "row removed"


def write(rows: Mapping[str, Row]) -> str:
    """The lock of these rows."""
    lines = [
        " ".join([name, *(f"{key}={digest}" for key, digest in _digests(row).items())]) for name, row in rows.items()
    ]
    return HEAD + "".join(line + "\n" for line in lines)


def changes(rows: Mapping[str, Row], text: str) -> dict[str, tuple[str, ...]]:
    """What differs from a lock: row to the keys that do.

    Rows that are new, or gone, have :data:`ADDED` or :data:`REMOVED` in place of keys.
    """
    locked = parse(text)
    found: dict[str, tuple[str, ...]] = {}
    for name, row in rows.items():
        if name not in locked:
            found[name] = (ADDED,)
            continue
        now, then = _digests(row), locked[name]
        differing = tuple(key for key in {**now, **then} if now.get(key) != then.get(key))
        if differing:
            found[name] = differing
    return {**found, **{name: (REMOVED,) for name in locked if name not in rows}}


def parse(text: str) -> dict[str, dict[str, str]]:
    """A lock: what stands first in a line, to its keys and their digests."""
    return dict(_parse(line) for line in text.splitlines() if line and not line.startswith("#"))


def _parse(line: str) -> tuple[str, dict[str, str]]:
    name, *digests = line.split()
    return name, dict(part.split("=", 1) for part in digests if "=" in part)


def _digests(row: Row) -> dict[str, str]:
    return {
        key: hashlib.sha256(f"{row.id} {key} {json.dumps(value, sort_keys=True)}".encode()).hexdigest()[:8]
        for key, value in _values(row).items()
        if value not in (None, "", [], False)
    }


def _values(row: Row) -> dict[str, Any]:
    values = row.to_json()
    # Both follow from the id.
    del values["id"], values["claim"]
    return {**values, "source": [row.source.key, row.source.title, row.source.url], "scale": str(row.scale)}
