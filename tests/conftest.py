"""What tests share: small models, and the command line as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
Cli = Callable[..., subprocess.CompletedProcess[str]]


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


def cells(result: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    """Cells of a ``--json`` answer by id, after checking that stdout is one document."""
    assert result.stdout, result.stderr
    return {cell["cell"]: cell for cell in json.loads(result.stdout)["cells"]}


def tiny_model(path: Path, *, batch: int | str = 1) -> Path:
    """A convolution and a ReLU over (batch, 2, 16) float32, saved to ``path``."""
    generator = np.random.default_rng(7)
    weight = generator.standard_normal((3, 2, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3], pads=[2, 0]),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3, 16])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(path))
    return path
