"""A GPU is opened as the row says and given back whole: what stays taken is missing from the next cell."""

from __future__ import annotations

import gc
import weakref

import pytest
from fake_gpu_engine import LateGpu, engine, feeds, made_during, right, use

from runtimes.errors import UnavailableError
from runtimes.gpu.driver import Driver, NoGpuError
from runtimes.gpu.session import WAITS, open_gpu


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> LateGpu:
    return use(monkeypatch, LateGpu())


@pytest.mark.parametrize(("wait", "flag"), [("spin", 1), ("yield", 2), ("block", 4)])
def test_how_threads_wait_is_settled_before_the_context_is_made(gpu: LateGpu, wait: str, flag: int) -> None:
    # Afterwards it would be refused, or ignored, and the row would say what did not happen.
    open_gpu(wait)
    assert gpu.flags == [flag]
    assert gpu.calls.index("cuDevicePrimaryCtxSetFlags_v2") < gpu.calls.index("cuDevicePrimaryCtxRetain")
    assert WAITS[wait] == flag


def test_an_older_driver_that_has_a_context_already_is_no_failure(gpu: LateGpu) -> None:
    gpu.fails["cuDevicePrimaryCtxSetFlags_v2"] = 708
    assert open_gpu("spin").stream.value
    gpu.fails["cuDevicePrimaryCtxSetFlags_v2"] = 999
    with pytest.raises(UnavailableError, match="cannot be used: cuDevicePrimaryCtxSetFlags_v2"):
        open_gpu("spin")


def test_no_gpu_and_no_driver_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, LateGpu(gpus=0))
    with pytest.raises(UnavailableError, match="shows no GPU"):
        open_gpu("spin")

    def missing(cls: type[Driver]) -> Driver:
        raise NoGpuError("there is no NVIDIA driver here")

    monkeypatch.setattr(Driver, "load", classmethod(missing))
    with pytest.raises(UnavailableError, match="no NVIDIA driver"):
        open_gpu("spin")


def test_a_gpu_that_is_held_by_another_gives_back_what_it_took(gpu: LateGpu) -> None:
    gpu.fails["cuEventCreate"] = 46
    with pytest.raises(UnavailableError, match="held by another program"):
        open_gpu("spin")
    assert (gpu.still_taken(), gpu.contexts) == ({}, 0)


# Giving back


@pytest.mark.parametrize("own_memory", [False, True])
def test_everything_is_given_back(gpu: LateGpu, *, own_memory: bool) -> None:
    sessions = [engine(own_memory=own_memory) for _ in range(2)]
    for session in sessions:
        session.run(feeds(0))
    sessions[0].close()
    # One session's end leaves the other its context.
    assert sessions[1].run(feeds(1))[0].tolist() == right(1)
    sessions[1].close()
    assert gpu.still_taken() == {}
    assert gpu.contexts == 0


def test_what_the_gpu_is_still_at_work_on_is_waited_for_first(gpu: LateGpu) -> None:
    # Memory that is given back under a running kernel is a crash at the end of every run.
    session = engine()
    session.begin(feeds(0))
    calls = made_during(gpu, session.close)
    assert calls[0] == "cuCtxSynchronize"
    assert gpu.waiting() == 0


def test_after_a_fatal_error_closing_does_not_fail_as_well(gpu: LateGpu) -> None:
    session = engine()
    gpu.fails.update(cuCtxSynchronize=719, cuMemFree_v2=719, cuStreamDestroy_v2=719)
    session.close()


def test_a_session_opened_after_another_is_closed_is_set_up_anew(gpu: LateGpu) -> None:
    first = engine()
    first.run(feeds(0))
    first.close()
    second = engine()
    assert second.run(feeds(2))[0].tolist() == right(2)
    assert second.attached == 1


def test_a_closed_session_is_let_go_of(gpu: LateGpu) -> None:
    # A thread that still held it would keep its engine, and with it the GPU's memory.
    session = engine()
    session.run(feeds(0))
    gone = weakref.ref(session)
    session.close()
    del session
    gc.collect()
    assert gone() is None
