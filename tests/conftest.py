"""Fixtures: a cache of the tests' own, and the command line as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support import ROOT, Cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the whole session: models are built and compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTFLOOR_CACHE", str(cache))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run ``rtfloor`` in an empty folder; results go below it."""

    def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings.pop("env", {})}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False, **settings
        )

    return run
