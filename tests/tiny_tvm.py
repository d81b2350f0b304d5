"""What the tests of TVM share: a tiny model, a request for it, and what a pasted script answers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support import ROOT

from runtimes.base import Request, Tensor
from runtimes.options import Value, resolve
from runtimes.tvm_axes import OPTIONS

if TYPE_CHECKING:
    from pathlib import Path


INPUT, OUTPUT = (1, 2, 8, 8), (1, 4, 8, 8)


def save(path: Path) -> Path:
    """A two-dimensional convolution and a ReLU: what layouts, vectors and fusing are about."""
    weight = np.random.default_rng(5).standard_normal((4, 2, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, INPUT)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, OUTPUT)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


def ask(folder: Path, **options: Value) -> Request:
    model = save(folder / "tiny.onnx")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    inputs, outputs = (Tensor("x", INPUT, "float32"),), (Tensor("y", OUTPUT, "float32"),)
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    return Request(model, digest, inputs, outputs, "fp32", 1, 1, resolve("tvm", OPTIONS, options), cache)


def feeds() -> dict[str, Any]:
    return {"x": np.random.default_rng(3).standard_normal(INPUT).astype(np.float32)}


def pasted(python: str, environment: Any, folder: Path) -> Any:
    """What the script answers in a process of its own, in its second session."""
    script = folder / "pasted.py"
    script.write_text(
        python
        + "\n\nimport json, sys\nimport numpy as np\n"
        + "feeds = {'x': np.asarray(json.loads(sys.stdin.read()), np.float32)}\n"
        + "print(json.dumps([answer(feeds, session=len(MACHINES) - 1)[0].tolist()]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        input=json.dumps(feeds()["x"].tolist()),
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.asarray(json.loads(done.stdout.splitlines()[-1])[0], np.float32)
