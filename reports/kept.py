"""What a report's folder holds of us: a list of the files, so that those of a former report can be taken away.

Only what such a list names is ever deleted, and only inside of its folder.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LIST = ".rtfloor-report.json"


def clear(folder: Path, written: Iterable[Path], runs: Sequence[str], formats: Sequence[str]) -> list[Path]:
    """Take away files of the former report in a folder that are not of this one, and note those that are.

    A report of the same runs in other formats stays beside this one.

    Args:
        folder: of the report.
        written: files of this report.
        runs: what tells its runs from others.
        formats: endings that were asked for.

    Returns:
        What was deleted.

    Raises:
        OSError: the list cannot be written.
    """
    now = {path.relative_to(folder).as_posix() for path in written}
    then_runs, then = _read(folder)
    same = then_runs == list(runs)
    kept = {name for name in then if same and name not in now and PurePosixPath(name).suffix[1:] not in formats}
    gone = [path for name in sorted(then - now - kept) if (path := _inside(folder, name)) is not None]
    for path in gone:
        with suppress(OSError):
            path.unlink()
    for parent in {path.parent for path in gone} - {folder}:
        with suppress(OSError):
            parent.rmdir()  # where others put something there it stays
    entry = {"runs": list(runs), "files": sorted(now | kept)}
    (folder / LIST).write_text(json.dumps(entry, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return gone


def _read(folder: Path) -> tuple[list[str], set[str]]:
    """Runs and files of the former report; nothing where there is no list that can be read."""
    try:
        said = json.loads((folder / LIST).read_text("utf-8"))
        runs, files = said["runs"], said["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return [], set()
    if not isinstance(runs, list) or not isinstance(files, list):
        return [], set()
    return runs, {name for name in files if isinstance(name, str)}


def _inside(folder: Path, name: str) -> Path | None:
    """The file of that name where it is a plain file in the folder, or in one of its folders that is no link."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        return None
    path = folder.joinpath(*parts)
    on_the_way = [Path(folder, *parts[:depth]) for depth in range(1, len(parts) + 1)]
    return path if path.is_file() and not any(step.is_symlink() for step in on_the_way) else None
