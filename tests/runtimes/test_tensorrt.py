"""The TensorRT adapter, over a fake of the library: what is asked of it, what is kept, and what is said when it fails.

What a user would lose: another model's or GPU's engine answering, arithmetic that is not what the row says, one
channel's answers in the other's, a failure without a reason. Nothing here says how the real library behaves.
"""

from __future__ import annotations

import builtins
import hashlib
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fake_gpu_memory
import fake_tensorrt
import numpy as np
import onnx
import pytest
from fake_gpu_memory import FakeGpu
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from runtimes import registry
from runtimes.base import Request, Tensor
from runtimes.errors import EngineError, UnavailableError, UnsupportedError
from runtimes.gpu.driver import Driver
from runtimes.options import resolve
from runtimes.tensorrt_rt import TensorRt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runtimes.gpu.session import GpuSession

INPUT, OUTPUT = Tensor("x", (1, 2, 16), "float32"), Tensor("y", (1, 3, 16), "float32")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return use_gpu(monkeypatch, FakeGpu())


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu) -> Any:
    return use_library(monkeypatch, gpu)


@pytest.fixture
def runtime(trt: Any) -> TensorRt:
    started = TensorRt()
    started.start()
    return started


def use_gpu(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu) -> FakeGpu:
    monkeypatch.setattr(Driver, "load", classmethod(lambda cls: cls(gpu)))
    return gpu


def use_library(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu, version: str = fake_tensorrt.V10) -> Any:
    made = fake_tensorrt.make(gpu, version)
    monkeypatch.setitem(sys.modules, "tensorrt", made)
    return made


