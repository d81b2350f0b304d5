"""What tests share: the command line's answers and small models."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.plan import Cell, ModelSpec, Plan
from bench.prepare import Preparer
from bench.spawn import spawn
from runtimes.options import resolve
from runtimes.registry import get

MEMORY = 600 << 20
ROOT = Path(__file__).resolve().parent.parent
Cli = Callable[..., subprocess.CompletedProcess[str]]


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


def fake_request(
    *, threads: int = 1, layout: str = "mono", process_s: float = 0.05, **options: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a worker is asked in order to measure the null model on the fake engine, and its environment."""
    values = resolve("fake", get("fake").options, {"seed": 1, **options})
    cell = Cell("null", "raw", "fake", layout, threads, values)
    preparer = Preparer(Plan("", "", "smoke", {"null": ModelSpec("null")}, (cell,)), spawn, lambda _: None)
    ready = preparer.ready(cell)
    assert not ready.status, ready.reason
    request = {
        "task": "measure",
        **preparer.request(cell),
        "cards": list(ready.cards),
        "oracle": ready.oracle,
        "oracle_origin": ready.oracle_origin,
        "process_s": process_s,
        "samples_least": 60,
        "samples_most": 200,
        "memory_limit_bytes": MEMORY,
    }
    return request, dict(ready.environment)


def git(folder: Path, *words: str) -> None:
    """Run git in a folder, as somebody."""
    names = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def third_party(folder: Path, name: str, source: str) -> dict[str, str]:
    """A package that registers the runtime ``name`` as the class of the same name, capitalised.

    Returns:
        The environment in which it is installed.
    """
    facts = folder / f"{name}-1.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(f"[rtfloor.runtimes]\n{name} = {name}:{name.capitalize()}\n")
    (folder / f"{name}.py").write_text(source)
    return {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
