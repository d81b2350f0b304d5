"""PyTorch on a GPU, where there is none: what it is told, what is compiled again, and what its session hands on.

The module really runs, on a processor and on memory that only looks like a GPU's; its streams and graphs are fakes.
What a user would lose: arithmetic that is not what the row says, another GPU's code, answers in another type.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from fake_gpu_engine import use
from fake_gpu_memory import FakeGpu
from onnx.reference import ReferenceEvaluator
from support import tiny_model

from runtimes.base import Request, Tensor
from runtimes.errors import EngineError, UnavailableError, UnsupportedError
from runtimes.gpu.session import Buffer
from runtimes.options import resolve
from runtimes.torch_cuda import CALLS_BEFORE_CAPTURE, MODES, TorchCuda, _Memory, _question

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ident = threading.get_ident


def chosen(**options: Any) -> dict[str, Any]:
    return resolve("torch-cuda", TorchCuda.options, options)


def told(request: Request, **options: Any) -> Request:
    return replace(request, options=chosen(**options))


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    path = tiny_model(tmp_path / "net.onnx")
    cache = tmp_path / "cache"
    cache.mkdir()
    tensors = (Tensor("x", (1, 2, 16), "float32"),), (Tensor("y", (1, 3, 16), "float32"),)
    return Request(path, "0" * 64, *tensors, "fp32", 1, 1, chosen(), cache)


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """PyTorch, whose switches are set back at the end."""
    module = pytest.importorskip("torch")
    monkeypatch.setattr(module.cuda, "get_device_name", lambda: "NVIDIA Fake")
    matmul, cudnn = module.backends.cuda.matmul, module.backends.cudnn
    halves = ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = (module.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark)
        sums = [getattr(matmul, name) for name in halves]
        yield module
        module.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.benchmark = before[1:]
        for name, value in zip(halves, sums, strict=True):
            setattr(matmul, name, value)


class Cuda:
    """As much of ``torch.cuda`` as a session uses, and what was done with it."""

    def __init__(self, torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gpu: FakeGpu = use(monkeypatch, FakeGpu())
        self.current: dict[int, Any] = {}
        self.captures: list[Any] = []
        self.replays = 0
        self.autocasts: list[Any] = []
        self.compiled: list[dict[str, Any]] = []
        to, cuda = torch.nn.Module.to, self

        class Graph:
            work: Any = None

            def replay(self) -> None:
                cuda.replays += 1
                self.work()

        def moved(module: Any, *places: Any, **named: Any) -> Any:
            rest = [place for place in places if place != "cuda"]
            return to(module, *rest, **named) if rest or named else module

        def view(buffer: Buffer) -> Any:
            place = (ctypes.c_char * buffer.host.nbytes).from_address(buffer.address)
            return torch.from_numpy(np.frombuffer(place, buffer.host.dtype).reshape(buffer.host.shape))

        monkeypatch.setattr(torch.cuda, "ExternalStream", lambda handle: ("stream", handle))
        monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: self.current.update({ident(): stream}))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", self._capture)
        monkeypatch.setattr(torch, "autocast", self._autocast)
        monkeypatch.setattr(torch, "compile", lambda call, **how: self.compiled.append(how) or call)
        monkeypatch.setattr(torch.nn.Module, "to", moved)
        monkeypatch.setattr("runtimes.torch_cuda._view", view)

    @contextmanager
    def _capture(self, graph: Any, *, stream: Any) -> Iterator[None]:
        self.captures.append(stream)
        yield
        self.current[ident()] = "another"

    @contextmanager
    def _autocast(self, device: str, **how: Any) -> Iterator[None]:
        self.autocasts.append((device, how["dtype"]))
        yield


@pytest.fixture
def cuda(torch: Any, monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda(torch, monkeypatch)


def load(request: Request) -> Any:
    (session,) = TorchCuda().load(request)
    return session


def feeds(seed: int = 1) -> dict[str, Any]:
    return {"x": np.random.default_rng(seed).standard_normal((1, 2, 16)).astype(np.float32)}


def right(request: Request, seed: int = 1) -> Any:
    return ReferenceEvaluator(str(request.model)).run(None, feeds(seed))[0]


# Before anything runs


def packages(monkeypatch: pytest.MonkeyPatch, gpus: list[str], **installed: str) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr("runtimes.gpu.options.gpu_names", lambda: gpus)
    monkeypatch.setattr(metadata, "version", version)


def test_the_probe_says_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, [], torch="2.13.0")
    found = TorchCuda().probe()
    assert (found.available, found.version) == (False, "2.13.0")
    assert found.reason == "no NVIDIA GPU with a working driver is here"
    assert found.remedy == "run on a machine with a CUDA GPU ('nvidia-smi' must list it)"
    packages(monkeypatch, ["NVIDIA Fake"])
    found = TorchCuda().probe()
    assert (found.available, found.reason) == (False, "torch is not installed")
    assert "rtfloor[torch]" in found.remedy
    packages(monkeypatch, ["NVIDIA Fake"], torch="2.13.0")
    assert TorchCuda().probe().available


def test_a_build_without_cuda_is_unavailable(torch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # It is what some package indexes bring, and shows only when it is imported.
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UnavailableError, match="this build of torch has no CUDA; pip install torch"):
        TorchCuda().start()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    TorchCuda().start()


def test_inductor_keeps_its_code_in_the_cache_and_compiles_in_this_process(request_: Request) -> None:
    assert TorchCuda().environment(request_) == {
        "TORCHINDUCTOR_CACHE_DIR": str(request_.cache),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }


# Compiled code


def test_what_shapes_no_code_compiles_nothing_again(torch: Any, request_: Request) -> None:
    # Compiling takes minutes, and how answers travel is nothing to it.
    asked = told(request_, compiler="inductor")
    for options in ({"transfer": "device"}, {"wait": "block"}, {"cuda_graph": True}):
        assert _question(told(request_, compiler="inductor", **options)) == _question(asked)


def test_what_shapes_code_is_compiled_for(torch: Any, request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"compiler": "inductor-max-autotune"},
        {"precision": "tf32"},
        {"precision": "bf16"},
        {"precision": "bf16", "autocast": True},
        {"channels_last": True},
        {"cudnn_benchmark": False},
    ]
    asked = [told(request_, **({"compiler": "inductor"} | changed)) for changed in changes]
    asked.append(replace(asked[0], model_sha256="1" * 64))
    names = {_question(request) for request in asked}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA Other")
    names.add(_question(asked[0]))
    assert len(names) == len(asked) + 1


def test_a_build_compiles_once_and_leaves_no_mark_where_it_failed(
    torch: Any, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[Any] = []
    fails = [True, False]

    def loaded(self: TorchCuda, request: Request) -> list[Any]:
        if fails.pop(0):
            raise EngineError("inductor could not")
        loads.append(SimpleNamespace(closed=0, close=lambda: loads.append("closed")))
        return loads[-1:]

    monkeypatch.setattr(TorchCuda, "load", loaded)
    asked = told(request_, compiler="inductor")
    with pytest.raises(EngineError):
        TorchCuda().build(asked)
    first = TorchCuda().build(asked)
    assert loads[1:] == ["closed"]
    assert TorchCuda().build(told(request_, compiler="inductor", transfer="device")) == {"cached": True, **first}
    assert TorchCuda().build(request_) == {}
    assert [path.name for path in request_.cache.iterdir()] == [first["artefact"]]


@pytest.mark.parametrize("compiler", ["eager", *MODES])
def test_inductor_gets_the_whole_graph_its_sizes_and_its_mode(cuda: Cuda, request_: Request, compiler: str) -> None:
    # Its own CUDA graphs are left out: ours is the one that the row names.
    load(told(request_, compiler=compiler))
    how = {"eager": None, "inductor": "default", "inductor-max-autotune": "max-autotune-no-cudagraphs"}[compiler]
    assert cuda.compiled == ([{"fullgraph": True, "dynamic": False, "mode": how}] if how else [])


# Arithmetic


@pytest.mark.parametrize(
    ("precision", "matmul", "cudnn"),
    [("fp32", "highest", False), ("tf32", "high", True), ("fp16", "highest", False), ("bf16", "highest", False)],
)
def test_tf32_is_switched_off_unless_it_is_asked_for(
    torch: Any, cuda: Cuda, request_: Request, precision: str, matmul: str, *, cudnn: bool
) -> None:
    # cuDNN has it on by default: a row that says fp32 would be none.
    facts = load(told(request_, precision=precision)).facts()
    assert torch.get_float32_matmul_precision() == matmul
    assert torch.backends.cudnn.allow_tf32 is cudnn
    assert not torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    assert (facts.precision, facts.device, facts.details["float32_matmul_precision"]) == (precision, "cuda:0", matmul)


def test_tf32_that_a_variable_forbids_is_refused(
    torch: Any, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # NVIDIA's libraries obey it without a word, and the row would say tf32.
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with pytest.raises(UnsupportedError, match="NVIDIA_TF32_OVERRIDE=0 forbids TF32"):
        TorchCuda().load(told(request_, precision="tf32"))


@pytest.mark.parametrize("tried", [True, False])
def test_whether_kernels_are_tried_is_what_was_asked_for(
    torch: Any, cuda: Cuda, request_: Request, *, tried: bool
) -> None:
    load(told(request_, cudnn_benchmark=tried))
    assert torch.backends.cudnn.benchmark is tried


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_autocast_without_a_half_precision_is_refused(torch: Any, request_: Request, precision: str) -> None:
    with pytest.raises(UnsupportedError, match="autocast goes with precision=fp16 or bf16"):
        TorchCuda().load(told(request_, precision=precision, autocast=True))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_halves_are_computed_in_and_answers_keep_the_graphs_types(
    torch: Any, cuda: Cuda, request_: Request, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    seen: list[Any] = []
    from runtimes.onnx_torch import OnnxModule

    forward = OnnxModule.forward

    def watched(module: Any, *tensors: Any) -> Any:
        seen.extend(tensor.dtype for tensor in (*tensors, *module.buffers()))
        return forward(module, *tensors)

    monkeypatch.setattr(OnnxModule, "forward", watched)
    (answer,) = load(told(request_, precision=precision)).run(feeds())
    assert set(seen) == {{"fp16": torch.float16, "bf16": torch.bfloat16}[precision]}
    assert answer.dtype == np.float32
    error = np.abs(answer - right(request_)).max()
    assert 0 < error < 0.1


def test_autocast_keeps_weights_and_converts_as_pytorch_chooses(torch: Any, cuda: Cuda, request_: Request) -> None:
    session = load(told(request_, precision="bf16", autocast=True))
    assert set(cuda.autocasts) == {("cuda", torch.bfloat16)}
    # The autocast here does nothing, so what is left is float32.
    np.testing.assert_allclose(session.run(feeds())[0], right(request_), atol=1e-5)
    assert session.facts().details["autocast"] is True


# Sessions


def test_fresh_inputs_give_fresh_answers_that_stay(cuda: Cuda, request_: Request) -> None:
    session = load(request_)
    kept = [session.run(feeds(seed))[0] for seed in range(3)]
    for seed, answer in enumerate(kept):
        np.testing.assert_allclose(answer, right(request_, seed), atol=1e-5)
    session.close()
    assert (cuda.gpu.still_taken(), cuda.gpu.contexts) == ({}, 0)


def test_device_to_device_leaves_the_answers_there(cuda: Cuda, request_: Request) -> None:
    session = load(told(request_, transfer="device"))
    session.put(feeds(4))
    session.launch()
    session.wait()
    np.testing.assert_allclose(session.get()[0], right(request_, 4), atol=1e-5)


def test_a_graph_is_captured_on_our_stream_which_is_current_again_afterwards(cuda: Cuda, request_: Request) -> None:
    session = load(told(request_, cuda_graph=True))
    ours = ("stream", session.gpu.stream.value)
    assert (cuda.captures, cuda.current[ident()]) == ([ours], ours)
    kept, call = session._answers, session._call
    # A graph writes where its capture wrote, so that is where every call's answers are.

    def work() -> None:
        (place,), (fresh,) = kept, call()
        ctypes.memmove(place.data_ptr(), fresh.data_ptr(), place.nbytes)

    session._graph.work = work
    for seed in range(3):
        np.testing.assert_allclose(session.run(feeds(seed))[0], right(request_, seed), atol=1e-5)
    assert (cuda.replays, len(cuda.captures)) == (3, 1)
    assert session.facts().details["cuda_graph"] is True


def test_nothing_is_captured_before_kernels_are_chosen(
    torch: Any, cuda: Cuda, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Loading kernels, or taking memory, cannot be captured.
    calls: list[int] = []
    from runtimes.onnx_torch import OnnxModule

    forward = OnnxModule.forward
    monkeypatch.setattr(OnnxModule, "forward", lambda *given: (calls.append(len(cuda.captures)), forward(*given))[1])
    load(told(request_, cuda_graph=True))
    assert calls == [*[0] * CALLS_BEFORE_CAPTURE, 1]


def test_every_thread_and_session_works_on_its_own_stream(cuda: Cuda, request_: Request) -> None:
    sessions: Any = TorchCuda().load(replace(request_, sessions=2))
    answers: dict[int, Any] = {}
    streams: dict[int, Any] = {}

    def work(number: int) -> None:
        answers[number] = sessions[number].run(feeds(number))[0]
        streams[number] = cuda.current[ident()]

    for number in range(2):
        thread = threading.Thread(target=work, args=(number,))
        thread.start()
        thread.join()
    for number, session in enumerate(sessions):
        np.testing.assert_allclose(answers[number], right(request_, number), atol=1e-5)
        assert streams[number] == ("stream", session.gpu.stream.value)


def test_an_output_whose_shape_the_file_does_not_state_gets_its_memory(cuda: Cuda, request_: Request) -> None:
    model = onnx.load(request_.model)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, request_.model)
    open_ = replace(request_, outputs=(replace(request_.outputs[0], shape=()),))
    np.testing.assert_allclose(load(open_).run(feeds())[0], right(request_), atol=1e-5)


def test_a_model_that_it_cannot_take_is_a_reason(cuda: Cuda, request_: Request) -> None:
    request_.model.write_bytes(b"\x08\x08not a graph")
    with pytest.raises(EngineError, match=r"torch could not load net\.onnx"):
        load(request_)


@pytest.mark.parametrize("kind", ["float32", "float16", "int64", "bool"])
def test_pytorch_is_told_where_our_memory_is_and_what_lies_there(kind: str) -> None:
    host = np.zeros((2, 3), kind)
    said = _Memory(Buffer(Tensor("x", (2, 3), kind), 4711, host)).__cuda_array_interface__
    assert said == {"shape": (2, 3), "typestr": host.dtype.str, "data": (4711, False), "version": 3}
