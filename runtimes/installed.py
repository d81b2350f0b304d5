"""Whether a runtime's packages are here, told from their metadata, without importing them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Probe:
    """The answer of one runtime to "can you run here?".

    Attributes:
        available: whether it can.
        version: its version, None when it is not here.
        reason: why not, one sentence; empty when it can.
        remedy: the command that mends it; empty when none is needed or none is known.
    """

    available: bool
    version: str | None = None
    reason: str = ""
    remedy: str = ""


def owners_of(module: str, names: Sequence[str]) -> list[str]:
    """Which of several distributions that bring the same module own the one that an import would find.

    Args:
        module: of the top level; it is not imported.
        names: of distributions.

    Returns:
        One name where each lies in a folder of its own, several where they lie on top of each other; empty where none
        is installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return []
    found = Path(spec.origin).resolve().parent
    owners = []
    for name in names:
        try:
            place = metadata.distribution(name).locate_file(module)
        except metadata.PackageNotFoundError:
            continue
        if Path(str(place)).resolve() == found:
            owners.append(name)
    return owners


def probe_distributions(names: Sequence[str], remedy: str) -> Probe:
    """Available when every named distribution is installed; the version is the first one's."""
    versions: dict[str, str] = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    missing = [name for name in names if name not in versions]
    version = versions.get(names[0]) if names else None
    if missing:
        lacking = " and ".join(missing)
        return Probe(False, version, f"{lacking} {'is' if len(missing) == 1 else 'are'} not installed", remedy)
    return Probe(True, version)
