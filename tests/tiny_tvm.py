"""What the tests of TVM share: a tiny model, a request for it, and what a pasted script answers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from support import ROOT, tiny_model

from runtimes.base import Request, Tensor
from runtimes.options import Value, resolve
from runtimes.tvm_axes import OPTIONS

if TYPE_CHECKING:
    from pathlib import Path


def ask(folder: Path, **options: Value) -> Request:
    model = tiny_model(folder / "tiny.onnx")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    inputs, outputs = (Tensor("x", (1, 2, 16), "float32"),), (Tensor("y", (1, 3, 16), "float32"),)
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    return Request(model, digest, inputs, outputs, "fp32", 1, 1, resolve("tvm", OPTIONS, options), cache)


def feeds() -> dict[str, Any]:
    return {"x": np.random.default_rng(3).standard_normal((1, 2, 16)).astype(np.float32)}


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
