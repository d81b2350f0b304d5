"""TVM on a GPU, where there is none: its compiler, what it compiles again, its code up to the GPU, and its session.

What a user would lose: another GPU's code, a minute of compiling for nothing, two channels in one piece of memory, a
failure without a next step. How the real virtual machine behaves on a GPU is not shown here.
"""

from __future__ import annotations

import ctypes
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from fake_gpu_engine import use
from fake_gpu_memory import FakeGpu
from onnx import TensorProto, helper, numpy_helper
from support import tiny_model

from runtimes.base import Request, Tensor
from runtimes.errors import EngineError, UnavailableError, UnsupportedError
from runtimes.options import resolve
from runtimes.tvm_cuda import CUDART, FIRST_CALLS, TvmCuda, TvmGpuSession, _capability

if TYPE_CHECKING:
    from runtimes.gpu.device import Gpu

X, Y = Tensor("x", (1, 2, 16), "float32"), Tensor("y", (1, 3, 16), "float32")


def chosen(**options: Any) -> dict[str, Any]:
    return resolve("tvm-cuda", TvmCuda.options, options)


def told(request: Request, **options: Any) -> Request:
    return replace(request, options=chosen(**options))


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    cache = tmp_path / "cache"
    cache.mkdir()
    return Request(tiny_model(tmp_path / "net.onnx"), "0" * 64, (X,), (Y,), "fp32", 1, 1, chosen(), cache)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> TvmCuda:
    """TVM, and a GPU of capability 9.0 as far as compiling goes."""
    pytest.importorskip("tvm")
    monkeypatch.setattr("runtimes.tvm_cuda._capability", lambda: 90)
    return TvmCuda()


# Before anything runs


def packages(monkeypatch: pytest.MonkeyPatch, gpus: list[str], home: Path | None, **installed: str) -> None:
    def version(name: str) -> str:
        if (key := name.replace("-", "_")) not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[key]

    monkeypatch.setattr("runtimes.gpu.options.gpu_names", lambda: gpus)
    monkeypatch.setattr("runtimes.tvm_cuda.compiler_home", lambda: home)
    monkeypatch.setattr(metadata, "version", version)


def test_without_a_compiler_the_probe_says_which_packages_bring_one(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, ["NVIDIA Fake"], None, apache_tvm="0.27", apache_tvm_ffi="0.1")
    found = TvmCuda().probe()
    assert (found.available, found.version) == (False, "0.27")
    assert found.reason == "tvm compiles what it writes with nvcc, and none was found"
    assert found.remedy.startswith("pip install nvidia-cuda-nvcc nvidia-cuda-runtime nvidia-cuda-cccl")
    packages(monkeypatch, ["NVIDIA Fake"], Path("/cuda"), apache_tvm="0.27", apache_tvm_ffi="0.1")
    assert TvmCuda().probe().available


def test_what_else_is_missing_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, ["NVIDIA Fake"], None)
    found = TvmCuda().probe()
    assert found.reason == "apache-tvm and apache-tvm-ffi are not installed"
    assert "rtfloor[tvm-gpu]" in found.remedy
    packages(monkeypatch, [], None, apache_tvm="0.27", apache_tvm_ffi="0.1")
    found = TvmCuda().probe()
    assert found.reason.startswith("no NVIDIA GPU with a working driver is here; and tvm compiles what it writes")
    assert found.remedy.startswith("run on a machine with a CUDA GPU")
    assert ", then pip install nvidia-cuda-nvcc" in found.remedy


def test_the_compiler_is_the_one_that_was_found_and_is_exact_unless_asked(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    # TVM's own default divides coarsely: its answers would be off by more than float32 is.
    monkeypatch.setattr("runtimes.tvm_cuda.compiler_home", lambda: Path("/packages/nvidia/cu13"))
    assert TvmCuda().environment(request_) == {
        "TVM_CUDA_COMPILE_MODE": "nvcc",
        "CUDA_PATH": "/packages/nvidia/cu13",
        "TVM_CUDA_NVCC_NO_FAST_MATH": "1",
    }
    fast = TvmCuda().environment(told(request_, fast_math=True))
    assert fast == {"TVM_CUDA_COMPILE_MODE": "nvcc", "CUDA_PATH": "/packages/nvidia/cu13"}
    monkeypatch.setattr("runtimes.tvm_cuda.compiler_home", lambda: None)
    assert "CUDA_PATH" not in TvmCuda().environment(request_)


def test_a_missing_runtime_library_comes_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.tvm_cuda.load_library", lambda name: None)
    with pytest.raises(UnavailableError, match=rf"tvm needs {CUDART}; pip install nvidia-cuda-runtime"):
        TvmCuda().start()


def test_a_build_of_tvm_without_cuda_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tvm")
    import tvm_ffi
    from tvm import relax  # noqa: F401  # what it looks up while it is imported, it must find

    monkeypatch.setattr("runtimes.tvm_cuda.load_library", lambda name: object())
    monkeypatch.setattr(tvm_ffi, "get_global_func", lambda name, *, allow_missing: {"device_api.cuda": None}[name])
    with pytest.raises(UnavailableError, match=r"no CUDA, or its library libtvm_runtime_cuda\.so does not load"):
        TvmCuda().start()


def test_two_sessions_at_once_are_refused_with_the_reason(request_: Request) -> None:
    # They answered wrongly, now and then: one pool of memory serves both, and knows nothing of streams.
    with pytest.raises(UnsupportedError, match=r"its pool is one for all sessions .* two at once would answer wrongly"):
        TvmCuda().load(replace(request_, sessions=2))


def test_there_is_no_profile_of_single_nodes(request_: Request) -> None:
    with pytest.raises(UnsupportedError, match="counts and times them"):
        TvmCuda().profile(request_, [], 1, lambda: 0)


def test_code_is_for_the_gpu_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeGpu(capability=87))
    assert _capability() == 87
    use(monkeypatch, FakeGpu(gpus=0))
    with pytest.raises(UnavailableError, match="shows no GPU"):
        _capability()


