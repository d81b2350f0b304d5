"""Archives spread over pieces of at most so many bytes: as few pieces as that takes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.carry.archive import Archive

STEM = "rtfloor-gpu.part"
# Two digits in every name, so that names sort as numbers do.
MOST_PIECES = 99


@dataclass(frozen=True)
class Slice:
    """Part of an archive: which, from where and how much, in bytes."""

    archive: int
    start_bytes: int
    size_bytes: int


def plan(sizes_bytes: Sequence[int], piece_bytes: int) -> list[list[Slice]]:
    """Which slices go into which piece.

    An archive that fits into a piece is never cut. One that does not fills whole pieces, and what is left of it
    shares a piece with others. Pieces with whole archives come first: they are of use on their own.

    Args:
        sizes_bytes: of the archives.
        piece_bytes: what a piece may have at most.

    Raises:
        UserError: there would be too many pieces.
    """
    full: list[list[Slice]] = []
    rests: list[Slice] = []
    if sum(sizes_bytes) > piece_bytes * MOST_PIECES:
        least = sum(sizes_bytes) / MOST_PIECES / 2**20
        raise UserError(f"that would be more than {MOST_PIECES} pieces; --piece-mib must be over {least:.1f} here")
    for archive, size in enumerate(sizes_bytes):
        cut = size // piece_bytes * piece_bytes
        full += [[Slice(archive, start, piece_bytes)] for start in range(0, cut, piece_bytes)]
        if size > cut:
            rests.append(Slice(archive, cut, size - cut))
    shared: list[list[Slice]] = []
    for rest in sorted(rests, key=lambda one: -one.size_bytes):
        roomy = (bin_ for bin_ in shared if sum(one.size_bytes for one in bin_) + rest.size_bytes <= piece_bytes)
        chosen = next(roomy, None)
        if chosen is None:
            shared.append(chosen := [])
        chosen.append(rest)
    pieces = shared + full
    pieces.sort(key=lambda piece: -sum(one.size_bytes == sizes_bytes[one.archive] for one in piece))
    if len(pieces) > MOST_PIECES:
        raise UserError(f"that would be {len(pieces)} pieces and at most {MOST_PIECES} can be; raise --piece-mib")
    return pieces


def write(archives: Sequence[Archive], piece_bytes: int, folder: Path) -> dict[str, Any]:
    """Write the pieces, and return what the manifest says of archives and pieces.

    Raises:
        UserError: there would be too many pieces.
    """
    pieces: list[dict[str, Any]] = []
    slices: list[list[dict[str, Any]]] = [[] for _ in archives]
    planned = plan([archive.size_bytes for archive in archives], piece_bytes)
    for stale in folder.glob(f"{STEM}[0-9][0-9]"):
        stale.unlink()
    for number, content in enumerate(planned, 1):
        name, whole, offset = f"{STEM}{number:02}", hashlib.sha256(), 0
        with (folder / name).open("wb") as file:
            for one in content:
                with archives[one.archive].path.open("rb") as source:
                    source.seek(one.start_bytes)
                    data = source.read(one.size_bytes)
                file.write(data)
                whole.update(data)
                slices[one.archive].append(
                    {
                        "piece": name,
                        "offset_bytes": offset,
                        "start_bytes": one.start_bytes,
                        "size_bytes": one.size_bytes,
                        "sha256": hashlib.sha256(data).hexdigest(),
                    }
                )
                offset += one.size_bytes
        pieces.append({"name": name, "size_bytes": offset, "sha256": whole.hexdigest()})
    described = [
        {
            "name": archive.name,
            "version": archive.version,
            "size_bytes": archive.size_bytes,
            "unpacked_bytes": archive.unpacked_bytes,
            "sha256": archive.sha256,
            "record": archive.record,
            "slices": sorted(parts, key=lambda part: part["start_bytes"]),
        }
        for archive, parts in zip(archives, slices, strict=True)
    ]
    return {"archives": described, "pieces": pieces}
