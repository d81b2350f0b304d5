"""Every adapter that can load here, over the same tiny models.

What a user would lose: an engine that swaps outputs, hands out buffers it later overwrites,
computes in less than it says, or answers one channel with the other's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from runtimes import registry
from runtimes.options import resolve

ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("drive.py")
# What an engine says it cannot do, stated here so that losing one more of these is noticed.
KNOWN_GAPS: dict[str, set[str]] = {"tvm": {"gru", "lstm"}, "tvm-cuda": {"gru", "lstm"}}
# Those whose profilers do not tell what their kernels stand for, and those that have none.
SILENT = {"tvm"}
NO_PROFILER = {"ort-cuda", "ort-tensorrt", "tensorrt", "torch-cuda", "tvm-cuda"}
# Those that refuse to have two sessions, with a reason.
ALONE = {"tvm-cuda"}
# Ways of running that are engines of their own as far as this contract goes.
VARIANTS = ("ort-cuda cuda_graph=true", "torch-cuda cuda_graph=true", "tvm-cuda cuda_graph=true")
VENDORS = ("onnxruntime", "openvino", "tract", "tvm", "torch", "tensorrt", "numpy", "onnx")
CASES = ("identity", "conv", "depthwise", "norm", "several", "integers", "boolean", "gru", "lstm")


@cache
def seen(name: str) -> dict[str, Any]:
    """What the driver saw of one adapter."""
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TVM_NUM_THREADS": "1", "TVM_BIND_THREADS": "0"}
        result = subprocess.run(
            [sys.executable, str(DRIVER), name, folder],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert result.returncode == 0, f"{name} died with {result.returncode}: {result.stderr[-2000:]}"
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def _runtime(name: str) -> str:
    return name.partition(" ")[0]


@pytest.fixture(params=[*registry.names(), *VARIANTS])
def name(request: pytest.FixtureRequest) -> str:
    adapter = str(request.param)
    probe = registry.get(_runtime(adapter)).probe()
    if not probe.available:
        pytest.skip(probe.reason)
    return adapter


@pytest.mark.parametrize("case", CASES)
def test_answers_are_right_in_order_and_the_callers_own(name: str, case: str) -> None:
    found = seen(name)["cases"][case]
    if case in KNOWN_GAPS.get(_runtime(name), set()):
        assert "unsupported" in found or "raised" in found, f"{name} can do {case} now: take it off the list of gaps"
        pytest.skip(str(found))
    assert "raised" not in found, found
    assert "unsupported" not in found, found
    assert found["types"]
    assert found["shapes"]
    assert found["error"] < 1e-4
    assert found["owned"]


def test_what_ran_is_what_was_asked_for(name: str) -> None:
    precisions = {found["precision"] for found in seen(name)["cases"].values() if "precision" in found}
    assert precisions == {"fp32"}


def test_two_sessions_answer_side_by_side(name: str) -> None:
    found = seen(name)["together"]
    if _runtime(name) in ALONE:
        assert "at once" in found["unsupported"], found
        return
    assert found["failures"] == []
    assert found["sessions"] == 2
    assert found["calls"] == 60
    assert found["error"] < 1e-4


def test_what_a_profiler_says_of_nodes_can_be_relied_on(name: str) -> None:
    # Otherwise shares would add up to more than a call, or a node would be blamed for another's time.
    found = seen(name)["profile"]
    assert ("unsupported" in found) == (_runtime(name) in NO_PROFILER), found
    if _runtime(name) in NO_PROFILER:
        pytest.skip(found["unsupported"])
    assert found["calls"] >= 10
    assert found["nodes"]
    assert all(ns >= 0 and count > 0 and name and operator for name, operator, ns, count, _ in found["nodes"])
    # Counting a node twice would about double the sum; readings in whole microseconds may exceed it a little.
    assert 0 < sum(node[2] for node in found["nodes"]) < 1.5 * found["call_ns"]
    assert found["notes"]
    # The nodes have no names of their own: the first output of each stands for it.
    claimed = {original for node in found["nodes"] for original in node[4]}
    assert claimed == (set() if name in SILENT else {"c", "y"})


@pytest.mark.parametrize("model", ["broken", "strange"])
def test_a_model_that_cannot_be_loaded_is_an_engine_error(name: str, model: str) -> None:
    found = seen(name)["refusals"][model]
    assert not found.startswith(("LEAKED", "LOADED")), found


@pytest.mark.parametrize("adapter", registry.names())
def test_naming_an_adapter_imports_no_library(adapter: str) -> None:
    # 'rtfloor list' and '--help' must answer at once, whatever is installed.
    code = (
        f"import sys; from runtimes import registry; a = registry.get({adapter!r}); a.probe(); a.options; "
        f"print([v for v in {VENDORS!r} if v in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("adapter", registry.names())
def test_every_adapter_states_its_precision_and_has_valid_defaults(adapter: str) -> None:
    declared = registry.get(adapter).options
    assert "precision" in {option.name for option in declared}
    assert resolve(adapter, declared, {})["precision"] == "fp32"
    assert len({option.name for option in declared}) == len(declared)
    assert all(option.help for option in declared)