# Compiled code


def test_the_target_says_what_gpu_it_is_for_and_asks_no_library(runtime: TvmCuda, request_: Request) -> None:
    target = runtime._target(request_)
    assert (target.kind.name, target.attrs["arch"]) == ("cuda", "sm_90")
    assert target.host.kind.name == "llvm"
    limits = {"max_threads_per_block": 1024, "max_shared_memory_per_block": 48 << 10, "thread_warp_size": 32}
    assert {name: target.attrs[name] for name in limits} == limits


def test_what_leaves_the_code_as_it_is_compiles_nothing_again(runtime: TvmCuda, request_: Request) -> None:
    first = runtime._artefact(request_)
    for changed in (
        told(request_, transfer="device"),
        told(request_, wait="block"),
        replace(request_, threads=7),
    ):
        assert runtime._artefact(changed) == first


def test_what_shapes_the_code_makes_another_library(
    runtime: TvmCuda, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request_, told(request_, cuda_graph=True), told(request_, fast_math=True)]
    asked.append(replace(request_, model_sha256="1" * 64))
    names = {runtime._artefact(request) for request in asked}
    monkeypatch.setattr("runtimes.tvm_cuda._capability", lambda: 100)
    names.add(runtime._artefact(request_))
    assert len(names) == len(asked) + 1
    assert all(name.name.startswith("net-tvm-cuda-") for name in names)


@pytest.fixture
def source(runtime: TvmCuda) -> TvmCuda:
    """TVM that goes as far as CUDA's source: without CUDA's own library it calls no compiler."""
    import tvm_ffi

    if tvm_ffi.get_global_func("ffi.Module.create.cuda", allow_missing=True) is not None:
        pytest.skip("here TVM goes on to call nvcc, which the contract's tests are about")
    return runtime


def test_a_graph_becomes_kernels_for_threads_of_a_gpu(source: TvmCuda, request_: Request) -> None:
    # Without a schedule for GPUs every kernel would run on one thread.
    facts = source.build(request_)
    code = (request_.cache / facts["artefact"]).read_bytes()
    assert b"__global__" in code
    assert b"threadIdx.x" in code
    # The convolution and what follows it are one.
    assert code.count(b"__global__ void __launch_bounds__(128) fused_conv1d_relu_kernel(float*") == 2
    assert '"arch":"sm_90"' in facts["target"]
    assert source.build(request_) == {"cached": True, **facts}


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_graph_is_captured_where_it_is_asked_for(source: TvmCuda, request_: Request, *, cuda_graph: bool) -> None:
    # Only what neither reads an input nor writes an answer can be captured by TVM: here the middle of three.
    weight = numpy_helper.from_array(np.ones((2, 2, 3), np.float32), "w")
    nodes = [helper.make_node("Conv", [f"v{n}", "w"], [f"v{n + 1}"], pads=[1, 1]) for n in range(3)]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 16]) for name in ("v0", "v3")]
    graph = helper.make_graph(nodes, "chain", value[:1], value[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), request_.model)
    tensors = {"inputs": (replace(X, name="v0"),), "outputs": (Tensor("v3", (1, 2, 16), "float32"),)}
    facts = source.build(told(replace(request_, **tensors), cuda_graph=cuda_graph))
    assert (b"cuda_graph" in (request_.cache / facts["artefact"]).read_bytes()) is cuda_graph


