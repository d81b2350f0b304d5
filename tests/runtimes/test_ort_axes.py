"""ONNX Runtime's options: none of the library's settings is forgotten, and every value that is declared arrives.

What a user would lose: a knob that nobody tried, a sweep over a name that the library ignores without a word, a time
for one setting that was measured with another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest
from made_ort import Made, float_model, request, rounded_model
from support import ROOT

from models.build import build
from runtimes.coverage import absent, unknown
from runtimes.errors import UnsupportedError
from runtimes.options import Fixed, Option, Value
from runtimes.ort import OrtCpu
from runtimes.ort_keys import in_bytes, names_in
from runtimes.ort_settings import SPECIAL, affinities, thread_counts
from runtimes.ort_tensorrt import OrtTensorRt

ort = pytest.importorskip("onnxruntime")
CPUS = len(os.sched_getaffinity(0))
KEYS = [
    option
    for option in OrtCpu.options
    if option.name not in SPECIAL and any("." in setting and "Options." not in setting for setting in option.settings)
]
# A process has one pool or arena in common, and reads variables once.
APART = {"use_per_session_threads", "env_allocators", "nchwc_fss_target", "nchwc_filterset_balance"}
APART |= {"disable_flash_attention", "disable_decoder_attention"}


@pytest.fixture(scope="module")
def adapter() -> OrtCpu:
    started = OrtCpu()
    started.start()
    return started


@pytest.fixture(scope="module")
def here(adapter: OrtCpu) -> tuple[str, ...]:
    return adapter.settings_here()


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return float_model(tmp_path_factory.mktemp("floats") / "floats.onnx")


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rounded_model(tmp_path_factory.mktemp("rounded") / "rounded.onnx")


# Nothing is forgotten


def test_every_setting_of_the_installed_library_is_an_axis_or_has_a_reason(here: tuple[str, ...]) -> None:
    forgotten = unknown(OrtCpu.options, OrtCpu.fixed, here)
    assert not forgotten, f"onnxruntime {ort.__version__} has settings of which nothing is said: {', '.join(forgotten)}"


def test_every_axis_names_a_setting_that_the_installed_library_has(here: tuple[str, ...]) -> None:
    # The library takes a name that it does not have without a word: the axis would be a row of zeros.
    installed = _version(ort.__version__)
    expected = [option for option in OrtCpu.options if _version(option.since or "0") <= installed]
    lost = absent(expected, (), here)
    assert not lost, f"onnxruntime {ort.__version__} does not have: {', '.join(lost)}"


def test_what_is_found_is_what_the_library_documents(here: tuple[str, ...]) -> None:
    for name in (
        "SessionOptions.enable_mem_reuse",
        "SessionOptions.add_free_dimension_override_by_name",
        "RunOptions.only_execute_path_to_fetches",
        "session.disable_prepacking",
        "session.load_model_format",
        "session.intra_op.allow_spinning",
        "optimization.enable_gelu_approximation",
        "memory.enable_memory_arena_shrinkage",
        "ep.context_enable",
        "gpu_graph_id",
        "ORT_DISABLE_FLASH_ATTENTION",
    ):
        assert name in here
    # Neither operators' domains nor files nor members of enumerations.
    for name in ("com.microsoft.nchwc", "session.cc", "ORT_ENABLE_ALL", "SessionOptions.get_session_config_entry"):
        assert name not in here


def test_a_setting_that_came_with_a_new_version_is_named(here: tuple[str, ...]) -> None:
    new = (*here, "session.turbo", "SessionOptions.enable_turbo")
    assert unknown(OrtCpu.options, OrtCpu.fixed, new) == ("session.turbo", "SessionOptions.enable_turbo")


def test_an_axis_that_is_taken_away_leaves_its_setting_unknown(here: tuple[str, ...]) -> None:
    for gone in OrtCpu.options:
        rest = [option for option in OrtCpu.options if option is not gone]
        others = {setting for option in rest for setting in option.settings}
        alone = {setting for setting in gone.settings if setting not in others}
        assert set(unknown(rest, OrtCpu.fixed, here)) == alone & set(here)


def test_a_key_is_found_wherever_the_compiler_put_it(tmp_path: Path) -> None:
    library = tmp_path / "libonnxruntime.so"
    aligned = b"session.cut_off_at_sixteen"[:16]
    library.write_bytes(
        b"\0session.whole\0 'session.in_a_message' is\0com.microsoft.no\0see session.not_aligned.\0\0".ljust(96, b"\0")
        + aligned + b"other_constants_\0MLAS_TURBO\0lowercase_session.h\0"
    )  # fmt: skip
    found = names_in([library], ())
    assert found == ["MLAS_TURBO", "session.cut_off_", "session.in_a_message", "session.whole"]
    assert unknown((), (), found) == tuple(found)


def test_a_key_that_became_instructions_is_told_by_those_who_know_it() -> None:
    # Two blocks of 16 letters are left of it, in any order; the rest is in the instructions.
    left = b"ers_file_folder_session.model_external_initializ".ljust(64, b"\0")
    name = "session.model_external_initializers_file_folder_path"
    data = left[16:48] + left[:16]
    assert in_bytes(data, [name]) == {name}
    assert in_bytes(data, []) == {name[:16]}


def test_constants_that_lie_behind_each_other_are_no_key() -> None:
    # So in 1.25.0: half of a key, then half of something else, and a zero byte by chance.
    name = "session.use_ort_model_bytes_directly"
    data = b"\0".ljust(16, b"\0") + b"session.use_ort_model_bytes_direCPUExecutionProv\0"
    assert in_bytes(data, [name]) == {name}
    # Of a name that nobody knows it cannot be told.
    assert in_bytes(data, []) == {"session.use_ort_model_bytes_direCPUExecutionProv"}


def test_a_family_stands_for_all_that_begin_so_and_for_nothing_else() -> None:
    family = [Fixed("session.moe.*", "why")]
    assert unknown((), family, ("session.moe.a", "session.moe_b")) == ("session.moe_b",)
    assert absent((), family, ("session.moe.a",)) == ()
    assert absent((), family, ("session.moe_b",)) == ("session.moe.*",)


def test_on_gpus_nothing_is_forgotten_either(here: tuple[str, ...]) -> None:
    # The same core library; what its CUDA provider takes beside that cannot be asked here.
    assert unknown(OrtTensorRt.options, OrtTensorRt.fixed, here) == ()


def test_no_setting_is_both_an_axis_and_fixed() -> None:
    reached = {setting for option in OrtCpu.options for setting in option.settings}
    assert not [one.setting for one in OrtCpu.fixed if one.setting in reached]
    assert not unknown((), [Fixed("x", "y")], ("x",))
    assert not [setting for setting in reached if not unknown((), OrtCpu.fixed, (setting,))]


# Every value arrives


@pytest.mark.parametrize("option", KEYS, ids=lambda option: str(option.name))
def test_a_key_is_said_where_its_option_is_changed_and_only_there(
    adapter: OrtCpu, floats: Path, option: Option
) -> None:
    always = {"session.intra_op.allow_spinning", "session.inter_op.allow_spinning"}
    for value in option.values:
        settings = adapter._settings(request(floats, floats.parent / "cache", **{option.name: value}))
        for key in option.settings:
            if value != option.default:
                assert settings.get_session_config_entry(key) == _said(value)
            elif key not in always:
                with pytest.raises(RuntimeError, match="config"):
                    settings.get_session_config_entry(key)


@pytest.mark.parametrize(
    ("options", "attribute", "expected"),
    [
        ({}, "graph_optimization_level", ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
        (
            {"graph_optimization_level": "basic"},
            "graph_optimization_level",
            ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        ),
        ({"execution_mode": "parallel"}, "execution_mode", ort.ExecutionMode.ORT_PARALLEL),
        ({"execution_order": "priority_based"}, "execution_order", ort.ExecutionOrder.PRIORITY_BASED),
        ({"enable_mem_reuse": False}, "enable_mem_reuse", False),
        ({"enable_mem_pattern": False}, "enable_mem_pattern", False),
        ({"enable_cpu_mem_arena": False}, "enable_cpu_mem_arena", False),
        ({"use_deterministic_compute": True}, "use_deterministic_compute", True),
        ({"use_per_session_threads": False}, "use_per_session_threads", False),
        ({}, "intra_op_num_threads", 4),
        ({"intra_op_num_threads": 3}, "intra_op_num_threads", 3),
        ({"execution_mode": "parallel", "inter_op_num_threads": 2}, "inter_op_num_threads", 2),
        ({"execution_mode": "parallel", "inter_op_num_threads": 2}, "intra_op_num_threads", 3),
    ],
)
def test_an_attribute_is_what_was_asked_for(
    adapter: OrtCpu, floats: Path, options: dict[str, Any], attribute: str, expected: object
) -> None:
    settings = adapter._settings(request(floats, floats.parent / "cache", 4, **options))
    assert getattr(settings, attribute) == expected


def test_a_member_that_this_version_does_not_have_is_refused_in_words(
    adapter: OrtCpu, floats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "ExecutionOrder", object())
    with pytest.raises(UnsupportedError, match=r"this onnxruntime has no ExecutionOrder.PRIORITY_BASED"):
        adapter.load(request(floats, floats.parent / "cache", execution_order="priority_based"))


@pytest.mark.parametrize(
    ("model", "options", "more", "fewer"),
    [
        ("floats", {"graph_optimization_level": "extended"}, {"FusedConv"}, {"ReorderInput"}),
        ("floats", {"graph_optimization_level": "basic"}, {"Erf"}, {"Gelu"}),
        ("floats", {"graph_optimization_level": "disable"}, {"MatMul"}, {"Gemm"}),
        ("floats", {"disable_specified_optimizers": "NchwcTransformer"}, set(), {"ReorderInput", "ReorderOutput"}),
        ("floats", {"disable_specified_optimizers": "MatMulAddFusion"}, {"MatMul"}, {"Gemm"}),
        ("floats", {"disable_specified_optimizers": "GeluFusionL2"}, {"Erf"}, {"Gelu"}),
        ("floats", {"disable_specified_optimizers": "ConstantFolding"}, {"Mul"}, set()),
        ("floats", {"constant_folding_max_output_size_in_bytes": 1024}, {"Mul"}, set()),
        ("floats", {"enable_gelu_approximation": True}, {"FastGelu"}, {"Gelu"}),
        ("floats", {"enable_cast_chain_elimination": True}, set(), {"Cast"}),
        ("rounded", {"disable_quant_qdq": True}, {"Conv"}, {"QLinearConv"}),
        ("rounded", {"enable_quant_qdq_cleanup": True}, set(), {"DequantizeLinear"}),
    ],
    ids=lambda value: "".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_the_graph_is_rewritten_otherwise(
    adapter: OrtCpu,
    tmp_path: Path,
    request_model: dict[str, Path],
    model: str,
    options: dict[str, Any],
    more: set[str],
    fewer: set[str],
) -> None:
    usual, found = (_operators(adapter, request_model[model], tmp_path, given) for given in ({}, options))
    assert all(found[name] > usual[name] for name in more), (usual, found)
    assert all(found[name] < usual[name] for name in fewer), (usual, found)


@pytest.fixture
def request_model(floats: Path, rounded: Path) -> dict[str, Path]:
    return {"floats": floats, "rounded": rounded}


@pytest.mark.parametrize(
    ("threads", "options", "expected"),
    [
        (1, {}, 0),
        (3, {}, 2),
        (3, {"intra_op_num_threads": 2}, 1),
        (3, {"execution_mode": "parallel", "inter_op_num_threads": 2}, 2),
        (3, {"execution_mode": "parallel", "inter_op_num_threads": 3}, 2),
        (3, {"execution_mode": "parallel", "intra_op_num_threads": 1, "inter_op_num_threads": 2}, 1),
    ],
)
def test_as_many_pool_threads_are_made_as_the_budget_allows(
    adapter: OrtCpu, floats: Path, threads: int, options: dict[str, Any], expected: int
) -> None:
    before = _threads()
    sessions = adapter.load(request(floats, floats.parent / "cache", threads, **options))
    assert len(_threads() - before) == expected
    del sessions


@pytest.mark.skipif(CPUS < 2, reason="two processors are needed to give one to a thread")
def test_a_pinned_thread_has_one_processor_of_those_allowed(adapter: OrtCpu, floats: Path) -> None:
    before = _threads()
    sessions = adapter.load(request(floats, floats.parent / "cache", 2, pin_threads=True))
    (made,) = _threads() - before
    # A thread pins itself when it begins to run, which a busy machine puts off.
    until = time.monotonic() + 10
    while len(os.sched_getaffinity(made)) != 1 and time.monotonic() < until:
        time.sleep(0.01)
    assert os.sched_getaffinity(made) == {sorted(os.sched_getaffinity(0))[1]}
    del sessions


def test_pinned_threads_of_several_sessions_share_no_processor(floats: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Counted from 1 by the library, and never one that the process may not use.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 5, 7, 8, 9})
    asked = request(floats, floats.parent / "cache", 3, 2, pin_threads=True)
    assert [affinities(asked, number) for number in (0, 1)] == ["4;6", "9;10"]
    with pytest.raises(UnsupportedError, match="a processor for each of 8 threads, and this process may use 6"):
        affinities(request(floats, floats.parent / "cache", 4, 2, pin_threads=True), 0)


@pytest.mark.parametrize("form", ["optimised", "ort"])
def test_a_graph_is_rewritten_ahead_once_and_answers_the_same(
    adapter: OrtCpu, floats: Path, tmp_path: Path, form: str
) -> None:
    asked = request(floats, tmp_path / "cache", model_format=form)
    built = adapter.build(asked)
    assert adapter.build(asked) == {"cached": True, **built}
    path = asked.cache / built["artefact"]
    assert path.stat().st_size == built["artefact_bytes"]
    # Another level makes another file.
    other = request(floats, tmp_path / "cache", model_format=form, graph_optimization_level="basic")
    assert adapter.build(other)["artefact"] != built["artefact"]
    before = path.stat().st_mtime_ns
    adapter.load(asked)
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"damaged")
    adapter.load(asked)
    assert path.stat().st_size == built["artefact_bytes"]


def test_the_graph_itself_needs_nothing_built(adapter: OrtCpu, floats: Path, tmp_path: Path) -> None:
    assert adapter.build(request(floats, tmp_path / "cache")) == {}


@pytest.mark.parametrize(
    ("threads", "options", "why"),
    [
        (2, {"intra_op_num_threads": 3}, "intra_op_num_threads=3 is more than the 2 of a session"),
        (1, {"execution_mode": "parallel", "inter_op_num_threads": 2}, "inter_op_num_threads=2 is more than the 1"),
        (
            3,
            {"execution_mode": "parallel", "intra_op_num_threads": 2, "inter_op_num_threads": 3},
            "are 4 with the caller, more than the 3",
        ),
        (2, {"inter_op_num_threads": 2}, "add execution_mode=parallel"),
        (
            2,
            {"use_per_session_threads": False, "allow_spinning": False},
            "the pool that sessions share is made without",
        ),
        (2, {"allow_spinning": False, "spin_duration_us": 50}, "leave allow_spinning=true"),
        (2, {"enable_cpu_mem_arena": False, "enable_memory_arena_shrinkage": True}, "there is none to shrink"),
        (2, {"intra_op_num_threads": 2}, ""),
        (2, {"execution_mode": "parallel", "inter_op_num_threads": 2}, ""),
        (2, {}, ""),
    ],
)
def test_what_does_not_go_together_is_refused_before_it_is_measured(
    adapter: OrtCpu, floats: Path, threads: int, options: dict[str, Any], why: str
) -> None:
    found = adapter.refusal(request(floats, floats.parent / "cache", threads, **options).options, threads)
    assert why in found
    assert bool(why) == bool(found)


def test_the_library_itself_refuses_to_shrink_an_arena_that_is_not_there(adapter: OrtCpu, floats: Path) -> None:
    # Why that pair is declared as a clash.
    asked = request(floats, floats.parent / "cache", enable_cpu_mem_arena=False, enable_memory_arena_shrinkage=True)
    (session,) = adapter.load(asked)
    with pytest.raises(Exception, match="arena"):
        session.run({"x": float_inputs()})


def float_inputs() -> Any:
    return Made().generator.random((1, 16, 8, 8), "float32")


@pytest.mark.parametrize(
    "options", [{}, {"execution_mode": "parallel"}, {"execution_mode": "parallel", "inter_op_num_threads": 2}]
)
def test_thread_counts_never_fall_below_one(options: dict[str, Any]) -> None:
    assert min(thread_counts(options, 1)) == 1


# Every value answers right


def test_every_value_of_every_axis_loads_and_answers_right(floats: Path, tmp_path: Path) -> None:
    unet = tmp_path / "rt8.onnx"
    onnx.save(build("rt8"), str(unet))
    asked = [
        (option.name, value, {**dict(option.needs), option.name: value})
        for option in OrtCpu.options
        for value in option.values
        if option.name not in APART
    ]
    threads = min(2, CPUS)
    # Denormals last: the library sets the calling thread's flags and leaves them.
    asked.sort(key=lambda one: one[0] == "set_denormal_as_zero")
    for model, limit in ((floats, 2e-2), (unet, 1e-4)):
        cases = [_case(model, options, threads) for _, _, options in asked]
        for (name, value, _), error in zip(asked, _process(cases, tmp_path), strict=True):
            assert isinstance(error, float), (name, value, error)
            assert error < limit, (name, value, error)


@pytest.mark.parametrize(
    "options",
    [
        {"use_per_session_threads": False},
        {"use_per_session_threads": False, "execution_mode": "parallel"},
        {"env_allocators": "power_of_two"},
        {"env_allocators": "as_requested"},
        {"nchwc_fss_target": 4},
        {"nchwc_filterset_balance": False, "disable_flash_attention": True, "disable_decoder_attention": True},
    ],
    ids=str,
)
def test_what_a_process_has_once_answers_right(floats: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    ((first, second)) = _process([_case(floats, options, 2, 2)] * 2, tmp_path)
    assert first == second
    assert isinstance(first, float), first
    assert first < 1e-3


def test_another_common_pool_in_the_same_process_is_refused(floats: Path, tmp_path: Path) -> None:
    shared = {"use_per_session_threads": False}
    cases = [_case(floats, shared, 2, 1), _case(floats, shared, 2, 2)]
    assert "this process has other common pools" in str(_process(cases, tmp_path)[1])


def test_variables_are_said_only_where_they_are_asked_for(adapter: OrtCpu, floats: Path) -> None:
    folder = floats.parent / "cache"
    assert adapter.environment(request(floats, folder)) == {}
    asked = request(floats, folder, nchwc_fss_target=4, nchwc_filterset_balance=False, disable_flash_attention=True)
    assert adapter.environment(asked) == {
        "MLAS_NCHWC_FSS_TARGET": "4",
        "MLAS_NCHWC_FILTERSET_BALANCE": "0",
        "ORT_DISABLE_FLASH_ATTENTION": "1",
    }


def _threads() -> set[int]:
    return {int(thread.name) for thread in Path("/proc/self/task").iterdir()}


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3])


def _said(value: Value) -> str:
    return {"true": "1", "false": "0"}.get(str(value).lower(), str(value))


def _operators(adapter: OrtCpu, model: Path, folder: Path, options: dict[str, Any]) -> Counter[str]:
    """Operators of the graph that is really run."""
    settings = adapter._settings(request(model, folder / "cache", **options))
    settings.optimized_model_filepath = str(folder / "rewritten.onnx")
    # A warning that such a file is for this processor only.
    settings.log_severity_level = 3
    ort.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    graph = onnx.load(str(folder / "rewritten.onnx")).graph
    return Counter(node.op_type for node in graph.node)


def _case(model: Path, options: dict[str, Any], threads: int, sessions: int = 1) -> dict[str, Any]:
    return {"model": str(model), "options": options, "threads": threads, "sessions": sessions}


def _process(cases: list[dict[str, Any]], folder: Path) -> list[Any]:
    """How far answers are from the reference, or why there are none, in a process of their own."""
    command = [sys.executable, str(ROOT / "tests" / "made_ort.py"), str(folder)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        command,
        check=False,
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found
