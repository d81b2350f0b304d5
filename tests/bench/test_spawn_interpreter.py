"""A worker of a named version differs from any other in its interpreter alone.

What a user would lose: a difference between two versions that is one between two ways of starting a process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.spawn import ROOT, spawn


def wrapper(path: Path) -> str:
    """Python behind a script that notes how it was called."""
    path.write_text(
        f'#!/bin/sh\n(env; echo "$1 $2 $3") | grep -v "^_=" | sort > {path}.told\nexec {sys.executable} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def test_the_interpreter_is_the_only_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/mine")
    ours, theirs = wrapper(tmp_path / "ours"), wrapper(tmp_path / "theirs")
    request = {"task": "steady", "repeats": 1}
    monkeypatch.setattr(sys, "executable", ours)
    added = {"TVM_NUM_THREADS": "1"}
    plain = spawn(request, added, 60)
    other = spawn({**request, "python": theirs, "root": str(ROOT)}, added, 60)
    assert (plain.status, other.status) == ("ok", "ok"), (plain, other)
    told = [Path(f"{path}.told").read_text() for path in (ours, theirs)]
    assert told[0] == told[1]
    assert "-P -m bench.worker" in told[0]
    assert f"PYTHONPATH={ROOT}:/of/mine" in told[0]


def test_rtfloor_is_taken_from_where_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    (tmp_path / "bench").symlink_to(ROOT / "bench")
    python = wrapper(tmp_path / "python")
    found = spawn({"task": "steady", "repeats": 1, "python": python, "root": str(tmp_path)}, {}, 60)
    assert found.status == "ok", found
    assert f"PYTHONPATH={tmp_path}\n" in Path(f"{python}.told").read_text()


def test_an_interpreter_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        spawn({"task": "steady", "repeats": 1, "python": str(tmp_path / "gone")}, {}, 60)