def test_an_operator_that_it_lacks_is_unsupported(runtime: TvmCuda, request_: Request) -> None:
    node = helper.make_node("Det", ["x"], ["y"])
    shapes = {"x": [3, 3], "y": []}
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph([node], "strange", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), request_.model)
    with pytest.raises(EngineError, match=r"tvm could not compile net\.onnx: "):
        runtime.build(replace(request_, inputs=(Tensor("x", (3, 3), "float32"),)))


# Sessions, over a virtual machine that is a fake


class Machine:
    """Stands for TVM: tensors are arrays, and the function ``main`` is one of Python's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, main: Any) -> None:
        self.gpu: FakeGpu = use(monkeypatch, FakeGpu())
        self.calls = 0
        self.stream = 0
        tvm: Any = ModuleType("tvm")
        tvm.cuda = lambda number: SimpleNamespace(
            set_raw_stream=lambda stream: setattr(self, "stream", stream), sync=lambda: None
        )
        tvm.runtime = SimpleNamespace(
            load_module=lambda path: path,
            empty=lambda shape, kind, device: OnDevice(np.full(shape, 99, kind)),
            tensor=lambda array, device: OnDevice(array.copy()),
        )
        tvm.relax = SimpleNamespace(VirtualMachine=lambda library, device: {"main": self._called})
        monkeypatch.setitem(sys.modules, "tvm", tvm)
        self._main = main

    def _called(self, *tensors: OnDevice) -> Any:
        self.calls += 1
        answer = self._main(*(tensor.values for tensor in tensors))
        return [OnDevice(one) for one in answer] if isinstance(answer, tuple) else OnDevice(answer)

    def session(self, request: Request) -> TvmGpuSession:
        from runtimes.gpu.session import open_gpu

        gpu: Gpu = open_gpu("spin")
        return TvmGpuSession(request, gpu, Path("net.so"), "the target", "Apache TVM")


class OnDevice:
    """A tensor of the fake."""

    def __init__(self, values: Any) -> None:
        self.values = np.ascontiguousarray(values)
        self.shape = self.values.shape
        self._place = self.values.ctypes.data

    def data_ptr(self) -> int:
        return self._place

    def __del__(self) -> None:
        # What nobody holds on to any more is overwritten by the next.
        ctypes.memset(self._place, 0xA5, self.values.nbytes)


def test_inputs_are_given_by_position_and_every_answer_is_read_where_it_lies(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    inputs = (Tensor("b.0", (2,), "float32"), Tensor("a", (2,), "int64"))
    outputs = (Tensor("difference", (2,), "float32"), Tensor("next", (2,), "int64"))
    machine = Machine(monkeypatch, lambda b, a: ((b - a).astype(np.float32), a + 1))
    session = machine.session(replace(request_, inputs=inputs, outputs=outputs))
    kept = [session.run({"a": np.int64([1, n]), "b.0": np.float32([5, 6])}) for n in (2, 3)]
    assert [[answer.tolist() for answer in answers] for answers in kept] == [[[4, 4], [2, 3]], [[4, 3], [2, 4]]]
    session.put({"a": np.int64([0, 0]), "b.0": np.float32([7, 8])})
    session.launch()
    session.wait()
    assert session.get()[0].tolist() == [7, 8]
    assert machine.stream == session.gpu.stream.value
    session.close()


def test_an_output_whose_shape_the_file_does_not_state_gets_its_memory(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    # Taken for a single number, it would be answered with one.
    machine = Machine(monkeypatch, lambda x: np.full((1, 3, 16), x[0, 0, 0], np.float32))
    session = machine.session(replace(request_, outputs=(replace(Y, shape=()),)))
    (answer,) = session.run({"x": np.full((1, 2, 16), 7, np.float32)})
    assert (answer.shape, set(answer.flat)) == ((1, 3, 16), {7.0})
    session.close()


def test_first_calls_belong_to_loading_and_read_no_memory_that_nobody_wrote(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    seen: list[Any] = []
    machine = Machine(monkeypatch, lambda x: (seen.append(x.copy()), np.zeros((1, 3, 16), np.float32))[1])
    session = machine.session(request_)
    assert machine.calls == len(seen) == FIRST_CALLS
    assert not np.any(seen)
    facts = session.facts()
    assert (facts.precision, facts.device) == ("fp32", "cuda:0")
    assert facts.details == {"target": "the target", "tuned": False, "cuda_graph": False}
    session.close()
    assert (machine.gpu.still_taken(), machine.gpu.contexts) == ({}, 0)


def test_a_call_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, request_: Request) -> None:
    def main(x: Any) -> Any:
        if x.any():
            raise RuntimeError("CUDA: an illegal memory access\nwas encountered")
        return np.zeros((1, 3, 16), np.float32)

    session = Machine(monkeypatch, main).session(request_)
    with pytest.raises(EngineError, match=r"^Apache TVM could not answer: CUDA: an illegal memory access was encou"):
        session.run({"x": np.ones((1, 2, 16), np.float32)})
    session.close()
