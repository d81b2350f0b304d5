"""Which settings an installed ONNX Runtime has, read off its Python classes and its shared libraries.

The library takes any configuration key without complaint and lists none. But it compares what it is given with names
of its own, and these are in its files: most as strings between two zero bytes; some only in the text of a message;
and a few have become instructions, of which the first 16 letters are left as one constant.
"""

from __future__ import annotations

import mmap
import re
from enum import EnumMeta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

AREAS = rb"(?:session|optimization|mlas|ep|memory|arena)"
# Keys without an area; the documentation of the C interface has them.
BARE = ("disable_synchronize_execution_providers", "gpu_graph_id", "allow_virtual_devices")
# A name ends in a letter or digit: one that ends in a dot is the beginning of a family, put together elsewhere.
WHOLE = re.compile(rb"(?<=\0)" + AREAS + rb"\.[A-Za-z0-9_.]*[A-Za-z0-9](?=\0)")
IN_A_SENTENCE = re.compile(rb"(?<=[\0 '\"])" + AREAS + rb"\.[a-z0-9_.]*_[a-z0-9_]*[a-z0-9](?=[ '\"=,;])")
FAMILY = re.compile(rb"(?<=\0)" + AREAS + rb"\.[A-Za-z0-9_.]*\.(?=\0)")
CUT = re.compile(rb"(?<![ .'\"(=\n])" + AREAS + rb"\.[a-z0-9_.]+")
VARIABLE = re.compile(rb"(?<=\0)(?:ORT|MLAS)_[A-Z0-9_]+(?=\0)")
BLOCK = 16


def attributes(kind: type) -> list[str]:
    """What can be set on a class of the bindings, or told to it: its public names but for those that only read."""
    readers = ("get_", "has_")
    return [f"{kind.__name__}.{name}" for name in dir(kind) if not name.startswith(("_", *readers))]


def enumerators(module: Any) -> set[str]:
    """Names of members of all enumerations of a module, some of which look like variables."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, (type, EnumMeta))]
    return {name for kind in kinds for name in dir(kind) if name.isupper()}


def names_in(files: Iterable[Path], declared: Sequence[str]) -> list[str]:
    """Configuration keys and variables that shared libraries have.

    Args:
        files: the libraries.
        declared: names that somebody has spoken for, to tell one of which only the beginning is left.

    Returns:
        In alphabetical order, each once; of a name that is unknown and cut its first 16 letters.

    Raises:
        OSError: a file cannot be read.
    """
    found: set[str] = set()
    for path in files:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found |= in_bytes(data, declared)
    # What is whole in one file may be cut in another.
    return sorted(name for name in found if len(name) != BLOCK or not _begins(name, found))


def in_bytes(data: bytes | mmap.mmap, declared: Sequence[str]) -> set[str]:
    """The same for the bytes of one library."""
    keys = (match for rule in (WHOLE, IN_A_SENTENCE) for match in rule.finditer(data))
    found = {match[0].decode() for match in keys if not _glued(match, declared)}
    found |= {name.decode() for name in VARIABLE.findall(data)}
    found |= {name for name in BARE if data.find(b"\0" + name.encode() + b"\0") >= 0}
    families = {name.decode() for name in FAMILY.findall(data)}
    for cut in sorted({match[0][:BLOCK].decode() for match in CUT.finditer(data) if _constant(match)}):
        if not _begins(cut, found | families):
            whole = [name for name in declared if name.startswith(cut) and _in_blocks(name, data)]
            found |= set(whole or [cut])
    return found


def _constant(match: re.Match[bytes]) -> bool:
    """Whether it may be one: they lie at multiples of their size, wherever text may begin."""
    return match.start() % BLOCK == 0 and len(match[0]) >= BLOCK


def _glued(match: re.Match[bytes], declared: Sequence[str]) -> bool:
    """Whether it only looks like a name: two constants that begin a known one, and others that lie behind them."""
    name = match[0].decode()
    start = name[: 2 * BLOCK]
    known = name in declared or not any(other.startswith(start) for other in declared)
    return _constant(match) and len(name) > len(start) and not known


def _begins(cut: str, names: Iterable[str]) -> bool:
    return any(name != cut and name.startswith(cut) for name in names)


def _in_blocks(name: str, data: bytes | mmap.mmap) -> bool:
    """Whether all whole blocks of a name are there, wherever each may be."""
    letters = name.encode()
    whole = range(0, len(letters) - len(letters) % BLOCK, BLOCK)
    return all(data.find(letters[start : start + BLOCK]) >= 0 for start in whole)
