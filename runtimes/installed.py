"""Whether a runtime's packages are here, told from their metadata, without importing them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
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
