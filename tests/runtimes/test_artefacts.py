"""Compiled artefacts in a cache: whole or absent, and never taken for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runtimes.artefacts import intact, keep, key_digest, seal_file, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_a_kept_artefact_is_intact_until_somebody_touches_it(tmp_path: Path) -> None:
    path = tmp_path / "a.engine"
    assert not intact(path)
    keep(path, memoryview(b"engine"))
    assert intact(path)
    path.write_bytes(b"engine and more")
    assert not intact(path)
    keep(path, b"engine")
    seal_file(path).write_bytes(b"\xff\xfe")
    assert not intact(path)
    path.unlink()
    assert not intact(path)


def test_nothing_half_written_bears_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise a killed process would leave a file that every later one reads.
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_order_of_a_key_does_not_matter_and_its_values_do() -> None:
    assert key_digest({"a": 1, "b": [2]}) == key_digest({"b": [2], "a": 1})
    assert key_digest({"a": 1}) != key_digest({"a": 1.5}) != key_digest({"a": "1"})
    assert len(key_digest({})) == 20
