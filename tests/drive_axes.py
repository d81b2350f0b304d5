"""Loads one model with many sets of options, in a process of its own, and tells what came of each.

Vendor libraries never meet in one process, and some settings are read once, so tests call :func:`drive`. Run as
``python tests/drive_axes.py RUNTIME MODEL`` with a JSON document on stdin: ``sets``, a list of options by name,
``sessions``, ``threads``, and ``plan`` for what tract made of the model. The last line on stdout has an answer for each
set, or for none the settings of the installed library.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtimes import registry
from runtimes.base import Request, Runtime, Tensor
from runtimes.options import resolve

ROOT = Path(__file__).resolve().parent.parent
Options = dict[str, Any]


def drive(runtime: str, model: Path | None, sets: list[Options], **asked: int) -> Any:
    """What a process of its own saw: one answer for each set, or the library's settings where there is no set."""
    result = subprocess.run(
        [sys.executable, __file__, runtime, str(model)],
        input=json.dumps({"sets": sets, **asked}),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


def convolutions(path: Path) -> Path:
    """Two convolutions over (1, 4, 12, 16) float32, 3 × 3 and pointwise, saved to ``path``."""
    generator = np.random.default_rng(7)
    weights = {"w": (8, 4, 3, 3), "p": (8, 8, 1, 1)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Conv", ["r", "p"], ["y"]),
        ],
        "convolutions",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 12, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 12, 16])],
        [
            numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    return path


def others(adapter: Runtime, *without: str) -> list[Options]:
    """Every value of every axis that is not the default, one at a time, beside what it needs."""
    return [
        {**dict(option.needs), option.name: value}
        for option in adapter.options
        if option.name not in without
        for value in option.values[1:]
    ]


def request(runtime: str, path: Path, given: Options, cache: Path, asked: dict[str, Any]) -> Request:
    """What the harness would ask."""
    graph = onnx.load(path).graph
    inputs, outputs = (
        tuple(
            Tensor(
                value.name,
                tuple(size.dim_value for size in value.type.tensor_type.shape.dim),
                str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
            )
            for value in values
        )
        for values in (graph.input, graph.output)
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    options = resolve(runtime, registry.get(runtime).options, given)
    counts = asked.get("threads", 1), asked.get("sessions", 1)
    return Request(path, digest, inputs, outputs, "fp32", *counts, options, cache)


def feeds(asked: Request, turn: int) -> dict[str, Any]:
    """Seeded inputs, other ones every turn."""
    generator = np.random.default_rng(turn)
    return {item.name: generator.standard_normal(item.shape).astype(item.dtype) for item in asked.inputs}


def _answered(runtime: str, asked: Request, *, plan: bool) -> dict[str, Any]:
    """What the sessions answer, whether the answers stay the caller's, and what the engine says of itself."""
    adapter = registry.get(runtime)
    adapter.build(asked)
    sessions = adapter.load(asked)
    first = [np.asarray(answer) for answer in sessions[0].run(feeds(asked, 0))]
    kept = [answer.copy() for answer in first]
    second = [np.asarray(answer) for answer in sessions[-1].run(feeds(asked, 1))]
    third = [np.asarray(answer) for answer in sessions[0].run(feeds(asked, 0))]
    facts = sessions[0].facts()
    seen = {
        "answers": [[answer.tolist() for answer in answers] for answers in (kept, second, third)],
        "owned": all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True)),
        "details": dict(facts.details),
        "precision": facts.precision,
        "told": TOLD[runtime](sessions[0], asked) if runtime != "tract" or plan else {},
    }
    for session in sessions:
        session.close()
    return seen


def _openvino_told(session: Any, asked: Request) -> dict[str, Any]:
    compiled = session._compiled
    told = {name: str(compiled.get_property(name)) for name in compiled.get_property("SUPPORTED_PROPERTIES")}
    kinds = [op.get_rt_info()["primitiveType"] for op in compiled.get_runtime_model().get_ops()]
    return {**told, "kinds": sorted(str(kind.astype(str)) if hasattr(kind, "astype") else str(kind) for kind in kinds)}


def _tract_told(session: Any, asked: Request) -> dict[str, Any]:
    from runtimes.tract_rt import _runnable

    plan, names = _runnable(asked)
    given = feeds(asked, 0)
    nodes = json.loads(plan.profile_json([given[name] for name in names]))["nodes"]
    return {"operators": [node["op_name"] for node in nodes]}


def _torch_told(session: Any, asked: Request) -> dict[str, Any]:
    import torch
    import torch._inductor.config as inductor

    return {
        "mkldnn": torch.backends.mkldnn.enabled,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "denormal": float(torch.tensor([1e-40]).mul(2.0)),
        "freezing": inductor.freezing,
        "cpp_wrapper": inductor.cpp_wrapper,
        "layout_optimization": inductor.layout_optimization,
        "conv_1x1_as_mm": inductor.conv_1x1_as_mm,
        "simdlen": inductor.cpp.simdlen,
    }


TOLD = {"openvino": _openvino_told, "tract": _tract_told, "torch": _torch_told}


def main() -> None:
    """Answer for every set."""
    runtime, path = sys.argv[1], Path(sys.argv[2])
    asked = json.load(sys.stdin)
    adapter = registry.get(runtime)
    if not asked["sets"]:
        adapter.start()
        print(json.dumps(adapter.settings_here()))  # noqa: T201  # it answers on stdout
        return
    found: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for number, given in enumerate(asked["sets"]):
            cache = Path(folder) / str(number)
            cache.mkdir()
            one = request(runtime, path, given, cache, asked)
            # As a worker's environment is made: before anything of the engine is imported.
            os.environ.update(adapter.environment(one))
            adapter.start()
            found.append(_answered(runtime, one, plan=bool(asked.get("plan"))))
    print(json.dumps(found))  # noqa: T201  # it answers on stdout


if __name__ == "__main__":
    main()
