"""Series and hardware profiles in the audit: each must be readable, and is guarded value by value as rows are."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from results import published
from results.audit.lock import parse
from results.errors import PublishedError
from results.hardware import hardware, names, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEAD = """\
# Digests of series and hardware profiles, value by value, as they were checked.
# After checking a change: python -m results.audit --lock
"""
TABLE_ADDED, TABLE_REMOVED = "table added", "table removed"


def tables() -> dict[str, dict[str, Any]]:
    """Every series and every profile: file and table to its values by key, such as ``arithmetic[1].per_s``.

    Raises:
        PublishedError: a series is wrong, or names a machine that there is no profile of.
        PeaksError: a profile is wrong.
    """
    found = {}
    for name in published.series_names():
        about = published.series_about(name)
        for machine in {about.hardware, *(step.hardware for step in about.steps)}:
            if machine not in names():
                raise PublishedError(
                    f"results/published/series.toml, [{name}]: there is no profile {machine!r} in results/hardware "
                    f"({', '.join(names())})"
                )
        found[f"published/series.toml:{name}"] = dict(flat(published.series_values(name)))
    for name in names():
        hardware(name)
        found[f"hardware/{name}.toml"] = dict(flat(values(name)))
    return found


def flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """The single values of a table, with where they stand; items of a list count from 1."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from flat(one, f"{key}.{name}" if key else name)
    elif isinstance(value, list) and value:
        for number, one in enumerate(value, 1):
            yield from flat(one, f"{key}[{number}]")
    else:
        yield key, value


def write(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The lock of these tables: a line each."""
    lines = [
        " ".join([name, *(f"{key}={one}" for key, one in _digests(name, table).items())])
        for name, table in found.items()
    ]
    return HEAD + "".join(line + "\n" for line in lines)


def changes(found: Mapping[str, Mapping[str, Any]], text: str) -> dict[str, tuple[str, ...]]:
    """What differs from a lock: table to the keys that do, or to a word for tables that are new or gone."""
    locked = parse(text)
    differing: dict[str, tuple[str, ...]] = {}
    for name, table in found.items():
        if name not in locked:
            differing[name] = (TABLE_ADDED,)
            continue
        now, then = _digests(name, table), locked[name]
        if keys := tuple(key for key in {**now, **then} if now.get(key) != then.get(key)):
            differing[name] = keys
    return {**differing, **{name: (TABLE_REMOVED,) for name in locked if name not in found}}


def problems(differing: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A sentence for each, with what to do."""
    return [
        f"results/{name}: {', '.join(keys)}"
        + ("" if keys in ((TABLE_ADDED,), (TABLE_REMOVED,)) else " changed since the table was checked")
        + "; put it back, or check it against its sources and run: python -m results.audit --lock"
        for name, keys in differing.items()
    ]


def _digests(name: str, table: Mapping[str, Any]) -> dict[str, str]:
    return {
        # A key may have spaces and equals signs; a line of the lock may not.
        "".join("_" if letter in " =\t\r\n" else letter for letter in key): hashlib.sha256(
            f"{name} {key} {json.dumps(value, sort_keys=True, default=str)}".encode()
        ).hexdigest()[:8]
        for key, value in table.items()
    }
