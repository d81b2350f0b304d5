"""Put packages together from the pieces that ``python -m bench.carry pack`` made.

    python3 unpack.py FOLDER_OR_PIECES... --into site

Needs nothing but Python 3.11 or newer. Pieces may come in several goes, and may be deleted once they were read: what is
not complete yet is kept in ``site/.carry``. Running it again changes nothing.
"""
# ruff: noqa: T201 -- it must run alone on a machine without click, so it answers with print

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import json
import lzma
import platform
import shutil
import sys
import tarfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FORMAT = 1
MANIFEST = "manifest.json"
STATE = ".carry"
CHUNK_BYTES = 1 << 20


class CarryError(Exception):
    """What was given cannot be used; the text is one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Put together what can be, and say what is lacking.

    Returns:
        0 if all that was given is in place, 2 if something was damaged or missing.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pieces", nargs="+", type=Path, help="pieces, or folders of pieces")
    parser.add_argument("--into", required=True, type=Path, help="folder that the packages go to")
    parser.add_argument("--manifest", type=Path, help=f"where it is not beside the pieces: {MANIFEST}")
    given = parser.parse_args(arguments)
    try:
        return run(given.pieces, given.into, given.manifest)
    except CarryError as error:
        print(f"unpack: {error}", file=sys.stderr)
    except OSError as error:
        print(f"unpack: {error.filename or given.into}: {error.strerror or error}", file=sys.stderr)
    return 2


def run(named: Sequence[Path], into: Path, manifest_path: Path | None = None) -> int:
    """One go: read pieces, unpack every package that is complete with them, keep the rest for later.

    Args:
        named: pieces and folders.
        into: where packages go.
        manifest_path: of the manifest, where it is not beside a piece, this script or what came before.

    Returns:
        As ``main``.

    Raises:
        CarryError: nothing can be done at all.
    """
    pieces = list(_files(named))
    state = into / STATE
    manifest = _manifest(manifest_path, [*(path.parent for path in pieces), Path(__file__).parent, state])
    for warning in warnings(manifest):
        print(f"warning: {warning}")
    state.mkdir(parents=True, exist_ok=True)
    _write(state / MANIFEST, json.dumps(manifest))
    done: dict[str, dict[str, str]] = _json(state / "done.json") if (state / "done.json").exists() else {}
    wanted = [one for one in manifest["archives"] if not _in_place(one, done, into)]
    refused, used = _read_pieces(pieces, manifest, wanted, state)
    for one in manifest["archives"]:
        title = f"{one['name']} {one['version']}"
        if one not in wanted:
            print(f"{title}: already in place")
            continue
        lacking = [part["piece"] for part in one["slices"] if not _kept(state, part).exists()]
        if lacking:
            print(f"{title}: still lacks {', '.join(lacking)}")
            continue
        _replace(one, done, into, state)
        print(f"{title}: complete, {one['unpacked_bytes'] / 1e6:.0f} MB")
        wanted = [other for other in wanted if other is not one]
    useful = {_kept(state, part) for one in wanted for part in one["slices"]}
    for path in set(state.glob("*.slice")) - useful:
        path.unlink()  # of pieces that were packed anew since
    for problem in refused:
        print(f"unpack: {problem}", file=sys.stderr)
    if done:
        print(f"next: export PYTHONPATH={into.resolve()}")
        print("check, in the project's folder: python3 -m bench doctor")
    if wanted and not used and not refused:
        names = sorted({part["piece"] for one in wanted for part in one["slices"] if not _kept(state, part).exists()})
        raise CarryError(f"nothing new was given; still lacking: {', '.join(names)}")
    return 2 if refused else 0


def warnings(manifest: dict[str, Any]) -> Iterator[str]:
    """What differs between this machine and the one that the pieces were made for."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if here != manifest["python"]:
        yield f"these packages are for Python {manifest['python']}, and this is {here}; use python{manifest['python']}"
    if not sys.platform.startswith("linux") or platform.machine() != manifest["machine"]:
        yield f"these packages are for Linux on {manifest['machine']}, and this is {sys.platform} {platform.machine()}"
    library, version = platform.libc_ver()
    needs = manifest["glibc"]
    if needs and library == "glibc" and [int(part) for part in version.split(".")[:2]] < needs:
        yield f"these packages need glibc {needs[0]}.{needs[1]}, and this is {version}"


