"""Which kernels an image of GPU code holds, and which groups of them can be left behind."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from bench.carry.elf import sections
from bench.carry.fatbin import ANY_COMPRESSION, SASS, ZSTD, Image
from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Patterns of mangled names. A group holds what no model without a certain operator can reach, and says which.
GROUPS = {
    # ONNX Runtime's operators MoE and QMoE: language models with mixtures of experts.
    "experts": r"GroupProblemShape|MoeFCGemm|[Ff]used_[Mm]oe",
}


def left_out(groups: Sequence[str]) -> Callable[[bytearray, Image], bool] | None:
    """Says of an image whether every kernel in it belongs to one of the groups.

    An image with one other kernel stays, and so does one that cannot be read.

    Raises:
        UserError: there is no ``zstd`` to unpack images with.
    """
    if not groups:
        return None
    program = shutil.which("zstd")
    if program is None:
        raise UserError(
            "leaving kernels out needs the program zstd, to read their names; install it, or drop --without"
        )
    pattern = re.compile("|".join(GROUPS[group] for group in groups))

    def unwanted(library: bytearray, image: Image) -> bool:
        names = kernel_names(library, image, lambda packed: _plain(program, packed))
        return bool(names) and all(pattern.search(name) for name in names)

    return unwanted


def kernel_names(library: bytearray, image: Image, unzstd: Callable[[bytes], bytes]) -> list[str]:
    """Mangled names of an image's kernels; empty if it is PTX, or compressed in an unknown way.

    Args:
        library: the library that holds the image.
        image: where.
        unzstd: decompresses one frame.
    """
    if image.kind != SASS:
        return []
    if image.flags & ZSTD:
        plain = unzstd(bytes(library[image.payload_at : image.payload_at + image.compressed_bytes]))
    elif image.flags & ANY_COMPRESSION:
        return []
    else:
        plain = bytes(library[image.payload_at : image.payload_at + image.payload_bytes])
    try:
        found = sections(plain)
    except ValueError:
        return []
    return [section.name.removeprefix(".text.") for section in found if section.name.startswith(".text.")]


def _plain(program: str, packed: bytes) -> bytes:
    return subprocess.run([program, "-dcq"], input=packed, capture_output=True, check=False).stdout
