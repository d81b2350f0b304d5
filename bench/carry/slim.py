"""A wheel's files as they are installed, without what a GPU machine cannot use."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.carry import elf, fatbin
from bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.carry.wheels import Wheel

# Beginnings of paths that nothing which runs a model reads, by package.
NOT_CARRIED: dict[str, tuple[str, ...]] = {
    "onnxruntime-gpu": (
        "onnxruntime/transformers/models/",  # scripts that convert and benchmark named models
        "onnxruntime/capi/libonnxruntime.so",  # for C programs: the Python binding has all of it inside
    ),
    "apache-tvm": (
        "tvm/3rdparty/cutlass/",  # headers for nvcc, used only by partition_for_cutlass
        "tvm/web/",  # the JavaScript runtime
    ),
    "apache-tvm-ffi": ("tvm_ffi/3rdparty/libbacktrace/",),  # sources; its code is inside libtvm_ffi.so
}
LICENCES = ("licen", "notice", "copying", "thirdparty", "authors")


@dataclass
class Contents:
    """What is left of a wheel.

    Attributes:
        files: their contents by the path they are installed at, small ones first.
        executable: those paths that are libraries or programs.
        notes: what was done, in sentences.
    """

    wheel: Wheel
    files: dict[str, bytes] = field(default_factory=dict)
    executable: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(map(len, self.files.values()))


def slim(
    wheel: Wheel, archs: Sequence[int], unwanted: Callable[[bytearray, fatbin.Image], bool] | None = None
) -> Contents:
    """Read a wheel and leave out what is of no use.

    Args:
        wheel: to read.
        archs: GPU architectures whose code stays, such as 90.
        unwanted: of the code that would stay, says what may go.

    Raises:
        UserError: the wheel cannot be read, or has GPU code but none for one of the architectures.
    """
    contents = Contents(wheel)
    dropped_bytes, record = 0, ""
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            for member in sorted(archive.infolist(), key=lambda one: (one.file_size, one.filename)):
                path = _installed_at(member.filename)
                if member.is_dir() or path is None:
                    continue
                if path.endswith(".dist-info/RECORD"):
                    record = path
                elif path.startswith(NOT_CARRIED.get(wheel.name, ())) and not _licence(path):
                    dropped_bytes += member.file_size
                else:
                    contents.files[path] = _without_foreign_code(archive.read(member), path, contents, archs, unwanted)
                    if ".so" in path.rsplit("/", 1)[-1] or member.external_attr >> 16 & 0o111:
                        contents.executable.add(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel.path} cannot be read: {error}") from None
    if not record:
        raise UserError(f"{wheel.path} has no RECORD, so it is no wheel that pip would install")
    if dropped_bytes:
        contents.notes.append(f"{dropped_bytes / 1e6:.1f} MB of files left out")
    contents.files = {record: _record(contents.files, record), **contents.files}
    return contents


def _without_foreign_code(
    data: bytes,
    path: str,
    contents: Contents,
    archs: Sequence[int],
    unwanted: Callable[[bytearray, fatbin.Image], bool] | None,
) -> bytes:
    if not data.startswith(elf.MAGIC):
        return data
    library = bytearray(data)
    try:
        done = fatbin.blank(library, archs, unwanted)
    except ValueError as error:
        raise UserError(f"{path} in {contents.wheel.path.name} cannot be read: {error}") from None
    if done is None:
        return data
    if done.unserved:
        wanted = ", ".join(f"sm_{arch}" for arch in sorted(done.unserved))
        raise UserError(
            f"{path} in {contents.wheel.path.name} has no code that runs on {wanted}; "
            f"it has {', '.join(sorted(done.there, key=_by_number))}: choose with --arch"
        )
    contents.notes.append(f"{path.rsplit('/', 1)[-1]}: {done}")
    return bytes(library)


def _by_number(title: str) -> tuple[str, int]:
    name, _, number = title.partition("_")
    return name, int(number)


def _installed_at(member: str) -> str | None:
    """Where pip would put a file, seen from site-packages; None for scripts, headers and signatures."""
    if member.endswith((".dist-info/RECORD.jws", ".dist-info/RECORD.p7s")):
        return None  # they sign a list that is no longer true
    top, _, rest = member.partition("/")
    if not top.endswith(".data"):
        return member
    scheme, _, path = rest.partition("/")
    return path if scheme in {"purelib", "platlib"} else None


def _licence(path: str) -> bool:
    return path.rsplit("/", 1)[-1].lower().startswith(LICENCES)


def _record(files: dict[str, bytes], record: str) -> bytes:
    """The list of files with their checksums, as installers write it: the other machine checks against it."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows(_record_rows(files))
    lines.writerow([record, "", ""])
    return text.getvalue().encode()


def _record_rows(files: dict[str, bytes]) -> Iterator[list[str]]:
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        yield [path, f"sha256={digest}", str(len(data))]
