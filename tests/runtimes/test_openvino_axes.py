"""What can be set of OpenVINO, and whether setting it does what it says.

What a user would lose: a knob nobody tried, a sweep of a value that never reached the engine, or a fast setting that
is wrong or takes more threads than it was given.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from drive_axes import ROOT, convolutions, drive, others

from models.build import build
from runtimes.coverage import unknown
from runtimes.openvino_axes import AXES
from runtimes.openvino_rt import OpenVinoCpu

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
# Read once when the library starts, or good for one model of a process: each needs a process of its own.
ONCE = (
    {"onednn_max_cpu_isa": "AVX2", "ov_cpu_max_isa": "AVX2"},
    {"onednn_max_cpu_isa": "AVX512_CORE", "ov_cpu_max_isa": "AVX512_CORE", "onednn_cpu_isa_hints": "PREFER_YMM"},
    {"ov_cpu_legacy_attn": True, "enable_cpu_reservation": True},
)
NOT_TOGETHER = {name for given in ONCE for name in given}
# What the plugin says of itself after it was told; the rest of its properties it does not tell.
READABLE = {
    "EXECUTION_MODE_HINT": {"ACCURACY": "ExecutionMode.ACCURACY"},
    "PERFORMANCE_HINT": {},
    "TBB_PARTITIONER": {"STATIC": "TbbPartitioner.STATIC", "AUTO": "TbbPartitioner.AUTO"},
    "CPU_DENORMALS_OPTIMIZATION": {},
    "ENABLE_TENSOR_PARALLEL": {},
    "MODEL_DISTRIBUTION_POLICY": {"TENSOR_PARALLEL": "{<ModelDistributionPolicy.TENSOR_PARALLEL: 0>}"},
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": {},
    "CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": {},
}


@pytest.fixture(scope="module")
def rt8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "rt8.onnx"
    onnx.save(build("rt8"), path)
    return path


@pytest.fixture(scope="module")
def sets() -> list[dict[str, Any]]:
    return [{}, *others(OpenVinoCpu(), *NOT_TOGETHER)]


@pytest.fixture(scope="module")
def alone(rt8: Path, sets: list[dict[str, Any]]) -> Any:
    """Every value that can share a process with others, over two threads of one session."""
    return drive("openvino", rt8, sets, threads=2)


@pytest.fixture(scope="module")
def here() -> tuple[str, ...]:
    return tuple(drive("openvino", None, []))


def error(seen: Any, right: Any) -> float:
    """The largest difference of two sessions' answers, over all turns."""
    pairs = zip(seen["answers"], right["answers"], strict=True)
    return max(float(np.abs(np.array(a) - np.array(b)).max()) for x, y in pairs for a, b in zip(x, y, strict=True))


def test_nothing_that_the_plugin_takes_is_left_unsaid(here: tuple[str, ...]) -> None:
    assert unknown(AXES, OpenVinoCpu.fixed, here) == ()


def test_a_setting_that_nobody_declared_is_found(here: tuple[str, ...]) -> None:
    # SNIPPETS_MODE is on no list that the plugin gives out.
    fewer = [option for option in AXES if option.name != "snippets_mode"]
    assert unknown(fewer, OpenVinoCpu.fixed, here) == ("SNIPPETS_MODE",)


def test_every_value_answers_right(alone: Any, sets: list[dict[str, Any]]) -> None:
    for given, seen in zip(sets, alone, strict=True):
        coarse = "precision" in given
        assert error(seen, alone[0]) < (0.05 if coarse else 1e-5), given
        assert seen["answers"][0] == seen["answers"][2], given
        assert seen["owned"], given
        assert seen["precision"] == "fp32" or coarse, given


def test_no_value_takes_more_threads_than_it_was_given(alone: Any, sets: list[dict[str, Any]]) -> None:
    for given, seen in zip(sets, alone, strict=True):
        assert int(seen["told"]["INFERENCE_NUM_THREADS"]) == 2, given
        assert int(seen["told"]["NUM_STREAMS"]) <= 2, given


def test_every_value_that_the_plugin_can_tell_has_reached_it(alone: Any, sets: list[dict[str, Any]]) -> None:
    settings = {option.name: option.settings[0] for option in AXES}
    checked = set()
    for given, seen in zip(sets, alone, strict=True):
        for name, value in given.items():
            if settings[name] in READABLE:
                told = seen["told"][settings[name]]
                assert READABLE[settings[name]].get(str(value), str(value)) in (told, told.strip("<").split(":")[0])
                checked.add(settings[name])
    assert checked == READABLE.keys()


def test_chains_of_small_operators_are_compiled_as_told(alone: Any, sets: list[dict[str, Any]]) -> None:
    chains = {
        given.get("snippets_mode", "ENABLE"): sum(
            count for kind, count in seen["details"]["layers"].items() if kind.startswith("Subgraph ")
        )
        for given, seen in zip(sets, alone, strict=True)
        if not given or "snippets_mode" in given
    }
    assert chains["DISABLE"] == 0
    assert 0 < chains["ENABLE"] < chains["IGNORE_CALLBACK"]


def test_streams_are_cut_as_told(rt8: Path) -> None:
    asked = [{"num_streams": value} for value in ("callers", "1", "AUTO", "NUMA")]
    found = drive("openvino", rt8, asked, threads=1, sessions=2)
    assert [int(seen["told"]["NUM_STREAMS"]) for seen in found[:2]] == [2, 1]
    assert all(int(seen["told"]["INFERENCE_NUM_THREADS"]) == 2 for seen in found)
    # Both sessions share what there is, and each has its own answers.
    assert all(error(seen, found[0]) < 1e-5 for seen in found)


@pytest.mark.parametrize("given", ONCE, ids=str)
def test_what_is_read_once_answers_right_and_chooses_kernels(given: dict[str, Any], rt8: Path, alone: Any) -> None:
    (seen,) = drive("openvino", rt8, [given], threads=2)
    assert error(seen, alone[0]) < 1e-5
    if given.get("onednn_max_cpu_isa") == "AVX2":
        assert not any("avx512" in kind for kind in seen["told"]["kinds"])


@pytest.mark.parametrize("given", ["call=start_async", "share_inputs=true", "share_inputs=true call=start_async"])
def test_other_ways_of_calling_keep_the_contract(given: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "contract" / "drive.py"), f"openvino {given}", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    seen = json.loads(result.stdout.splitlines()[-1])
    for name, case in seen["cases"].items():
        assert case["owned"], name
        assert case["error"] < 1e-4, name
    assert seen["together"]["calls"] == 60
    assert seen["together"]["error"] < 1e-4


def test_a_default_passes_on_what_it_always_did(tmp_path: Path) -> None:
    from drive_axes import request

    from runtimes.openvino_axes import properties

    asked = request("openvino", convolutions(tmp_path / "m.onnx"), {}, tmp_path, {"threads": 2, "sessions": 2})
    assert properties(asked) == {
        "NUM_STREAMS": 2,
        "INFERENCE_NUM_THREADS": 4,
        "ENABLE_CPU_PINNING": False,
        "ENABLE_HYPER_THREADING": False,
        "EXECUTION_MODE_HINT": "PERFORMANCE",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    assert OpenVinoCpu().environment(asked) == {}
