"""The workflow that others call: its shell, run as it stands, against a repository with a model."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support import ROOT, git, tiny_model

if TYPE_CHECKING:
    from pathlib import Path

yaml = pytest.importorskip("yaml")
WORKFLOW = ROOT / ".github" / "workflows" / "gate.yml"


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["gate"]["steps"]
    return found


def test_inputs_reach_the_shell_as_variables_and_not_as_text() -> None:
    # A model's name with a quote in it must not become a command.
    assert not [step for step in steps() if "${{" in step.get("run", "")]


def test_every_input_that_is_used_is_declared_and_told_on_the_page() -> None:
    text = WORKFLOW.read_text("utf-8")
    declared = set(yaml.safe_load(text)[True]["workflow_call"]["inputs"])
    used = {part.split("}")[0].strip() for part in text.split("inputs.")[1:]}
    assert used == declared
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    assert {"model", "flags", "rtfloor", "inconclusive"} <= {name for name in declared if name in page}


def test_its_shell_gates_a_committed_model(tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps() if step.get("name") == "Gate"]

    git(tmp_path, "init", "-q", ".")
    tiny_model(tmp_path / "net.onnx")
    git(tmp_path, "add", "net.onnx")
    git(tmp_path, "commit", "-qm", "first")
    git(tmp_path, "commit", "-qm", "second", "--allow-empty")
    command = tmp_path / "bin" / "rtfloor"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bench "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    environment = {
        **os.environ,
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MODEL": "net.onnx",
        "AGAINST": "",
        "BASE": "HEAD~1",
        "FLAGS": "--runtime ort-cpu --threads 1 --profile smoke --min-effect 60% --pairs 12",
        "INCONCLUSIVE": "warn",
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "gate.xml").exists()
    assert "nothing differs but chance" in done.stdout
