"""ONNX Runtime's TensorRT provider: what it is told, and which of its engines are used again. Nothing runs on a GPU."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_gpu_memory import FakeGpu
from onnx import TensorProto, helper
from support import tiny_model

from runtimes.base import Request, Tensor
from runtimes.errors import UnavailableError, UnsupportedError
from runtimes.gpu.driver import Driver
from runtimes.installed import Probe
from runtimes.options import resolve
from runtimes.ort_cuda import OrtCuda
from runtimes.ort_tensorrt import ENGINES, TIMINGS, OrtTensorRt, OrtTensorRtSession, _nodes

if TYPE_CHECKING:
    from runtimes.base import Session
    from runtimes.gpu.device import Gpu

# Read from the provider's library, onnxruntime-gpu 1.31.1; it takes a name it does not know for an error.
KNOWN = { "trt_auxiliary_streams", "trt_bf16_enable", "trt_builder_optimization_level",
    "trt_context_memory_sharing_enable", "trt_cuda_graph_enable", "trt_engine_cache_enable", "trt_engine_cache_path",
    "trt_fp16_enable", "trt_layer_norm_fp32_fallback", "trt_max_workspace_size", "trt_min_subgraph_size",
    "trt_sparsity_enable", "trt_timing_cache_enable", "trt_timing_cache_path", "user_compute_stream",
}  # fmt: skip
PLACES = {ENGINES: "/cache/engines", TIMINGS: "/cache/timings"}


def chosen(**options: Any) -> dict[str, Any]:
    return resolve("ort-tensorrt", OrtTensorRt.options, options)


def settings(**options: Any) -> dict[str, str]:
    ((provider, given), _) = OrtTensorRt().provider_settings({**chosen(**options), **PLACES}, 4711)
    assert provider == "TensorrtExecutionProvider"
    return dict(given)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    path = tiny_model(tmp_path / "net.onnx")
    cache = tmp_path / "cache"
    cache.mkdir()
    tensors = (Tensor("x", (1, 2, 16), "float32"),), (Tensor("y", (1, 3, 16), "float32"),)
    return Request(path, "0" * 64, *tensors, "fp32", 1, 1, chosen(), cache)


class Loads:
    """Stands for a session; remembers where each load was told to keep engines."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folders: list[Path] = []
        self.dies = False
        loads = self

        def loaded(self: OrtTensorRt, request: Request, gpu: Gpu) -> Session:
            folder = Path(str(request.options[ENGINES]))
            loads.folders.append(folder)
            (folder / "a.engine").write_bytes(b"engine")
            if loads.dies:
                raise KeyboardInterrupt
            return loads  # type: ignore[return-value]

        monkeypatch.setattr(OrtCuda, "_loaded", loaded)

    def close(self) -> None:
        pass


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    gpu = FakeGpu()
    monkeypatch.setattr(Driver, "load", classmethod(lambda cls: cls(gpu)))
    return Loads(monkeypatch)


def test_every_name_is_one_that_the_provider_knows() -> None:
    given = settings(trt_max_workspace_size=1 << 30)
    assert set(given) == KNOWN
    assert all(isinstance(value, str) for value in given.values())


def test_both_providers_work_on_our_stream() -> None:
    (_, trt), (name, cuda) = OrtTensorRt().provider_settings({**chosen(cuda_graph=True), **PLACES}, 4711)
    assert name == "CUDAExecutionProvider"
    assert (trt["user_compute_stream"], cuda["user_compute_stream"]) == ("4711", "4711")
    # One graph, and TensorRT's: the other provider would claim it, and has no node.
    assert (trt["trt_cuda_graph_enable"], cuda["enable_cuda_graph"]) == ("True", "0")


@pytest.mark.parametrize(
    ("precision", "fp16", "bf16", "tf32"),
    [
        ("fp32", "False", "False", "0"),
        ("tf32", "False", "False", "1"),
        ("fp16", "True", "False", "0"),
        ("bf16", "False", "True", "0"),
    ],
)
def test_the_precision_reaches_both_providers_and_the_environment(
    request_: Request, precision: str, fp16: str, bf16: str, tf32: str
) -> None:
    (_, trt), (_, cuda) = OrtTensorRt().provider_settings({**chosen(precision=precision), **PLACES}, 1)
    assert (trt["trt_fp16_enable"], trt["trt_bf16_enable"], cuda["use_tf32"]) == (fp16, bf16, tf32)
    # The provider has no option for it: without the variable, fp32 would be TF32.
    variables = OrtTensorRt().environment(replace(request_, options=chosen(precision=precision)))
    assert variables == ({} if precision == "tf32" else {"NVIDIA_TF32_OVERRIDE": "0"})


