"""Where the sections of an ELF file lie: as much as a CUDA library and a GPU image need."""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"\x7fELF"
# Sections that take no room in the file.
NOBITS = 8


@dataclass(frozen=True)
class Section:
    """One section; offset and size in bytes, within the file."""

    name: str
    offset_bytes: int
    size_bytes: int


def sections(image: bytes | bytearray) -> list[Section]:
    """The sections that have contents, in the order of the file's table.

    Args:
        image: a whole file.

    Raises:
        ValueError: it is no little-endian ELF64 file, or is cut off.
    """
    if image[:4] != MAGIC or image[4:6] != b"\x02\x01":
        raise ValueError("not a little-endian ELF64 file")
    try:
        (table,) = struct.unpack_from("<Q", image, 0x28)
        entry_bytes, count, names_at = struct.unpack_from("<HHH", image, 0x3A)
        if not table or not count:
            return []
        headers = [struct.unpack_from("<IIQQQQ", image, table + index * entry_bytes) for index in range(count)]
        names = headers[names_at][4]
        found = []
        for name, kind, _, _, offset, size in headers:
            if kind == NOBITS:
                continue
            if offset + size > len(image):
                raise ValueError("an ELF file that ends before its sections do")
            start = names + name
            text = bytes(image[start : image.index(b"\0", start)])
            found.append(Section(text.decode("utf-8", "replace"), offset, size))
    except (struct.error, IndexError) as error:
        raise ValueError(f"an ELF file whose table of sections cannot be read: {error}") from None
    return found
