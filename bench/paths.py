"""Where rtfloor keeps things."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import UserError


def cache() -> Path:
    """Built models, right answers and compiled engines: can be deleted at any time between runs.

    ``RTFLOOR_CACHE``, or ``rtfloor`` below ``XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        UserError: it cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get("RTFLOOR_CACHE") or Path(base) / "rtfloor")
    make_writable(folder, "the cache folder", "RTFLOOR_CACHE")
    return folder


def make_writable(folder: Path, what: str, setting: str) -> None:
    """Make a folder and try it, before minutes are spent on what is to be kept there.

    Raises:
        UserError: it cannot be made or written; names the setting that chooses another.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{what} {folder} cannot be written: {error.strerror}; name another with {setting}") from None


def default_results() -> Path:
    """Where run files go when nobody says: ``results/runs`` below the current folder."""
    return Path("results") / "runs"


def new_run_path(folder: Path, suite: str) -> Path:
    """A name that sorts by time: ``20261121-101502-cpu.sqlite``."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    base = f"{stamp}-{Path(suite).stem}"
    path, number = folder / f"{base}.sqlite", 1
    while path.exists():
        number += 1
        path = folder / f"{base}-{number}.sqlite"
    return path


def find_run(text: str, folder: Path) -> Path:
    """The run that a user names: a path, a name in the results folder, or ``latest``.

    Raises:
        UserError: there is none; names those there are.
    """
    runs = list_runs(folder)
    if text == "latest":
        if not runs:
            raise UserError(f"there are no runs in {folder} yet; make one with 'rtfloor run cpu'")
        return runs[-1]
    for candidate in (Path(text), folder / text, folder / f"{text}.sqlite"):
        if candidate.is_file():
            return candidate
    known = ", ".join(run.stem for run in runs[-5:]) or "none"
    raise UserError(f"there is no run {text!r}; the newest in {folder} are: {known}; 'latest' names the newest")


def list_runs(folder: Path) -> list[Path]:
    """Run files in a folder, the oldest first."""
    return sorted(folder.glob("*.sqlite")) if folder.is_dir() else []
