"""What known machines could do at most, by their datasheets: a TOML file per machine in this folder."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.errors import PeaksError
from results.hardware.profile import parse

if TYPE_CHECKING:
    from results.peaks import Peaks

_SUFFIX = ".toml"


def names() -> list[str]:
    """The machines that ship with rtfloor."""
    folder = resources.files("results.hardware")
    return sorted(item.name.removesuffix(_SUFFIX) for item in folder.iterdir() if item.name.endswith(_SUFFIX))


def hardware(name: str) -> Peaks:
    """The peaks of a machine, derived from its datasheet.

    Args:
        name: one of :func:`names`, or the path of a file of yours, which ends in ``.toml``.

    Raises:
        PeaksError: there is no such machine or file, or the file is wrong; the text names file and key.
    """
    if name.endswith(_SUFFIX):
        path = Path(name)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PeaksError(f"hardware profile {name} cannot be read: {error}") from None
        return parse(_toml(text, name), path.stem, name)
    return parse(values(name), name, _where(name))


def values(name: str) -> dict[str, Any]:
    """What stands in the file of one of :func:`names`; :mod:`results.audit` guards it.

    Raises:
        PeaksError: there is no such machine, or its file cannot be read.
    """
    if name not in names():
        raise PeaksError(
            f"there is no hardware profile {name!r} ({', '.join(names())}); "
            "a file of yours is as good: --hardware path/to/machine.toml, see docs/published.md"
        )
    file = resources.files("results.hardware").joinpath(name + _SUFFIX)
    try:
        return _toml(file.read_text("utf-8"), _where(name))
    except (OSError, UnicodeDecodeError) as error:
        raise PeaksError(f"hardware profile {_where(name)} cannot be read: {error}") from None


def _where(name: str) -> str:
    return f"results/hardware/{name}{_SUFFIX}"


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PeaksError(f"hardware profile {where} is no TOML: {error}") from None
