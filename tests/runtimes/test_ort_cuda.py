"""ONNX Runtime on a GPU, over a fake of the library: what it is told, and what is said when it does something else.

What a user would lose: a row that says GPU and ran on the processor, an option that never arrived, a graph that a
thread has not got, a wait that no application makes. Nothing here says how the real library behaves.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fake_onnxruntime
import numpy as np
import onnx
import pytest
from fake_gpu_engine import LateGpu, made_during, use
from onnx.reference import ReferenceEvaluator
from support import tiny_model

from runtimes.base import Request, Tensor
from runtimes.errors import EngineError, UnavailableError, UnsupportedError
from runtimes.options import resolve
from runtimes.ort_cuda import CALLS_TO_CAPTURE, LIBRARIES, PROVIDER_OPTIONS, OrtCuda

if TYPE_CHECKING:
    from pathlib import Path

    from runtimes.ort_cuda import OrtGpuSession

STREAM = 4711


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> LateGpu:
    return use(monkeypatch, LateGpu())


@pytest.fixture
def ort(monkeypatch: pytest.MonkeyPatch, gpu: LateGpu) -> Any:
    made = fake_onnxruntime.make(gpu)
    monkeypatch.setitem(sys.modules, "onnxruntime", made)
    return made


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    path = tiny_model(tmp_path / "net.onnx")
    tensors = (Tensor("x", (1, 2, 16), "float32"),), (Tensor("y", (1, 3, 16), "float32"),)
    return Request(path, "0" * 64, *tensors, "fp32", 3, 1, chosen(), tmp_path)


def chosen(**options: Any) -> dict[str, Any]:
    return resolve("ort-cuda", OrtCuda.options, options)


def told(request: Request, **options: Any) -> Request:
    return replace(request, options=chosen(**options))


def settings(stream: int = STREAM, **options: Any) -> dict[str, str]:
    ((provider, given),) = OrtCuda().provider_settings(chosen(**options), stream)
    assert provider == "CUDAExecutionProvider"
    return dict(given)


def load(request: Request) -> OrtGpuSession:
    (session,) = OrtCuda().load(request)
    return session  # type: ignore[return-value]


def feeds(seed: int = 1) -> dict[str, Any]:
    return {"x": np.random.default_rng(seed).standard_normal((1, 2, 16)).astype(np.float32)}


def right(request: Request, seed: int = 1) -> Any:
    return ReferenceEvaluator(str(request.model)).run(None, feeds(seed))[0]


# What the provider is told


def test_every_option_reaches_the_provider_as_a_string_its_default_included() -> None:
    # A default that is left to the library is another one in its next release.
    assert settings() == {
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "cudnn_conv1d_pad_to_nc1d": "0",
        "fuse_conv_bias": "0",
        "prefer_nhwc": "0",
        "sdpa_kernel": "0",
        "enable_skip_layer_norm_strict_mode": "0",
        "arena_extend_strategy": "kNextPowerOfTwo",
        "use_tf32": "0",
        "enable_cuda_graph": "0",
        "user_compute_stream": str(STREAM),
    }


def test_every_option_that_is_changed_reaches_the_provider() -> None:
    other = {
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "sdpa_kernel": 3,
        "gpu_mem_limit": 1 << 30,
    }
    flipped = {o.name: not o.default for o in PROVIDER_OPTIONS if isinstance(o.default, bool)}
    assert {*other, *flipped} == {option.name for option in PROVIDER_OPTIONS}
    given = settings(**other, **flipped)
    assert {name: given[name] for name in other} == {name: str(value) for name, value in other.items()}
    assert {name: given[name] for name in flipped} == {name: str(int(value)) for name, value in flipped.items()}


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", "0"), ("tf32", "1")])
def test_tf32_is_switched_off_unless_it_is_asked_for(
    ort: Any, gpu: LateGpu, request_: Request, precision: str, tf32: str
) -> None:
    # It is on by default: a row that says fp32 would be none.
    session = load(told(request_, precision=precision))
    assert ort._told.sessions[0].providers[0][1]["use_tf32"] == tf32
    assert session.facts().precision == precision


def test_tf32_that_a_variable_forbids_is_refused(
    ort: Any, gpu: LateGpu, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # NVIDIA's libraries obey it without a word, and the row would say tf32.
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with pytest.raises(UnsupportedError, match="NVIDIA_TF32_OVERRIDE=0 forbids TF32; unset it, or ask for prec"):
        load(told(request_, precision="tf32"))
    load(request_)


def test_the_stream_that_the_provider_gets_is_the_sessions_own(ort: Any, gpu: LateGpu, request_: Request) -> None:
    sessions: Any = OrtCuda().load(replace(request_, sessions=2))
    streams = [made.providers[0][1]["user_compute_stream"] for made in ort._told.sessions]
    assert streams == [str(session.gpu.stream.value) for session in sessions]
    assert len(set(streams)) == 2


def test_options_of_sessions_arrive_as_on_processors(ort: Any, gpu: LateGpu, request_: Request) -> None:
    load(told(request_, graph_optimization_level="basic", execution_mode="parallel", enable_mem_reuse=False))
    options = ort._told.sessions[0].options
    assert options.graph_optimization_level is ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert options.execution_mode is ort.ExecutionMode.ORT_PARALLEL
    assert (options.intra_op_num_threads, options.inter_op_num_threads, options.enable_mem_reuse) == (3, 3, False)


def test_libraries_are_loaded_in_the_order_in_which_they_need_each_other(
    ort: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("runtimes.ort_cuda.load_library", loaded.append)
    OrtCuda().start()
    assert (tuple(loaded), ort._told.preloaded) == (LIBRARIES, 1)


# Answers


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_answers_are_right_host_to_host_and_device_to_device(
    ort: Any, gpu: LateGpu, request_: Request, *, cuda_graph: bool
) -> None:
    session = load(told(request_, cuda_graph=cuda_graph))
    for seed in range(3):
        np.testing.assert_allclose(session.run(feeds(seed))[0], right(request_, seed), atol=1e-6)
    session.put(feeds(7))
    session.launch()
    session.wait()
    np.testing.assert_allclose(session.get()[0], right(request_, 7), atol=1e-6)
    assert session.facts().details["cuda_graph"] is cuda_graph


def test_the_library_waits_for_nothing_that_we_wait_for(ort: Any, gpu: LateGpu, request_: Request) -> None:
    # Its own wait after every run would come before the copies back, and ours after them.
    session = load(request_)
    calls = made_during(gpu, session.run, feeds())
    assert (ort._told.waits, calls.count("cuStreamSynchronize")) == (0, 1)


def test_two_sessions_begin_before_either_is_over(ort: Any, gpu: LateGpu, request_: Request) -> None:
    sessions: Any = OrtCuda().load(replace(request_, sessions=2))
    for seed, session in enumerate(sessions):
        session.begin(feeds(seed))
    for seed, session in enumerate(sessions):
        np.testing.assert_allclose(session.finish()[0], right(request_, seed), atol=1e-6)


@pytest.mark.parametrize("cuda_graph", [False, True])
@pytest.mark.parametrize("inferred", [True, False])
def test_an_output_whose_shape_the_file_does_not_state_gets_its_memory(
    ort: Any, gpu: LateGpu, request_: Request, *, inferred: bool, cuda_graph: bool
) -> None:
    # Taken for a single number, it would be answered with one, or written past its end.
    ort._told.open_sizes = not inferred
    model = onnx.load(request_.model)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, request_.model)
    open_ = replace(told(request_, cuda_graph=cuda_graph), outputs=(replace(request_.outputs[0], shape=()),))
    session = load(open_)
    np.testing.assert_allclose(session.run(feeds())[0], right(request_), atol=1e-6)
    # A call that finds the shape has memory of the library's own, and must not be what is captured.
    assert session._session._runs == ({threading.get_ident(): CALLS_TO_CAPTURE + 2} if cuda_graph else {})


def test_a_run_that_fails_is_one_line(ort: Any, gpu: LateGpu, request_: Request) -> None:
    session = load(request_)
    ort._told.fails = RuntimeError("CUDNN_STATUS_EXECUTION_FAILED\n ; GPU=0")
    with pytest.raises(EngineError, match=r"^ONNX Runtime, CUDA could not answer: CUDNN_STATUS_EXECUTION_FAILED ; GPU"):
        session.run(feeds())


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_session_gives_back_all_it_took_even_in_mid_call(
    ort: Any, gpu: LateGpu, request_: Request, *, cuda_graph: bool
) -> None:
    session = load(told(request_, cuda_graph=cuda_graph))
    session.begin(feeds())
    session.close()
    assert (gpu.waiting(), gpu.still_taken(), gpu.contexts) == (0, {}, 0)


def test_the_engine_goes_when_nothing_of_it_is_at_work_and_before_its_stream(
    ort: Any, gpu: LateGpu, request_: Request
) -> None:
    class Leaving:
        def __del__(self) -> None:
            gpu.calls.append("the engine goes")

    session = load(request_)
    session.begin(feeds())
    session._session = Leaving()
    calls = made_during(gpu, session.close)
    assert calls[:2] == ["cuStreamSynchronize", "the engine goes"]
    assert "cuStreamDestroy_v2" in calls[2:]


# Nodes that are elsewhere, providers that are not here


def test_nodes_that_are_not_on_the_gpu_are_told(ort: Any, gpu: LateGpu, request_: Request) -> None:
    ort._told.lacks = {"Relu"}
    session = load(request_)
    details = session.facts().details
    assert details["all_nodes_on_gpu"] is False
    assert (
        details["elsewhere"] == "some nodes have no kernel for the GPU and run on the CPU, with copies on either side"
    )
    np.testing.assert_allclose(session.run(feeds())[0], right(request_), atol=1e-6)


def test_where_all_nodes_are_on_the_gpu_that_is_what_is_said(ort: Any, gpu: LateGpu, request_: Request) -> None:
    facts = load(request_).facts()
    assert (facts.device, facts.details["all_nodes_on_gpu"], facts.details["elsewhere"]) == ("cuda:0", True, "")
    assert facts.details["providers"][0] == "CUDAExecutionProvider"


def test_a_graph_with_nodes_elsewhere_is_refused_with_the_reason(ort: Any, gpu: LateGpu, request_: Request) -> None:
    ort._told.lacks = {"Relu"}
    with pytest.raises(UnsupportedError, match="CUDA graph needs every node on the GPU; some nodes have no kernel for"):
        load(told(request_, cuda_graph=True))


def test_it_is_never_left_to_try_again_without_the_gpu(ort: Any, gpu: LateGpu, request_: Request) -> None:
    # Its Python class would, and the processor's time would stand in the GPU's row.
    ort._told.lacks = {"Relu"}
    load(request_)
    first, second = ort._told.sessions
    assert (first.fallback, second.fallback) == (0, 0)
    entry = "session.disable_cpu_ep_fallback"
    assert (first.options._entries.get(entry), second.options._entries.get(entry)) == ("1", None)


def test_a_model_that_cannot_be_loaded_is_tried_once_and_has_the_librarys_reason(
    ort: Any, gpu: LateGpu, request_: Request
) -> None:
    ort._told.refuses = RuntimeError("Fatal error: nobody:Nonsense(-1) is not a registered function/op")
    with pytest.raises(UnsupportedError, match=r"^onnxruntime could not load net\.onnx: Fatal error: nobody:Nonsense"):
        load(request_)
    assert len(ort._told.sessions) == 1


def test_a_build_without_the_provider_is_unavailable(ort: Any, gpu: LateGpu, request_: Request) -> None:
    ort._told.available = False
    with pytest.raises(UnavailableError, match="has no CUDAExecutionProvider; install onnxruntime-gpu without"):
        load(request_)


def test_a_provider_that_does_not_load_is_unavailable(ort: Any, gpu: LateGpu, request_: Request) -> None:
    # The library says so in its log only, and computes on the processor.
    ort._told.loads = False
    with pytest.raises(UnavailableError, match=r"fell back to the CPU .* CUDA 13 and cuDNN 9 must be findable"):
        load(request_)


# Graphs


def test_a_graph_is_captured_while_loading_from_inputs_that_are_safe(ort: Any, gpu: LateGpu, request_: Request) -> None:
    # Memory that nobody wrote may hold indices that point anywhere.
    session = load(told(request_, cuda_graph=True))
    assert ort._told.captures == [threading.get_ident()]
    assert gpu.calls.index("cuMemsetD8_v2") < gpu.calls.index("cuStreamSynchronize")
    before = session._session._runs[threading.get_ident()]
    assert before == CALLS_TO_CAPTURE + 1
    session.run(feeds())
    assert session._session._runs[threading.get_ident()] == before + 1


def test_a_graph_is_captured_once_for_every_thread(ort: Any, gpu: LateGpu, request_: Request) -> None:
    # The provider keeps one for each, and a call from another thread would capture in the time that is measured.
    session = load(told(request_, cuda_graph=True))
    got: list[Any] = []

    def work() -> None:
        session.put(feeds(3))
        captured = len(ort._told.captures)
        session.launch()
        session.wait()
        got.extend((captured, len(ort._told.captures), session.get()[0]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert got[:2] == [2, 2]
    np.testing.assert_allclose(got[2], right(request_, 3), atol=1e-6)
    session.run(feeds())
    assert ort._told.captures == [threading.get_ident(), thread.ident]


def test_sessions_that_take_turns_in_a_thread_capture_nothing_again(ort: Any, gpu: LateGpu, request_: Request) -> None:
    sessions: Any = OrtCuda().load(replace(told(request_, cuda_graph=True), sessions=2))
    for _ in range(3):
        for session in sessions:
            session.run(feeds())
    assert [session._session._runs[threading.get_ident()] for session in sessions] == [CALLS_TO_CAPTURE + 1 + 3] * 2


def test_two_threads_never_capture_at_the_same_time(ort: Any, gpu: LateGpu, request_: Request) -> None:
    # What one takes memory for would end the other's capture, once in a hundred runs.
    sessions: Any = OrtCuda().load(replace(told(request_, cuda_graph=True), sessions=2))
    ort._told.capture_s = 0.02
    together = threading.Barrier(2, timeout=10)

    def work(session: Any) -> None:
        together.wait()
        session.run(feeds())

    threads = [threading.Thread(target=work, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ort._told.clashes == []
    assert len(ort._told.captures) == 4


def test_without_a_graph_nothing_is_captured(ort: Any, gpu: LateGpu, request_: Request) -> None:
    load(request_).run(feeds())
    assert ort._told.captures == []


def test_there_is_no_profile_of_single_nodes(request_: Request) -> None:
    with pytest.raises(UnsupportedError, match="counts and times the kernels themselves"):
        OrtCuda().profile(request_, [feeds()], 1, lambda: 0)


def test_the_fake_has_no_member_that_the_library_lacks(gpu: LateGpu) -> None:
    real = pytest.importorskip("onnxruntime")
    fake = fake_onnxruntime.make(gpu)
    for name in (name for name in vars(fake) if not name.startswith("_")):
        members = [member for member in dir(getattr(fake, name)) if not member.startswith("_")]
        assert set(members) <= set(dir(getattr(real, name))), name
