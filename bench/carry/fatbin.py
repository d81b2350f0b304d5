"""The GPU code inside a CUDA library, and how to blank what one machine cannot use.

A section ``.nv_fatbin`` is a row of containers, each the GPU code of one source file: images for several
architectures, as machine code (SASS, an ELF file) or as PTX, which the driver compiles. The layout is not published;
what is relied on here was read off libraries built by CUDA 12 and 13:

- container: magic u32, version u16, header size u16, size of all images u64;
- image: kind u16 (1 PTX, 2 SASS), version u16, header size u32, size u64, compressed size u32 at 16, architecture u32
  at 28, flags u32 at 40, size before compression u64 at 56.

The host code finds a container by its address, so nothing is moved: an image that is not wanted becomes zeros, which
cost nothing once they are compressed.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.carry.elf import sections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MAGIC = 0xBA55ED50
SECTIONS = (".nv_fatbin", "__nv_relfatbin")
PTX, SASS = 1, 2
# Set for sm_90a and sm_120a, not for sm_75 to sm_89: such code runs on exactly its own architecture.
EXACT_ONLY = 0x100000
ZSTD = 0x8000
ANY_COMPRESSION = 0xF000
CONTAINER_BYTES, IMAGE_BYTES = 16, 64
# What a left-out image says it is for, so that the driver reports that there is no code for its GPU, instead of
# trying to read zeros: compute capability 1.0, which no CUDA that reads these containers supports.
NOBODY = 10


@dataclass(frozen=True)
class Image:
    """The code of one source file for one architecture; offsets and sizes in bytes, within the library."""

    kind: int
    arch: int
    flags: int
    header_at: int
    payload_at: int
    payload_bytes: int
    compressed_bytes: int
    plain_bytes: int

    @property
    def title(self) -> str:
        """Such as ``sm_90``, or ``compute_90`` for PTX."""
        return f"{'sm' if self.kind == SASS else 'compute'}_{self.arch}"


@dataclass
class Slimmed:
    """What became of a library.

    Attributes:
        kept: images by title.
        left_out: images for a wanted architecture that were left out by their kernels.
        blanked_bytes: GPU code that is zeros now.
        there: titles of everything the library had.
        unserved: wanted architectures for which nothing at all was found.
    """

    kept: Counter[str] = field(default_factory=Counter)
    left_out: int = 0
    blanked_bytes: int = 0
    there: set[str] = field(default_factory=set)
    unserved: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        kept = ", ".join(f"{count} × {title}" for title, count in sorted(self.kept.items())) or "nothing"
        left_out = f", {self.left_out} left out by their kernels" if self.left_out else ""
        return f"GPU code kept: {kept}{left_out}; {self.blanked_bytes / 1e6:.1f} MB blanked"


def blank(
    library: bytearray, archs: Sequence[int], unwanted: Callable[[bytearray, Image], bool] | None = None
) -> Slimmed | None:
    """Zero, in place, every image that a GPU of these architectures would not use.

    Args:
        library: a whole shared library; its size and layout stay.
        archs: such as 90 for compute capability 9.0.
        unwanted: says whether an image for a wanted architecture may go nevertheless.

    Returns:
        None if the library has no GPU code, and is unchanged.

    Raises:
        ValueError: a container cannot be read.
    """
    parts = [section for section in sections(library) if section.name in SECTIONS and section.size_bytes]
    if not parts:
        return None
    done, served = Slimmed(), set[int]()
    for part in parts:
        for images in containers(library, part.offset_bytes, part.size_bytes):
            chosen = {arch: choose(images, arch) for arch in archs}
            served |= {arch for arch, found in chosen.items() if found}
            wanted = {image for found in chosen.values() for image in found}
            for image in images:
                done.there.add(image.title)
                out = image in wanted and unwanted is not None and unwanted(library, image)
                if image in wanted and not out:
                    done.kept[image.title] += 1
                    continue
                done.blanked_bytes += image.payload_bytes
                library[image.payload_at : image.payload_at + image.payload_bytes] = bytes(image.payload_bytes)
                if out:
                    done.left_out += 1
                    struct.pack_into("<I", library, image.header_at + 28, NOBODY)
    done.unserved = set(archs) - served
    return done


def containers(library: bytes | bytearray, offset_bytes: int, size_bytes: int) -> Iterator[list[Image]]:
    """The images of each container of a section.

    Raises:
        ValueError: sizes do not add up.
    """
    position, end = offset_bytes, offset_bytes + size_bytes
    while position + CONTAINER_BYTES <= end:
        magic, _, header_bytes, content_bytes = struct.unpack_from("<IHHQ", library, position)
        if magic != MAGIC:
            position += 8  # between containers there may be padding
            continue
        at, stop = position + header_bytes, position + header_bytes + content_bytes
        if stop > end:
            raise ValueError(f"GPU code at byte {position} is longer than its section")
        images = []
        while at < stop:
            image = _image(library, at, stop)
            images.append(image)
            at = image.payload_at + image.payload_bytes
        yield images
        position = (stop + 7) // 8 * 8


def choose(images: Sequence[Image], arch: int) -> list[Image]:
    """What a GPU of this architecture can use.

    Machine code for exactly it; else that for the nearest lower one of the same major version; else the PTX
    for the nearest lower architecture; else nothing.
    """
    exact = [image for image in images if image.kind == SASS and image.arch == arch]
    if exact:
        return exact
    usable = [image for image in images if image.arch == arch or (image.arch < arch and not image.flags & EXACT_ONLY)]
    close = [image for image in usable if image.kind == SASS and image.arch // 10 == arch // 10]
    close = close or [image for image in usable if image.kind == PTX]
    nearest = max((image.arch for image in close), default=None)
    return [image for image in close if image.arch == nearest]


def _image(library: bytes | bytearray, at: int, stop: int) -> Image:
    if at + IMAGE_BYTES > stop:
        raise ValueError(f"GPU code at byte {at} is shorter than its header")
    kind, _, header_bytes, payload_bytes, compressed_bytes = struct.unpack_from("<HHIQI", library, at)
    (arch,) = struct.unpack_from("<I", library, at + 28)
    (flags,) = struct.unpack_from("<I", library, at + 40)
    (plain_bytes,) = struct.unpack_from("<Q", library, at + 56)
    payload_at = at + header_bytes
    if header_bytes < IMAGE_BYTES or payload_at + payload_bytes > stop:
        raise ValueError(f"GPU code at byte {at} is longer than its container")
    return Image(kind, arch, flags, at, payload_at, payload_bytes, compressed_bytes, plain_bytes)
