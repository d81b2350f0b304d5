"""Drives one adapter through the whole contract in a process of its own and prints what it saw.

One process per adapter: vendor libraries must never meet. Run as
``python tests/contract/drive.py ADAPTER FOLDER``; the last line on stdout is a JSON document.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from runtimes import registry
from runtimes.base import Request, Runtime, Session, Tensor
from runtimes.errors import EngineError, UnsupportedError
from runtimes.options import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[Any]
DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


class Case:
    """One tiny model with two sets of inputs."""

    def __init__(
        self, name: str, nodes: list[Any], inputs: dict[str, Array], outputs: dict[str, Any], weights: Any = ()
    ) -> None:
        self.name, self.inputs = name, inputs
        self.outputs = {key: Tensor(key, tuple(shape), dtype) for key, (shape, dtype) in outputs.items()}
        graph = helper.make_graph(
            nodes,
            name,
            [helper.make_tensor_value_info(k, DTYPES[str(v.dtype)], v.shape) for k, v in inputs.items()],
            [helper.make_tensor_value_info(k, DTYPES[t.dtype], t.shape) for k, t in self.outputs.items()],
            [numpy_helper.from_array(value, key) for key, value in dict(weights).items()],
        )
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        onnx.checker.check_model(self.model, full_check=True)

    def signature(self) -> tuple[Tensor, ...]:
        """Its inputs."""
        return tuple(Tensor(k, v.shape, str(v.dtype)) for k, v in self.inputs.items())

    def feeds(self, turn: int) -> dict[str, Array]:
        """Inputs of one turn: floats scaled, integers and booleans as they are."""
        return {k: (v * (turn + 1)).astype(v.dtype) if v.dtype.kind == "f" else v for k, v in self.inputs.items()}

    def right(self, turn: int) -> list[Array]:
        """What the reference evaluator answers."""
        return list(ReferenceEvaluator(self.model).run(list(self.outputs), self.feeds(turn)))


def cases() -> list[Case]:
    """What every engine of audio models should be able to compute."""
    g = np.random.default_rng(3)

    def f(*shape: int) -> Array:
        return g.standard_normal(shape).astype(np.float32)

    node = helper.make_node
    ln = [node("LayerNormalization", ["x", "s", "b"], ["y"], axis=-1, epsilon=1e-5)]
    return [
        Case("identity", [node("Identity", ["x"], ["y"])], {"x": f(1, 8)}, {"y": ((1, 8), "float32")}),
        Case(
            "conv",
            [
                node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 2], pads=[1, 1, 1, 0]),
                node("Relu", ["c"], ["y"]),
            ],
            {"x": f(1, 4, 9, 6)},
            {"y": ((1, 8, 9, 6), "float32")},
            {"w": f(8, 4, 3, 2), "b": f(8)},
        ),
        Case(
            "depthwise",
            [node("Conv", ["x", "w"], ["y"], group=4, kernel_shape=[3, 2], pads=[1, 1, 1, 0])],
            {"x": f(1, 4, 9, 6)},
            {"y": ((1, 4, 9, 6), "float32")},
            {"w": f(4, 1, 3, 2)},
        ),
        Case("norm", ln, {"x": f(1, 6, 16)}, {"y": ((1, 6, 16), "float32")}, {"s": f(16), "b": f(16)}),
        Case(
            "several",
            # The inputs are not in alphabetical order, and the outputs not in the order of the nodes.
            [node("Add", ["z", "a"], ["sum"]), node("Sub", ["z", "a"], ["difference"])],
            {"z": f(2, 5), "a": f(2, 5)},
            {"difference": ((2, 5), "float32"), "sum": ((2, 5), "float32")},
        ),
        Case(
            "integers",
            [node("Gather", ["table", "i"], ["y"], axis=0)],
            {"i": np.array([3, 0, 2], np.int64)},
            {"y": ((3, 4), "float32")},
            {"table": f(5, 4)},
        ),
        Case(
            "boolean",
            [node("Where", ["m", "x", "zero"], ["y"])],
            {"m": np.array([[True, False, True]]), "x": f(1, 3)},
            {"y": ((1, 3), "float32")},
            {"zero": np.zeros((1, 3), np.float32)},
        ),
        Case(
            "gru",
            [node("GRU", ["x", "w", "r", "", "", "h"], ["", "hn"], hidden_size=6, linear_before_reset=1)],
            {"x": f(1, 1, 4), "h": f(1, 1, 6)},
            {"hn": ((1, 1, 6), "float32")},
            {"w": f(1, 18, 4), "r": f(1, 18, 6)},
        ),
        # Its state is not an input, so it must begin anew with every call.
        Case(
            "lstm",
            [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=6)],
            {"x": f(5, 1, 4)},
            {"y": ((5, 1, 1, 6), "float32")},
            {"w": f(1, 24, 4), "r": f(1, 24, 6)},
        ),
    ]


class Driver:
    """One adapter, started once.

    Args:
        name: of the adapter; options that are not at their defaults follow, such as ``ort-cuda cuda_graph=true``.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, *given = name.split()
        self.folder = folder
        self.adapter: Runtime = registry.get(self.name)
        changed: dict[str, object] = dict(text.split("=", 1) for text in given)
        if self.name == "fake":
            changed["latency_us"] = 20.0
        self.options = resolve(self.name, self.adapter.options, changed)

    def write(self, case: Case) -> Path:
        """Write the case's model."""
        path = self.folder / f"{case.name}.onnx"
        onnx.save(case.model, str(path))
        return path

    def load(self, case: Case, sessions: int = 1) -> list[Session]:
        """Write the case's model and load it."""
        path = self.write(case)
        return self.adapter.load(self.request(path, case.signature(), tuple(case.outputs.values()), sessions))

    def request(self, path: Path, inputs: Any, outputs: Any, sessions: int = 1) -> Request:
        """A request for one thread per session."""
        cache = self.folder / "cache"
        cache.mkdir(exist_ok=True)
        return Request(path, path.stem, inputs, outputs, "fp32", 1, sessions, self.options, cache)


