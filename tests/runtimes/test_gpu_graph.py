"""Captured graphs: captured once, started as a whole, and no stream left in capture."""

from __future__ import annotations

import pytest
from fake_gpu_engine import LateGpu, engine, feeds, made_during, right, use

from runtimes.gpu.driver import CudaError
from runtimes.gpu.graph import Graph


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> LateGpu:
    return use(monkeypatch, LateGpu())


def test_a_graph_is_captured_once_and_started_as_a_whole(gpu: LateGpu) -> None:
    session = engine()
    session.put(feeds(1))
    graph = Graph(session.gpu, session._enqueued)
    assert (gpu.captures, gpu.waiting(), gpu.launches) == (1, 0, 0)
    for value in (2, 3):
        session.put(feeds(value))
        assert made_during(gpu, graph.launch) == ["cuGraphLaunch"]
        session.wait()
        assert session.get()[0].tolist() == right(value)
    assert (gpu.captures, gpu.launches) == (1, 2)
    session.close()
    assert gpu.still_taken() == {}


@pytest.mark.parametrize("error", [RuntimeError("not so"), KeyboardInterrupt()], ids=["a failure", "Ctrl-C"])
def test_a_failure_while_capturing_ends_the_capture(gpu: LateGpu, error: BaseException) -> None:
    # Left in capture, the stream would refuse every later call, and the reason would be another's.
    session = engine()

    def work() -> None:
        session._enqueued()
        raise error

    with pytest.raises(type(error)):
        Graph(session.gpu, work)
    assert gpu.recordings == {}
    assert session.run(feeds(4))[0].tolist() == right(4)


@pytest.mark.parametrize("call", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
def test_what_cannot_be_captured_is_an_error_that_names_the_call(gpu: LateGpu, call: str) -> None:
    session = engine()
    gpu.fails[call] = 900
    with pytest.raises(CudaError, match=f"{call}: CUDA_ERROR_FAKE"):
        Graph(session.gpu, session._enqueued)
    gpu.fails.clear()
    gpu.recordings.clear()
    session.close()
    assert gpu.still_taken() == {}


def test_a_launch_of_a_graph_that_fails_is_an_error_of_the_engine(gpu: LateGpu) -> None:
    session = engine()
    graph = Graph(session.gpu, session._enqueued)
    gpu.fails["cuGraphLaunch"] = 719
    with pytest.raises(CudaError, match=r"the kernel failed while it ran \(cuGraphLaunch"):
        graph.launch()