def save(path: Path, nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], **weights: Any) -> Path:
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def value(name: str, shape: Any, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def convolution(path: Path, batch: int | str = 1, out: Any = (1, 3, 16)) -> Path:
    weight = np.random.default_rng(7).standard_normal((3, 2, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[2, 0]), helper.make_node("Relu", ["c"], ["y"])]
    shape = None if out is None else [batch, *out[1:]]
    return save(path, nodes, [value("x", [batch, 2, 16])], [value("y", shape)], w=weight)


def ask(
    path: Path, inputs: tuple[Tensor, ...] = (INPUT,), outputs: tuple[Tensor, ...] = (OUTPUT,), **options: Any
) -> Request:
    cache = path.parent / "cache"
    cache.mkdir(exist_ok=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Request(path, digest, inputs, outputs, "fp32", 1, 1, resolve("tensorrt", TensorRt.options, options), cache)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return ask(convolution(tmp_path / "net.onnx"))


def told(request: Request, **options: Any) -> Request:
    return replace(request, options={**request.options, **options})


def feeds(request: Request, seed: int = 1) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {t.name: generator.standard_normal(t.shape).astype(t.dtype) for t in request.inputs}


def right(request: Request, given: dict[str, Any]) -> list[Any]:
    return list(ReferenceEvaluator(str(request.model)).run(None, given))


# Engines


def test_a_second_build_is_found(runtime: TensorRt, trt: Any, request_: Request) -> None:
    first = runtime.build(request_)
    again = runtime.build(
        told(replace(request_, threads=2, sessions=2), transfer="device", cuda_graph=True, wait="block")
    )
    assert (again["cached"], again["artefact"]) == (True, first["artefact"])
    assert "cached" not in first
    assert len(trt._told.built) == 1
    assert trt._told.plugins
    assert first["artefact_bytes"] == (request_.cache / first["artefact"]).stat().st_size
    assert (first["gpu"], first["capability"], first["tensorrt"]) == ("NVIDIA Fake", 90, "10.16.1.11")


@pytest.mark.parametrize("damage", ["truncated", "other", "unsealed"])
def test_a_damaged_engine_is_built_again(runtime: TensorRt, trt: Any, request_: Request, damage: str) -> None:
    engine = request_.cache / runtime.build(request_)["artefact"]
    if damage == "unsealed":
        engine.with_suffix(".sha256").unlink()
    else:
        engine.write_bytes(engine.read_bytes()[:-9] if damage == "truncated" else b"something else")
    assert "cached" not in runtime.build(request_)
    assert len(trt._told.built) == 2
    assert runtime.build(request_)["cached"]
    assert not list(request_.cache.glob("unfinished*"))


@pytest.mark.parametrize(
    "changed",
    [
        {"precision": "tf32"},
        {"precision": "fp16"},
        {"strongly_typed": True},
        {"builder_optimization_level": 5},
        {"max_aux_streams": 0},
        {"workspace_mib": 64},
        {"sparsity": True},
    ],
)
def test_an_option_that_shapes_the_engine_makes_another(
    runtime: TensorRt, trt: Any, request_: Request, changed: dict[str, Any]
) -> None:
    assert runtime.build(request_)["artefact"] != runtime.build(told(request_, **changed))["artefact"]
    assert len(trt._told.built) == 2


@pytest.mark.parametrize("other", [{"name": "NVIDIA Other"}, {"version": 13030}, {"capability": 100}])
def test_another_gpu_or_driver_gets_an_engine_of_its_own(
    runtime: TensorRt, request_: Request, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    first = runtime.build(request_)["artefact"]
    use_gpu(monkeypatch, FakeGpu(**other))
    assert runtime.build(request_)["artefact"] != first


def test_another_version_gets_an_engine_of_its_own(
    runtime: TensorRt, gpu: FakeGpu, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runtime.build(request_)["artefact"]
    use_library(monkeypatch, gpu, fake_tensorrt.V11)
    assert TensorRt().build(request_)["artefact"] != first


def test_an_engine_of_another_gpu_is_refused_with_a_next_step(
    runtime: TensorRt, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file that was renamed: TensorRT is the last to notice.
    engine = request_.cache / runtime.build(request_)["artefact"]
    other = use_gpu(monkeypatch, FakeGpu(name="NVIDIA Other"))
    use_library(monkeypatch, other)
    elsewhere = TensorRt()
    wanted = request_.cache / elsewhere.build(request_)["artefact"]
    engine.replace(wanted)
    engine.with_suffix(".sha256").replace(wanted.with_suffix(".sha256"))
    with pytest.raises(EngineError, match=r"delete it .* built by 10\.16\.1\.11 for NVIDIA Fake"):
        elsewhere.load(request_)


def test_timings_are_kept_for_the_next_build_and_not_for_another_gpu(
    runtime: TensorRt, trt: Any, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise every build would time every kernel again, for minutes.
    runtime.build(request_)
    runtime.build(told(request_, builder_optimization_level=4))
    assert trt._told.timings == [b"", b"NVIDIA Fake timings"]
    other = use_library(monkeypatch, use_gpu(monkeypatch, FakeGpu(name="NVIDIA Other")))
    TensorRt().build(request_)
    assert other._told.timings == [b""]
    assert len(list(request_.cache.glob("timings-*.bin"))) == 2


@pytest.mark.parametrize("content", [b"", b"NVIDIA Fake tim"])
def test_damaged_timings_are_begun_anew(runtime: TensorRt, trt: Any, request_: Request, content: bytes) -> None:
    runtime.build(request_)
    (timings,) = request_.cache.glob("timings-*.bin")
    timings.write_bytes(content)
    runtime.build(told(request_, sparsity=True))
    assert trt._told.timings == [b"", b""]
    assert timings.read_bytes() == b"NVIDIA Fake timings"


def test_timings_that_tensorrt_refuses_are_begun_anew(
    runtime: TensorRt, trt: Any, request_: Request, gpu: FakeGpu
) -> None:
    from runtimes.artefacts import keep

    runtime.build(request_)
    (timings,) = request_.cache.glob("timings-*.bin")
    keep(timings, b"another GPU's timings")
    runtime.build(told(request_, sparsity=True))
    assert trt._told.timings == [b"", b""]


# What the builder is told


@pytest.mark.parametrize(
    ("precision", "flags"),
    [("fp32", set()), ("tf32", {"TF32"}), ("fp16", {"FP16"}), ("bf16", {"BF16"})],
)
def test_the_flags_are_those_of_the_precision(
    runtime: TensorRt, trt: Any, request_: Request, precision: str, flags: set[str]
) -> None:
    # TF32 is on unless it is switched off: a row that says fp32 would be none.
    runtime.build(told(request_, precision=precision))
    assert trt._told.built[0]["flags"] == flags


def test_the_builder_gets_every_limit(runtime: TensorRt, trt: Any, request_: Request) -> None:
    given = {"builder_optimization_level": 1, "max_aux_streams": 0, "workspace_mib": 2, "sparsity": True}
    runtime.build(told(request_, strongly_typed=True, **given))
    built = trt._told.built[0]
    assert (built["level"], built["aux_streams"], built["pools"]) == (1, 0, {"WORKSPACE": 2 << 20})
    assert built["flags"] == {"SPARSE_WEIGHTS"}
    assert built["typed"]


def test_nothing_is_limited_unless_asked(runtime: TensorRt, trt: Any, request_: Request) -> None:
    runtime.build(request_)
    built = trt._told.built[0]
    assert (built["level"], built["aux_streams"], built["pools"], built["typed"]) == (3, -1, {}, False)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("version", [fake_tensorrt.V10, fake_tensorrt.V11])
def test_a_strongly_typed_network_says_how_to_get_float16(
    gpu: FakeGpu, request_: Request, monkeypatch: pytest.MonkeyPatch, precision: str, version: str
) -> None:
    # TensorRT 11 has nothing else: asking for the flag would be an AttributeError.
    use_library(monkeypatch, gpu, version)
    asked = told(request_, precision=precision, strongly_typed=version == fake_tensorrt.V10)
    with pytest.raises(UnsupportedError, match="fp16_io32"):
        TensorRt().build(asked)


def test_tensorrt_11_builds_and_answers(gpu: FakeGpu, request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = use_library(monkeypatch, gpu, fake_tensorrt.V11)
    (session,) = TensorRt().load(request_)
    assert (trt._told.built[0]["typed"], trt._told.built[0]["flags"]) == (True, set())
    np.testing.assert_allclose(session.run(feeds(request_))[0], right(request_, feeds(request_))[0], atol=1e-6)
    facts = session.facts()
    assert (facts.precision, facts.details["strongly_typed"], facts.details["layers"]) == ("fp32", True, {"fp32": 2})


def norm(path: Path, *, whole: bool) -> Path:
    if whole:
        nodes = [helper.make_node("LayerNormalization", ["x", "s"], ["y"])]
        return save(path, nodes, [value("x", [2, 8])], [value("y", [2, 8])], s=np.ones(8, np.float32))
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"]),
        helper.make_node("Sub", ["x", "mean"], ["off"]),
        helper.make_node("Pow", ["off", "two"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["variance"]),
        helper.make_node("Add", ["variance", "epsilon"], ["sum"]),
        helper.make_node("Sqrt", ["sum"], ["root"]),
        helper.make_node("Div", ["off", "root"], ["normal"]),
        helper.make_node("Sqrt", ["two"], ["another"]),
        helper.make_node("Mul", ["normal", "another"], ["y"]),
    ]
    weights = {"axes": np.int64([-1]), "two": np.float32(2), "epsilon": np.float32(1e-5)}
    return save(path, nodes, [value("x", [2, 8])], [value("y", [2, 8])], **weights)


NORM = {"inputs": (Tensor("x", (2, 8), "float32"),), "outputs": (Tensor("y", (2, 8), "float32"),)}


@pytest.mark.parametrize(("chosen", "ran"), [("own", []), ("fp16", ["HALF"])])
def test_a_norm_stays_in_float32_unless_it_is_forced(
    runtime: TensorRt, trt: Any, tmp_path: Path, chosen: str, ran: list[str]
) -> None:
    asked = ask(norm(tmp_path / "n.onnx", whole=True), **NORM, precision="fp16", layer_norm=chosen)
    facts = runtime.build(asked)
    assert trt._told.built[0]["norms"] == ran
    assert (facts["norms_forced_to_fp16"], facts["norm_parts_forced_to_fp16"]) == (len(ran), 0)
    assert trt._told.built[0]["flags"] == {"FP16"}


def test_a_norm_that_is_written_out_is_forced_part_by_part(runtime: TensorRt, trt: Any, tmp_path: Path) -> None:
    asked = ask(norm(tmp_path / "n.onnx", whole=False), **NORM, precision="fp16", layer_norm="fp16")
    assert runtime.build(asked)["norm_parts_forced_to_fp16"] == 7
    built = trt._told.built[0]
    assert set(built["constraints"]) == {"mean", "off", "square", "variance", "sum", "root", "normal"}
    assert built["flags"] == {"FP16", "OBEY_PRECISION_CONSTRAINTS"}


def test_an_answer_keeps_its_type_when_a_norm_is_forced(runtime: TensorRt, trt: Any, tmp_path: Path) -> None:
    path = norm(tmp_path / "n.onnx", whole=False)
    model = onnx.load(path)
    del model.graph.node[-2:]
    model.graph.output[0].name = "normal"
    onnx.save(model, path)
    outputs = (Tensor("normal", (2, 8), "float32"),)
    runtime.build(ask(path, NORM["inputs"], outputs, precision="fp16", layer_norm="fp16"))
    assert "normal" not in trt._told.built[0]["constraints"]


def test_forcing_norms_needs_float16(runtime: TensorRt, request_: Request) -> None:
    with pytest.raises(UnsupportedError, match="precision=fp16"):
        runtime.build(told(request_, layer_norm="fp16"))


# Models that it cannot take


def test_a_node_it_does_not_know_is_named(runtime: TensorRt, tmp_path: Path) -> None:
    node = helper.make_node("Det", ["x"], ["y"], name="the one")
    path = save(tmp_path / "n.onnx", [node], [value("x", [3, 3])], [value("y", [])])
    asked = ask(path, (Tensor("x", (3, 3), "float32"),), (Tensor("y", (), "float32"),))
    with pytest.raises(UnsupportedError, match=r"Det 'the one': no importer .* \(UNSUPPORTED_NODE\)") as caught:
        runtime.build(asked)
    assert "\n" not in str(caught.value)
    assert not list(asked.cache.iterdir())


def test_a_file_that_is_no_model_is_said(runtime: TensorRt, tmp_path: Path) -> None:
    path = tmp_path / "n.onnx"
    path.write_bytes(b"\xff not a model")
    with pytest.raises(EngineError, match=r"could not read n\.onnx: failed to parse"):
        runtime.build(ask(path))


def test_a_size_that_hangs_on_values_is_refused(runtime: TensorRt, tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"])
    path = save(tmp_path / "n.onnx", [node], [value("x", [1, 2, 16])], [value("y", None, TensorProto.INT64)])
    with pytest.raises(UnsupportedError, match="depends on values"):
        runtime.load(ask(path, outputs=(Tensor("y", (), "int64"),)))


def test_an_input_in_the_hosts_memory_is_refused(runtime: TensorRt, tmp_path: Path) -> None:
    inputs = (INPUT, Tensor("shape", (1,), "int64"))
    declared = [value("x", [1, 2, 16]), value("shape", [1], TensorProto.INT64)]
    path = save(tmp_path / "n.onnx", [helper.make_node("Reshape", ["x", "shape"], ["y"])], declared, [value("y", [32])])
    with pytest.raises(UnsupportedError, match="host's memory"):
        runtime.load(ask(path, inputs, (Tensor("y", (32,), "float32"),)))


def test_float64_is_refused_and_not_rounded(runtime: TensorRt, tmp_path: Path) -> None:
    kind = TensorProto.DOUBLE
    path = save(
        tmp_path / "n.onnx", [helper.make_node("Neg", ["x"], ["y"])], [value("x", [4], kind)], [value("y", [4], kind)]
    )
    with pytest.raises(UnsupportedError, match="'x' as float32; the graph says float64"):
        runtime.load(ask(path, (Tensor("x", (4,), "float64"),), (Tensor("y", (4,), "float64"),)))


def test_another_shape_than_the_engines_is_an_error(runtime: TensorRt, request_: Request) -> None:
    # The key has the shapes; this is what would be said if it had not.
    other = replace(request_, inputs=(replace(INPUT, shape=(1, 2, 8)),))
    with pytest.raises(EngineError, match="was built for 'x'"):
        runtime.load(other)


# Sessions


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_fresh_inputs_give_fresh_answers_that_stay(
    runtime: TensorRt, gpu: FakeGpu, request_: Request, *, cuda_graph: bool
) -> None:
    (session,) = runtime.load(told(request_, cuda_graph=cuda_graph))
    kept = []
    for seed in range(3):
        given = feeds(request_, seed)
        (answer,) = session.run(given)
        kept.append((answer, right(request_, given)[0]))
    for answer, want in kept:
        np.testing.assert_allclose(answer, want, atol=1e-6)
    assert (gpu.captures, gpu.launches) == ((1, 3) if cuda_graph else (0, 0))
    assert session.facts().details["cuda_graph"] is cuda_graph
    session.close()
    assert gpu.still_taken() == {}
    assert gpu.contexts == 0


def test_device_to_device_leaves_the_answers_there(runtime: TensorRt, request_: Request) -> None:
    session: GpuSession = runtime.load(told(request_, cuda_graph=True))[0]  # type: ignore[assignment]
    given = feeds(request_)
    session.put(given)
    session.launch()
    session.wait()
    np.testing.assert_allclose(session.get()[0], right(request_, given)[0], atol=1e-6)


def test_batch_2_is_another_engine(runtime: TensorRt, tmp_path: Path) -> None:
    one = ask(convolution(tmp_path / "one.onnx"))
    inputs, outputs = (replace(INPUT, shape=(2, 2, 16)),), (replace(OUTPUT, shape=(2, 3, 16)),)
    two = ask(convolution(tmp_path / "two.onnx", 2), inputs, outputs)
    assert runtime.build(one)["artefact"] != runtime.build(two)["artefact"]
    (session,) = runtime.load(two)
    (answer,) = session.run(feeds(two))
    assert answer.shape == (2, 3, 16)
    np.testing.assert_allclose(answer, right(two, feeds(two))[0], atol=1e-6)


def test_open_sizes_get_one_profile_of_exactly_the_sizes_asked_for(runtime: TensorRt, trt: Any, tmp_path: Path) -> None:
    inputs, outputs = (replace(INPUT, shape=(2, 2, 16)),), (replace(OUTPUT, shape=(2, 3, 16)),)
    asked = ask(convolution(tmp_path / "n.onnx", "batch"), inputs, outputs)
    (session,) = runtime.load(asked)
    assert trt._told.built[0]["profile"] == {"x": ((2, 2, 16),) * 3}
    np.testing.assert_allclose(session.run(feeds(asked))[0], right(asked, feeds(asked))[0], atol=1e-6)


def test_a_profile_that_is_refused_is_said(runtime: TensorRt, trt: Any, tmp_path: Path) -> None:
    trt._told.takes_profiles = False
    with pytest.raises(UnsupportedError, match="no profile"):
        runtime.build(ask(convolution(tmp_path / "n.onnx", "batch")))


def test_an_output_without_a_stated_shape_is_sized_by_the_engine(runtime: TensorRt, tmp_path: Path) -> None:
    asked = ask(convolution(tmp_path / "n.onnx", out=None), outputs=(replace(OUTPUT, shape=()),))
    (session,) = runtime.load(asked)
    assert session.run(feeds(asked))[0].shape == (1, 3, 16)


def test_several_inputs_and_outputs_keep_their_order_and_types(runtime: TensorRt, tmp_path: Path) -> None:
    inputs = (Tensor("table", (5, 3), "float32"), Tensor("rows", (2,), "int64"), Tensor("keep", (2, 3), "bool"))
    outputs = (Tensor("not_kept", (2, 3), "bool"), Tensor("picked", (2, 3), "float32"), Tensor("next", (2,), "int64"))
    nodes = [
        helper.make_node("Gather", ["table", "rows"], ["all"], axis=0),
        helper.make_node("Where", ["keep", "all", "zero"], ["picked"]),
        helper.make_node("Not", ["keep"], ["not_kept"]),
        helper.make_node("Add", ["rows", "one"], ["next"]),
    ]
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
    ins, outs = ([value(t.name, t.shape, kinds[t.dtype]) for t in side] for side in (inputs, outputs))
    asked = ask(save(tmp_path / "n.onnx", nodes, ins, outs, zero=np.float32([0]), one=np.int64([1])), inputs, outputs)
    given = {**feeds(asked), "rows": np.int64([4, 0]), "keep": np.array([[True, False, True], [False, True, True]])}
    (session,) = runtime.load(asked)
    for got, want in zip(session.run(given), right(asked, given), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)


def test_two_sessions_have_contexts_and_streams_of_their_own(
    runtime: TensorRt, trt: Any, gpu: FakeGpu, request_: Request
) -> None:
    sessions = runtime.load(replace(told(request_, cuda_graph=True), sessions=2))
    assert (trt._told.contexts, len(trt._told.built)) == (2, 1)
    assert len({session.gpu.stream.value for session in sessions}) == 2  # type: ignore[attr-defined]
    given = [feeds(request_, seed) for seed in range(2)]
    # Both begin before either is over.
    for session, one in zip(sessions, given, strict=True):
        session.begin(one)  # type: ignore[attr-defined]
    for session, one in zip(sessions, given, strict=True):
        np.testing.assert_allclose(session.finish()[0], right(request_, one)[0], atol=1e-6)  # type: ignore[attr-defined]
    got: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda number=number: got.update({number: sessions[number].run(given[number])[0]}))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, answer in got.items():
        np.testing.assert_allclose(answer, right(request_, given[number])[0], atol=1e-6)
    sessions[0].close()
    np.testing.assert_allclose(sessions[1].run(given[1])[0], right(request_, given[1])[0], atol=1e-6)
    sessions[1].close()
    assert gpu.still_taken() == {}


def test_layers_are_not_announced_at_every_call(runtime: TensorRt, trt: Any, request_: Request) -> None:
    # An engine that can be inspected would be slower for it.
    (session,) = runtime.load(request_)
    assert session._context.nvtx_verbosity == trt.ProfilingVerbosity.NONE  # type: ignore[attr-defined]


def test_a_call_that_is_refused_is_an_error_with_tensorrts_reason(
    runtime: TensorRt, trt: Any, request_: Request
) -> None:
    (session,) = runtime.load(request_)
    trt._told.answers = False
    with pytest.raises(EngineError, match=r"could not answer: .*illegal memory access"):
        session.run(feeds(request_))


def test_a_call_that_cannot_be_captured_is_unsupported(
    runtime: TensorRt, gpu: FakeGpu, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.fails["cuGraphInstantiateWithFlags"] = fake_gpu_memory.CAPTURE_UNSUPPORTED
    with pytest.raises(UnsupportedError, match="cannot be captured"):
        runtime.load(told(request_, cuda_graph=True))


@pytest.mark.parametrize(
    ("precision", "heavy"),
    [("fp32", "fp32"), ("tf32", "tf32"), ("fp16", "fp16")],
)
def test_facts_say_what_the_heavy_layers_ran_in(
    runtime: TensorRt, request_: Request, precision: str, heavy: str
) -> None:
    (session,) = runtime.load(told(request_, precision=precision))
    facts = session.facts()
    assert (facts.precision, facts.device, facts.details["asked"]) == (heavy, "cuda:0", precision)
    assert facts.details["heavy_layers"] == {f"CaskConvolution {heavy}": 1}
    assert sum(facts.details["layers"].values()) == 2


def test_facts_fall_back_on_what_was_asked(runtime: TensorRt, trt: Any, request_: Request) -> None:
    trt._told.verbose = False
    (session,) = runtime.load(told(request_, precision="bf16"))
    facts = session.facts()
    assert (facts.precision, facts.details["layers"]) == ("bf16", {})


# Before anything runs


def test_without_a_gpu_the_probe_says_what_is_missing_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtimes.gpu.options.gpu_names", list)
    probe = registry.get("tensorrt").probe()
    assert not probe.available
    assert "no NVIDIA GPU" in probe.reason
    assert "nvidia-smi" in probe.remedy


@pytest.mark.parametrize("package", ["tensorrt-cu13", "tensorrt-cu12", "tensorrt"])
def test_any_package_that_brings_tensorrt_will_do(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    only(monkeypatch, {package: "10.16.1.11"})
    monkeypatch.setattr("runtimes.gpu.options.gpu_names", lambda: ["NVIDIA Fake"])
    probe = TensorRt().probe()
    assert (probe.available, probe.version) == (True, "10.16.1.11")


def test_a_missing_package_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, {})
    monkeypatch.setattr("runtimes.gpu.options.gpu_names", lambda: ["NVIDIA Fake"])
    probe = TensorRt().probe()
    assert (probe.available, probe.reason) == (False, "tensorrt-cu13 is not installed")
    assert "rtfloor[tensorrt]" in probe.remedy


def only(monkeypatch: pytest.MonkeyPatch, packages: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in packages:
            raise __import__("importlib.metadata").metadata.PackageNotFoundError(name)
        return packages[name]

    monkeypatch.setattr("runtimes.tensorrt_rt.metadata.version", version)


def test_a_missing_library_comes_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    # The bindings are one package, the libraries another, from another index.
    real: Callable[..., Any] = builtins.__import__

    def broken(name: str, *rest: Any) -> Any:
        if name == "tensorrt":
            raise ImportError("libnvinfer.so.10: cannot open shared object file: No such file or directory")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(UnavailableError, match=r"libnvinfer\.so\.10.*rtfloor\[tensorrt\].*LD_LIBRARY_PATH"):
        TensorRt().start()


def test_without_a_gpu_a_build_is_unavailable(
    runtime: TensorRt, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(monkeypatch, FakeGpu(gpus=0))
    with pytest.raises(UnavailableError, match="no GPU"):
        runtime.build(request_)


def test_there_is_no_profile_of_single_layers(runtime: TensorRt, request_: Request) -> None:
    with pytest.raises(UnsupportedError, match="counts and times the kernels"):
        runtime.profile(request_, [feeds(request_)], 1, lambda: 0)


@pytest.fixture(autouse=True)
def _no_leftover_thread_state() -> Iterator[None]:
    # Sessions remember which of them a thread is set up for.
    from runtimes.gpu import session

    session._here.session = None
    yield
    session._here.session = None