def answers(driver: Driver, case: Case) -> dict[str, Any]:
    """Right answers, in order, in the right types, and the caller's own."""
    session = driver.load(case)[0]
    first = [np.asarray(output) for output in session.run(case.feeds(0))]
    kept = [output.copy() for output in first]
    second = [np.asarray(output) for output in session.run(case.feeds(1))]
    third = [np.asarray(output) for output in session.run(case.feeds(0))]
    facts = session.facts()
    session.close()
    return {
        "types": [str(output.dtype) for output in first] == [str(output.dtype) for output in case.right(0)],
        "shapes": [output.shape for output in first] == [output.shape for output in case.right(0)],
        "error": max(_error(first, case.right(0)), _error(second, case.right(1)), _error(third, case.right(0))),
        "owned": all(np.array_equal(a, b) for a, b in zip(kept, first, strict=True)),
        "precision": facts.precision,
        "details_are_json": bool(json.dumps(dict(facts.details))) or True,
    }


def together(driver: Driver, case: Case) -> dict[str, Any]:
    """Two sessions answer different inputs from two threads at once, each rightly."""
    try:
        sessions = driver.load(case, sessions=2)
    except UnsupportedError as error:
        return {"unsupported": str(error)}
    errors: list[float] = []
    failures: list[str] = []

    def call(session: Session, turn: int) -> None:
        try:
            errors.extend(
                _error([np.asarray(o) for o in session.run(case.feeds(turn))], right[turn]) for _ in range(30)
            )
        except EngineError as error:
            failures.append(str(error))

    right = [case.right(0), case.right(1)]
    threads = [threading.Thread(target=call, args=(session, turn)) for turn, session in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for session in sessions:
        session.close()
    return {"sessions": len(sessions), "calls": len(errors), "error": max(errors, default=None), "failures": failures}


def profiled(driver: Driver) -> dict[str, Any]:
    """What the adapter's profiler says of a model whose nodes have no names."""
    # Large enough for profilers that count whole microseconds.
    generator = np.random.default_rng(5)
    x, w = (generator.standard_normal(shape).astype(np.float32) for shape in ((1, 16, 64, 64), (32, 16, 3, 3)))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    case = Case("profiled", nodes, {"x": x}, {"y": ((1, 32, 64, 64), "float32")}, {"w": w})
    path = driver.write(case)
    request = driver.request(path, case.signature(), tuple(case.outputs.values()))
    try:
        found = driver.adapter.profile(request, [case.feeds(0), case.feeds(1)], 20, time.perf_counter_ns)
    except UnsupportedError as error:
        return {"unsupported": str(error)}
    return {
        "calls": found.calls,
        "call_ns": found.call_ns,
        "nodes": [[node.name, node.operator, node.ns, node.count, list(node.originals)] for node in found.nodes],
        "notes": list(found.notes),
    }


def refusals(driver: Driver) -> dict[str, str]:
    """What comes of a model that no engine can load."""
    broken = driver.folder / "broken.onnx"
    broken.write_bytes(b"\x08\x08not a graph")
    signature = (Tensor("x", (1, 2), "float32"),), (Tensor("y", (1, 2), "float32"),)
    strange = driver.folder / "strange.onnx"
    graph = helper.make_graph(
        [helper.make_node("Nonsense", ["x"], ["y"], domain="nobody.knows")],
        "strange",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("nobody.knows", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(strange))
    found = {}
    for path in (broken, strange):
        found[path.stem] = _refusal(lambda path=path: driver.adapter.load(driver.request(path, *signature)))  # type: ignore[misc]
    return found


def _refusal(load: Callable[[], list[Session]]) -> str:
    try:
        session = load()[0]
        session.run({"x": np.zeros((1, 2), np.float32)})
    except EngineError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # the finding: a foreign exception leaked
        return f"LEAKED {type(error).__name__}: {error}"
    return "LOADED"


def _error(got: list[Array], right: list[Array]) -> float:
    return max(float(np.max(np.abs(a.astype(np.float64) - b))) for a, b in zip(got, right, strict=True))


def main() -> None:
    """Run every part; a part that raises is reported as text."""
    driver = Driver(sys.argv[1], Path(sys.argv[2]))
    probe = driver.adapter.probe()
    if not probe.available:
        print(json.dumps({"unavailable": probe.reason}))
        return
    # As a worker's environment is made: before anything of the engine is imported.
    case = cases()[0]
    request = driver.request(driver.write(case), case.signature(), tuple(case.outputs.values()))
    os.environ.update(driver.adapter.environment(request))
    driver.adapter.start()
    seen: dict[str, Any] = {"version": probe.version, "cases": {}}
    for case in cases():
        # The last of these lines tells what an engine died of.
        print(f"case {case.name}", file=sys.stderr, flush=True)
        try:
            seen["cases"][case.name] = answers(driver, case)
        except UnsupportedError as error:
            seen["cases"][case.name] = {"unsupported": str(error)}
        except Exception as error:
            seen["cases"][case.name] = {"raised": f"{type(error).__name__}: {error}"}
    print("two sessions side by side", file=sys.stderr, flush=True)
    seen["together"] = together(driver, cases()[1])
    seen["refusals"] = refusals(driver)
    seen["profile"] = profiled(driver)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