def _files(named: Sequence[Path]) -> Iterator[Path]:
    for path in named:
        if path.is_dir():
            yield from sorted(one for one in path.glob("*.part[0-9][0-9]") if one.is_file())
        elif path.name in {MANIFEST, Path(__file__).name}:
            continue  # FOLDER/* names them too
        elif path.is_file():
            yield path
        else:
            raise CarryError(f"{path} is missing: there is no such file or folder")


def _manifest(path: Path | None, folders: Sequence[Path]) -> dict[str, Any]:
    places = [path] if path else [folder / MANIFEST for folder in folders]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise CarryError(f"there is no {MANIFEST} beside the pieces; name it with --manifest")
    manifest = _json(found)
    if manifest.get("format") != FORMAT:
        raise CarryError(f"{found} has format {manifest.get('format')!r}, and this script reads {FORMAT}: carry both")
    try:
        texts, counts = _facts(manifest)
        sound = all(isinstance(text, str) and safe(text) for text in texts)
        sound = sound and all(isinstance(count, int) and count >= 0 for count in counts)
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise CarryError(f"{found} is damaged: what it says of pieces and packages cannot be used; carry it again")
    return manifest


def _facts(manifest: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """All names and all numbers of a manifest that anything here relies on."""
    texts, counts = [manifest["python"], manifest["machine"]], [*(manifest["glibc"] or [])]
    for one in manifest["archives"]:
        texts += [one["name"], one["version"], one["sha256"], one["record"]]
        counts += [one["unpacked_bytes"]]
        for part in one["slices"]:
            texts += [part["piece"], part["sha256"]]
            counts += [part["offset_bytes"], part["size_bytes"]]
    for piece in manifest["pieces"]:
        texts += [piece["name"], piece["sha256"]]
        counts += [piece["size_bytes"]]
    return texts, counts


def _read_pieces(
    pieces: Sequence[Path], manifest: dict[str, Any], wanted: Sequence[dict[str, Any]], state: Path
) -> tuple[list[str], bool]:
    """Keep the slices that are wanted; returns what was refused and why, and whether anything was of use."""
    known = {one["name"]: one for one in manifest["pieces"]}
    refused, used = [], False
    for path in pieces:
        piece = known.get(path.name)
        if piece is None:
            refused.append(f"{path} does not belong to these pieces: {MANIFEST} does not name it")
            continue
        parts = [part for one in wanted for part in one["slices"] if part["piece"] == path.name]
        parts = [part for part in parts if not _kept(state, part).exists()]
        if not parts:
            continue
        size = path.stat().st_size
        if size != piece["size_bytes"]:
            refused.append(f"{path} is damaged: it has {size} bytes instead of {piece['size_bytes']}; copy it again")
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != piece["sha256"]:
                refused.append(f"{path} is damaged: its checksum is not the one in {MANIFEST}; copy it again")
                continue
            for part in parts:
                file.seek(part["offset_bytes"])
                _copy(file, _kept(state, part), part)
                used = True
    return refused, used


def _copy(source: BinaryIO, target: Path, part: dict[str, Any]) -> None:
    fresh, digest, left = target.with_suffix(".new"), hashlib.sha256(), part["size_bytes"]
    with fresh.open("wb") as file:
        while left and (data := source.read(min(left, CHUNK_BYTES))):
            digest.update(data)
            file.write(data)
            left -= len(data)
    if digest.hexdigest() != part["sha256"]:
        fresh.unlink()
        raise CarryError(f"{part['piece']} does not hold what {MANIFEST} says; carry both again")
    fresh.replace(target)


def _kept(state: Path, part: dict[str, Any]) -> Path:
    """Where a slice waits for the others, by what is in it."""
    return state / f"{part['sha256'][:32]}.slice"


def _replace(one: dict[str, Any], done: dict[str, dict[str, str]], into: Path, state: Path) -> None:
    """Unpack a complete package in place of what was there of it before."""
    joined = state / "joined.tar.xz"
    with joined.open("wb") as file:
        for part in one["slices"]:
            with _kept(state, part).open("rb") as source:
                shutil.copyfileobj(source, file, CHUNK_BYTES)
    with joined.open("rb") as file:
        whole = hashlib.file_digest(file, "sha256").hexdigest()
    if whole != one["sha256"]:
        for part in one["slices"]:
            _kept(state, part).unlink()
        joined.unlink()
        names = ", ".join(part["piece"] for part in one["slices"])
        raise CarryError(f"what was kept of {one['name']} is damaged and was deleted; give {names} again")
    before = done.pop(one["name"], None)
    _write(state / "done.json", json.dumps(done))
    if before:
        _remove(into, before["record"])
    _extract(joined, into)
    joined.unlink()
    wrong = damaged(into, one["record"])
    if wrong:
        raise CarryError(f"{into / wrong} is not what was packed: is the disk full, or something else writing there?")
    done[one["name"]] = {"version": one["version"], "sha256": one["sha256"], "record": one["record"]}
    _write(state / "done.json", json.dumps(done))
    for part in one["slices"]:
        _kept(state, part).unlink(missing_ok=True)


def _in_place(one: dict[str, Any], done: dict[str, dict[str, str]], into: Path) -> bool:
    known = done.get(one["name"])
    return known is not None and known["sha256"] == one["sha256"] and damaged(into, one["record"]) is None


def _extract(archive: Path, into: Path) -> None:
    """Unpack plain files into the folder, and nothing anywhere else.

    Raises:
        CarryError: the archive cannot be read, or holds something else; what was unpacked so far stays.
    """
    root = into.resolve()
    try:
        with lzma.open(archive) as xz, tarfile.open(fileobj=xz, mode="r|") as tar:
            for member in tar:
                target = root / member.name
                # A link that lies in the folder already must not lead out of it either.
                if not member.isreg() or not safe(member.name) or not target.parent.resolve().is_relative_to(root):
                    raise CarryError(f"the archive holds {member.name!r}, which is no plain file inside the folder")
                data = tar.extractfile(member)
                if data is None:
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                fresh = target.with_name(f"{target.name}.new")
                with fresh.open("wb") as file:
                    shutil.copyfileobj(data, file, CHUNK_BYTES)
                fresh.chmod(0o755 if member.mode & 0o100 else 0o644)
                fresh.replace(target)
    except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise CarryError(f"the archive cannot be unpacked ({error}); pack it again") from None


def damaged(into: Path, record: str) -> str | None:
    """The first file of a package that is not as its RECORD says; None if all are."""
    if not (into / record).is_file():
        return record
    for name, digest, _ in _rows(into, record):
        if not digest:
            continue
        try:
            with (into / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").digest()
        except OSError:
            return name
        if base64.urlsafe_b64encode(found).decode().rstrip("=") != digest.removeprefix("sha256="):
            return name
    return None


def _remove(into: Path, record: str) -> None:
    """Delete a package that is about to be replaced by another version, and the folders that this leaves empty."""
    if not (into / record).is_file():
        return
    names = [name for name, _, _ in _rows(into, record) if safe(name)]
    for name in {*names, record}:
        (into / name).unlink(missing_ok=True)
    # The deepest first. An empty dist-info would be a package without a name.
    folders = {folder for name in (*names, record) for folder in Path(name).parents if folder.name}
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        # One that holds something else, or never was there, is none of ours.
        with suppress(OSError):
            (into / folder).rmdir()


def _rows(into: Path, record: str) -> Iterator[tuple[str, str, str]]:
    with (into / record).open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if len(row) == 3:
                yield row[0], row[1], row[2]


def safe(name: str) -> bool:
    """Whether a path stays below the folder it is seen from."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise CarryError(f"{path} is damaged: {error}; carry it again") from None
    if not isinstance(found, dict):
        raise CarryError(f"{path} is damaged: it holds no table; carry it again")
    return found


def _write(path: Path, text: str) -> None:
    """Write so that an interruption leaves the old file or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  # it runs without being installed, so nothing else checked
        sys.exit(f"unpack: needs Python 3.11 or newer, and this is {platform.python_version()}")
    sys.exit(main())