def test_engines_are_built_once_and_found_again(loads: Loads, request_: Request) -> None:
    runtime = OrtTensorRt()
    first = runtime.build(request_)
    assert (first["artefact_bytes"], "cached" in first) == (len(b"engine"), False)
    assert runtime.build(replace(request_, options=chosen(transfer="device", wait="yield"))) == {
        "cached": True,
        **first,
    }
    assert len(runtime.load(replace(request_, sessions=2))) == 2
    assert len(loads.folders) == 3
    assert len(set(loads.folders)) == 1


def test_an_interrupted_build_is_done_again(loads: Loads, request_: Request) -> None:
    # Otherwise half an engine would be read for ever.
    loads.dies = True
    with pytest.raises(KeyboardInterrupt):
        OrtTensorRt().build(request_)
    loads.dies = False
    leftover = loads.folders[0] / "b.engine"
    leftover.write_bytes(b"half")
    assert "cached" not in OrtTensorRt().build(request_)
    assert not leftover.exists()


@pytest.mark.parametrize(
    "changed", [{"precision": "tf32"}, {"trt_builder_optimization_level": 5}, {"graph_optimization_level": "basic"}]
)
def test_an_option_that_shapes_engines_makes_others(loads: Loads, request_: Request, changed: dict[str, Any]) -> None:
    # The provider's own file names leave these out.
    OrtTensorRt().build(request_)
    OrtTensorRt().build(replace(request_, options=chosen(**changed)))
    assert len(set(loads.folders)) == 2


def test_a_fallback_for_norms_needs_float16(loads: Loads, request_: Request) -> None:
    asked = replace(request_, options=chosen(trt_layer_norm_fp32_fallback=True))
    with pytest.raises(UnsupportedError, match="precision=fp16"):
        OrtTensorRt().build(asked)


def test_nodes_are_counted_by_provider(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    given = ort.SessionOptions()
    given.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = ort.InferenceSession(str(tiny_model(tmp_path / "net.onnx")), given, ["CPUExecutionProvider"])
    if not hasattr(session, "get_provider_graph_assignment_info"):
        pytest.skip("this onnxruntime does not tell")
    assert _nodes(session) == {"CPUExecutionProvider": 2}
    assert _nodes(object()) == {}
    assert OrtTensorRt()._session_kind() is OrtTensorRtSession


def test_a_missing_tensorrt_comes_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrtCuda, "start", lambda self: None)
    monkeypatch.setattr("runtimes.ort_tensorrt.load_library", lambda name: None)
    with pytest.raises(UnavailableError, match=r"libnvinfer\.so\.10; pip install 'tensorrt-cu13<11'"):
        OrtTensorRt().start()


def test_a_library_of_the_right_version_is_found_without_loading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtimes.ort_cuda.OrtCuda._packages", lambda self: Probe(True, "1"))
    monkeypatch.setattr("runtimes.ort_tensorrt.find_library", lambda name: "libnvinfer.so.11")
    assert "nowhere to be found" in OrtTensorRt()._packages().reason
    (tmp_path / "tensorrt_libs").mkdir()
    (tmp_path / "tensorrt_libs" / "libnvinfer.so.10").write_bytes(b"no library")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert OrtTensorRt()._packages().available


def test_naming_it_imports_no_engine() -> None:
    code = "import sys; from runtimes import registry; registry.get('ort-tensorrt').probe(); "
    code += (
        "registry.get('tensorrt').probe(); assert not {'onnxruntime', 'tensorrt', 'tensorrt_libs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])


def test_the_binding_takes_every_setting() -> None:
    """Where the package is, with or without TensorRT and a GPU: it reads settings before it needs either."""
    ort = pytest.importorskip("onnxruntime")
    if "TensorrtExecutionProvider" not in ort.get_all_providers():
        pytest.skip("this onnxruntime has no TensorRT provider")
    from onnxruntime.capi import _pybind_state as binding

    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    options = ort.SessionOptions()
    session = binding.InferenceSession(options, model.SerializeToString(), False, False)
    given = settings(trt_max_workspace_size=1 << 30)
    said = ""
    try:
        session.initialize_session(["TensorrtExecutionProvider"], [given], set())
    except Exception as error:  # noqa: BLE001  # without TensorRT it fails later, and otherwise
        said = str(error)
    assert "should be" not in said
    assert "Invalid TensorRT EP option" not in said
