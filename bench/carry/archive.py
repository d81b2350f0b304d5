"""One package as one compressed archive."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from bench.carry.slim import Contents

# Unpacking takes this much memory, packing twelve times as much.
MOST_DICTIONARY_BYTES = 128 << 20
EFFORT = 9 | lzma.PRESET_EXTREME


@dataclass(frozen=True)
class Archive:
    """A finished archive.

    Attributes:
        path: the file.
        name, version: of the package.
        size_bytes: of the file.
        sha256: of the file, in hexadecimal.
        unpacked_bytes: of all it holds.
        record: the path inside of the list of its files.
    """

    path: Path
    name: str
    version: str
    size_bytes: int
    sha256: str
    unpacked_bytes: int
    record: str


def write(contents: Contents, path: Path, machine: str, effort: int = EFFORT) -> Archive:
    """Write a ``.tar.xz`` that is the same, byte for byte, whenever it is made from the same files.

    Args:
        contents: to write, in their order: the libraries last and next to each other, where they share the most.
        path: of the archive.
        machine: processor, such as ``x86_64``, whose jumps are rewritten so that they repeat more.
        effort: preset of xz.
    """
    # A dictionary larger than the contents would only take memory.
    dictionary_bytes = min(MOST_DICTIONARY_BYTES, max(contents.size_bytes, 1 << 16))
    compressor: dict[str, Any] = {"id": lzma.FILTER_LZMA2, "preset": effort, "dict_size": dictionary_bytes}
    compressor["nice_len"] = 273  # the longest match there is
    filters = [{"id": lzma.FILTER_X86}] if machine == "x86_64" else []
    with lzma.open(path, "wb", filters=[*filters, compressor]) as xz, tarfile.open(fileobj=xz, mode="w|") as tar:
        for name, data in contents.files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755 if name in contents.executable else 0o644
            tar.addfile(member, io.BytesIO(data))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = next(name for name in contents.files if name.endswith(".dist-info/RECORD"))
    wheel = contents.wheel
    return Archive(path, wheel.name, wheel.version, path.stat().st_size, digest, contents.size_bytes, record)
