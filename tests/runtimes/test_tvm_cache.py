"""TVM's compiled libraries: found again, never mistaken for each other, never half-made."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from runtimes.base import Request, Tensor
from runtimes.errors import UnavailableError, UnsupportedError
from runtimes.options import resolve
from runtimes.tvm_rt import TvmCpu

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tvm")


def save(path: Path, nodes: list[onnx.NodeProto], inputs: list[Tensor], outputs: list[Tensor], **weights: Any) -> Path:
    def declare(tensors: list[Tensor]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(t.name, helper.np_dtype_to_tensor_dtype(np.dtype(t.dtype)), t.shape)
            for t in tensors
        ]

    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "tiny", declare(inputs), declare(outputs), initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def ask(path: Path, cache: Path, inputs: list[Tensor], outputs: list[Tensor], **options: str) -> Request:
    cache.mkdir(exist_ok=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    chosen = resolve("tvm", TvmCpu.options, options)
    return Request(path, digest, tuple(inputs), tuple(outputs), "fp32", 1, 1, chosen, cache)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    weight = np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x.0", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["y"])]
    inputs, outputs = [Tensor("x.0", (1, 2, 8, 8), "float32")], [Tensor("y", (1, 4, 8, 8), "float32")]
    return ask(save(tmp_path / "tiny.onnx", nodes, inputs, outputs, w=weight), tmp_path / "cache", inputs, outputs)


@pytest.fixture
def runtime() -> TvmCpu:
    started = TvmCpu()
    started.start()
    return started


def feed(request: Request, seed: int = 1) -> dict[str, Any]:
    return {
        t.name: np.random.default_rng(seed).standard_normal(t.shape).astype(np.dtype(t.dtype)) for t in request.inputs
    }


def test_a_second_build_is_found(runtime: TvmCpu, request_: Request) -> None:
    # Otherwise every process of a campaign would compile again.
    first = runtime.build(request_)
    second = runtime.build(replace(request_, threads=2))
    assert "cached" not in first
    assert second == {"cached": True, **first}
    assert first["artefact_bytes"] == (request_.cache / first["artefact"]).stat().st_size
    assert '"kind":"llvm"' in first["target"]


def test_whatever_changes_the_code_changes_the_artefact(
    runtime: TvmCpu, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise a number would be printed for a model, an option or a version that never ran.
    names = {runtime.build(request_)["artefact"]}
    names.add(runtime.build(replace(request_, model_sha256="0" * 64))["artefact"])
    host = replace(request_, options={**request_.options, "target": "host"})
    names.add(runtime.build(host)["artefact"])
    monkeypatch.setattr("runtimes.tvm_rt._processor", lambda: "another processor")
    names.add(runtime.build(host)["artefact"])
    monkeypatch.setattr("runtimes.tvm_rt.metadata.version", lambda name: "0.0")
    names.add(runtime.build(request_)["artefact"])
    assert len(names) == len(list(request_.cache.glob("*.so"))) == 5


def test_an_interrupted_build_is_no_artefact(
    runtime: TvmCpu, request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise a killed build would make every later run of that model crash.
    def killed(path: Path, target: Path) -> None:
        assert path.stat().st_size > 0
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            runtime.build(request_)
    assert list(request_.cache.iterdir()) == []

    name = runtime.build(request_)["artefact"]
    (request_.cache / name).unlink()
    leftover = request_.cache / "unfinished-killed"
    leftover.mkdir()
    (leftover / name).write_bytes(b"half")
    assert "cached" not in runtime.build(request_)


def test_load_builds_what_is_missing_and_answers_right(runtime: TvmCpu, request_: Request) -> None:
    want = ReferenceEvaluator(str(request_.model)).run(None, feed(request_))[0]
    (session,) = runtime.load(request_)
    (got,) = session.run(feed(request_))
    kept = got.copy()
    np.testing.assert_allclose(got, want, atol=1e-5)
    session.run(feed(request_, 2))
    np.testing.assert_array_equal(got, kept)  # the caller's own: the next call left it alone
    facts = session.facts()
    assert (facts.precision, facts.device, facts.details["parallel_loops"]) == ("fp32", "cpu", False)
    session.close()


def test_sessions_answer_side_by_side(runtime: TvmCpu, request_: Request) -> None:
    # Otherwise a stereo pair would mix its channels.
    sessions = runtime.load(replace(request_, sessions=2))
    feeds = [feed(request_, seed) for seed in range(2)]
    want = [ReferenceEvaluator(str(request_.model)).run(None, one)[0] for one in feeds]
    got: dict[int, list[Any]] = {0: [], 1: []}

    def call(index: int) -> None:
        got[index] = [sessions[index].run(feeds[index])[0] for _ in range(20)]

    threads = [threading.Thread(target=call, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, answers in got.items():
        assert len(answers) == 20
        for answer in answers:
            np.testing.assert_allclose(answer, want[index], atol=1e-5)


def test_several_inputs_and_outputs_of_several_types(runtime: TvmCpu, tmp_path: Path) -> None:
    inputs = [Tensor("table", (5, 3), "float32"), Tensor("rows", (2,), "int64"), Tensor("keep", (2, 3), "bool")]
    outputs = [Tensor("picked", (2, 3), "float32"), Tensor("not_kept", (2, 3), "bool"), Tensor("next", (2,), "int64")]
    nodes = [
        helper.make_node("Gather", ["table", "rows"], ["all"], axis=0),
        helper.make_node("Where", ["keep", "all", "zero"], ["picked"]),
        helper.make_node("Not", ["keep"], ["not_kept"]),
        helper.make_node("Add", ["rows", "one"], ["next"]),
    ]
    path = save(tmp_path / "m.onnx", nodes, inputs, outputs, zero=np.float32([0]), one=np.int64([1]))
    request = ask(path, tmp_path / "cache", inputs, outputs)
    feeds = {**feed(request), "rows": np.int64([4, 0]), "keep": np.array([[True, False, True], [False, True, True]])}
    (session,) = runtime.load(request)
    for got, want in zip(session.run(feeds), ReferenceEvaluator(str(path)).run(None, feeds), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want)


def test_an_unknown_operator_is_said_in_one_line(runtime: TvmCpu, tmp_path: Path) -> None:
    inputs, outputs = [Tensor("x", (3, 3), "float32")], [Tensor("y", (), "float32")]
    node = helper.make_node("Det", ["x"], ["y"])
    request = ask(save(tmp_path / "m.onnx", [node], inputs, outputs), tmp_path / "cache", inputs, outputs)
    with pytest.raises(UnsupportedError, match="Det") as caught:
        runtime.build(request)
    assert "\n" not in str(caught.value)
    assert list(request.cache.iterdir()) == []


def test_a_missing_compiler_is_named(runtime: TvmCpu, request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvm.support.cc.get_cc", lambda: None)
    with pytest.raises(UnavailableError, match="install g"):
        runtime.build(request_)


@pytest.mark.parametrize("damage", [b"broken", b"", None])
def test_a_damaged_library_is_compiled_again(runtime: TvmCpu, request_: Request, damage: bytes | None) -> None:
    # A truncated one crashed with SIGBUS in every later run, for ever.
    library = request_.cache / runtime.build(request_)["artefact"]
    library.write_bytes(library.read_bytes()[:-100] if damage is None else damage)
    assert "cached" not in runtime.build(request_)
    assert runtime.load(request_)
    assert runtime.build(request_)["cached"]


def test_environment_sizes_the_pool_and_leaves_affinity_alone(request_: Request) -> None:
    variables = TvmCpu().environment(replace(request_, threads=3))
    assert variables == {"TVM_NUM_THREADS": "3", "TVM_BIND_THREADS": "0"}
