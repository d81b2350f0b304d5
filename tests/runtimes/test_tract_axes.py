"""What can be set of tract, and whether setting it does what it says.

What a user would lose: a knob nobody tried, a value that never reached the engine, or a fast setting that is wrong.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from contract.drive import cases
from drive_axes import drive, others, request
from onnx import TensorProto, helper, numpy_helper
from support import tiny_model

from models.build import build
from runtimes.coverage import unknown
from runtimes.tract_axes import AXES, FIXED
from runtimes.tract_rt import TractCpu, _knobs, _transforms

pytestmark = pytest.mark.skipif(importlib.util.find_spec("tract") is None, reason="tract is not installed")
# Knobs are read once, so those that do not stand in each other's way share a process.
KNOBS: tuple[dict[str, Any], ...] = (
    {
        "enable_blocked_conv": True,
        "disable_direct_spatial": True,
        "disable_depthwise_deconv": True,
        "avgpool_separable": True,
        "lazy_im2col_min_kernel": 1,
        "llc_bytes": 1 << 20,
        "avx512_fma_units": "1",
    },
    {
        "lazy_im2col_min_kernel": 1000,
        "lazy_im2col_max_eager_bytes": 1 << 30,
        "llc_bytes": 32 << 20,
        "llc_contended": True,
        "avx512_fma_units": "2",
    },
    {"lazy_im2col_max_eager_bytes": 0, "cpu_isa": "-avx512f"},
    {"transform": "transformers_detect_all", "flash_sdpa_min_seq_len": 1, "flash_sdpa_st": True},
)


@pytest.fixture(scope="module")
def rt8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "rt8.onnx"
    onnx.save(build("rt8"), path)
    return path


@pytest.fixture(scope="module")
def right(rt8: Path) -> Any:
    return drive("tract", rt8, [{}])[0]


@pytest.fixture(scope="module")
def here() -> tuple[str, ...]:
    return tuple(drive("tract", None, []))


def check(seen: Any, right: Any, given: Any) -> None:
    for turn, expected in zip(seen["answers"], right["answers"], strict=True):
        assert np.abs(np.array(turn[0]) - np.array(expected[0])).max() < 1e-5, given
    assert seen["answers"][0] == seen["answers"][2], given
    assert seen["owned"], given


def test_nothing_that_the_library_has_is_left_unsaid(here: tuple[str, ...]) -> None:
    assert unknown(AXES, FIXED, here) == ()


def test_a_setting_that_nobody_declared_is_found(here: tuple[str, ...]) -> None:
    fewer = [option for option in AXES if option.name not in {"cpu_isa", "state"}]
    assert unknown(fewer, FIXED, here) == ("TRACT_CPU_ISA", "Runnable.spawn_state")


def test_a_knob_of_a_later_version_is_found_in_its_library() -> None:
    # Symbols have lengths; text runs on into the next one.
    library = b"x13TRACT_CPU_ISA0INt 16TRACT_BRAND_NEW\0 TRACT_LLC_BYTESLast-level TRACT_UNHEARD_OFSome"
    library += b" _RNvXs_NtNtB5_8BrandNewNtNtCsx_10tract_core9transform14ModelTransform4name conv_nhwcCondition"
    declared = [setting for option in AXES for setting in option.settings]
    assert set(_knobs(library, declared)) == {
        "TRACT_CPU_ISA",
        "TRACT_BRAND_NEW",
        "TRACT_LLC_BYTES",
        "TRACT_UNHEARD_OFS",
    }
    assert _transforms(library, declared) == ["Model.transform:conv_nhwc", "Model.transform:BrandNew"]


def test_every_transform_and_state_answers_right(rt8: Path, right: Any) -> None:
    knobs = {name for given in KNOBS for name in given} - {"transform"}
    sets = others(TractCpu(), *knobs)
    assert sets
    for given, seen in zip(sets, drive("tract", rt8, sets), strict=True):
        check(seen, right, given)


def test_every_knob_is_tried() -> None:
    tried = {(name, value) for given in KNOBS for name, value in given.items()}
    for given in others(TractCpu(), "transform", "state"):
        assert tried >= given.items() - {("transform", "transformers_detect_all")}


@pytest.mark.parametrize("given", KNOBS, ids=lambda given: next(iter(given)))
def test_knobs_answer_right(given: dict[str, Any], rt8: Path, right: Any) -> None:
    (seen,) = drive("tract", rt8, [given])
    check(seen, right, given)
    # Narrower kernels add up in another order: it reached the engine.
    if "avx512f" in Path("/proc/cpuinfo").read_text("utf-8"):
        assert (seen["answers"] != right["answers"]) == ("cpu_isa" in given)


def test_convolutions_gather_patches_as_told(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((64, 64, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 510])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    # Only its profiler tells the plan, and takes five seconds.
    with ThreadPoolExecutor() as pool:
        plans = list(
            pool.map(lambda given: drive("tract", path, [given], plan=1)[0], ({}, {"lazy_im2col_min_kernel": 1}))
        )
    assert ["LazyIm2col" in plan["told"]["operators"] for plan in plans] == [False, True]


def test_a_kept_state_is_wrong_only_where_the_engine_keeps_it(tmp_path: Path) -> None:
    # The help says so; a user would otherwise try it on a recurrent model and trust it.
    again = {}
    for case in cases():
        if case.name in {"conv", "gru", "lstm"}:
            onnx.save(case.model, tmp_path / f"{case.name}.onnx")
            (seen,) = drive("tract", tmp_path / f"{case.name}.onnx", [{"state": "kept"}])
            again[case.name] = seen["answers"][0] == seen["answers"][2]
    assert again == {"conv": True, "gru": True, "lstm": False}


def test_attention_gets_the_threads_of_the_cell_alone(tmp_path: Path) -> None:
    asked = request("tract", tiny_model(tmp_path / "m.onnx"), {}, tmp_path, {"threads": 2, "sessions": 2})
    assert TractCpu().environment(asked) == {"RAYON_NUM_THREADS": "4"}
