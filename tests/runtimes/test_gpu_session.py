"""The session all GPU adapters share: memory, stream, copies and clocks, over a driver without a GPU.

What a user would lose: one channel's answer in the other's, answers that change after they were given, a time that
holds what no application does, a failure without a reason, memory that stays taken.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from fake_gpu_engine import STEP_S, Engine, LateGpu, X, Y, array_at, asked, engine, feeds, made_during, right, use

from runtimes.base import Tensor
from runtimes.errors import EngineError, UnsupportedError
from runtimes.gpu.session import open_gpu, precision_ran, zeros

EVENTS = ("cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime")
UP, DOWN, WAIT = "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuStreamSynchronize"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> LateGpu:
    return use(monkeypatch, LateGpu())


# Host to host


@pytest.mark.parametrize("own_memory", [False, True], ids=["our memory", "the engine's"])
def test_answers_are_right_and_stay_as_they_were_given(gpu: LateGpu, *, own_memory: bool) -> None:
    session = engine(own_memory=own_memory)
    answers = [session.run(feeds(value))[0] for value in (0, 10, 20)]
    assert [answer.tolist() for answer in answers] == [right(0), right(10), right(20)]
    assert [answer.dtype for answer in answers] == [np.float32] * 3


def test_what_was_fed_may_be_overwritten_once_a_call_has_begun(gpu: LateGpu) -> None:
    session, given = engine(), feeds(5)
    session.begin(given)
    given["x"][...] = 99
    assert session.finish()[0].tolist() == right(5)


def test_beginning_does_not_wait(gpu: LateGpu) -> None:
    session = engine()
    assert WAIT not in made_during(gpu, session.begin, feeds(1))
    assert gpu.waiting() == 3
    assert made_during(gpu, session.finish) == [WAIT]
    assert gpu.waiting() == 0


def test_a_call_asks_the_driver_for_its_copies_and_one_wait_and_nothing_else(gpu: LateGpu) -> None:
    # Every further call of the driver would be in every time.
    session = engine()
    session.run(feeds(0))
    assert made_during(gpu, session.run, feeds(1)) == [UP, DOWN, WAIT]


@pytest.mark.parametrize("own_memory", [False, True])
def test_two_sessions_that_work_at_once_keep_their_answers_apart(gpu: LateGpu, *, own_memory: bool) -> None:
    left, second = engine(2, own_memory=own_memory), engine(3, own_memory=own_memory)
    assert left.gpu.stream.value != second.gpu.stream.value
    for value in (0, 10):
        left.begin(feeds(value))
        second.begin(feeds(100 + value))
        assert gpu.waiting() == 6
        assert left.finish()[0].tolist() == right(value)
        assert second.finish()[0].tolist() == right(100 + value, 3)


KINDS = ["float16", "float32", "int32", "int64", "uint8", "bool"]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_type_and_a_single_number_come_back_as_they_should(
    gpu: LateGpu, kind: str, shape: tuple[int, ...]
) -> None:
    session = Engine(asked((Tensor("x", shape, kind),), (Tensor("y", shape, kind),)), open_gpu("spin"))
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    (answer,) = session.run({"x": values})
    want = ~values if kind == "bool" else (values * 2 + 1).astype(kind)
    assert (answer.dtype, answer.shape) == (np.dtype(kind), shape)
    np.testing.assert_array_equal(answer, want)


def test_inputs_that_lie_scattered_in_memory_arrive_in_order(gpu: LateGpu) -> None:
    wide = np.arange(16, dtype=np.float32).reshape(1, 16)[:, ::-4]
    assert engine().run({"x": wide})[0].tolist() == [[31, 23, 15, 7]]


def test_several_inputs_and_outputs_are_told_apart_by_name(gpu: LateGpu) -> None:
    inputs = (X, Tensor("n", (2,), "int64"))
    outputs = (Y, Tensor("m", (2,), "int64"))
    session = Engine(asked(inputs, outputs), open_gpu("spin"))
    first, second = session.run({"n": np.int64([1 << 40, -3]), **feeds(1)})
    assert (first.tolist(), second.tolist()) == (right(1), [(1 << 41) + 1, -5])


@pytest.mark.parametrize("empty", ["x", "y"])
def test_an_empty_tensor_is_refused_by_name(gpu: LateGpu, empty: str) -> None:
    shapes = {"x": (1, 4), "y": (1, 4), empty: (1, 0)}
    request = asked((Tensor("x", shapes["x"], "float32"),), (Tensor("y", shapes["y"], "float32"),))
    with pytest.raises(UnsupportedError, match=rf"tiny engine: '{empty}' is empty, shape \(1, 0\)"):
        Engine(request, open_gpu("spin"))


# Device to device


@pytest.mark.parametrize("own_memory", [False, True], ids=["our memory", "the engine's"])
def test_a_launch_computes_what_was_put_and_leaves_it_to_be_got(gpu: LateGpu, *, own_memory: bool) -> None:
    session = engine(own_memory=own_memory)
    for value in (3, 4):
        session.put(feeds(value))
        assert gpu.waiting() == 0
        session.launch()
        assert gpu.waiting() == 1
        session.wait()
        # Looked at twice, as by the check of states and the check of answers.
        assert [session.get()[0].tolist() for _ in range(2)] == [right(value)] * 2


def test_a_launch_that_is_waited_for_holds_no_transfer(gpu: LateGpu) -> None:
    # It is what makes the row: device to device.
    session = engine()
    session.put(feeds(0))
    assert made_during(gpu, session.launch) == []
    assert made_during(gpu, session.wait) == [WAIT]


def test_what_was_got_is_the_callers_own(gpu: LateGpu) -> None:
    session, kept = engine(), []
    for value in (1, 2):
        session.put(feeds(value))
        session.launch()
        session.wait()
        kept.append(session.get()[0])
    assert [answer.tolist() for answer in kept] == [right(1), right(2)]


def test_the_same_inputs_can_be_launched_again(gpu: LateGpu) -> None:
    session = engine(own_memory=True)
    session.put(feeds(7))
    for _ in range(3):
        session.launch()
        session.wait()
    assert session.get()[0].tolist() == right(7)


def test_inputs_go_where_the_engine_has_its_own(gpu: LateGpu) -> None:
    # Copied to our memory, they would never be read.
    session = engine(own_memory=True)
    session.put(feeds(6))
    (buffer,) = session.inputs
    assert array_at(session._sources[0], buffer.host).tolist() == feeds(6)["x"].tolist()
    assert array_at(buffer.address, buffer.host).tolist() != feeds(6)["x"].tolist()


def test_outputs_are_fetched_from_where_the_engine_always_has_them(gpu: LateGpu) -> None:
    session = engine()
    (buffer,) = session.outputs
    place = session.gpu.allocate(buffer.host.nbytes)
    session.move_outputs([place])
    array_at(place, buffer.host)[...] = 7
    assert session.run(feeds(0))[0].tolist() == [[7.0] * 4]
    assert session.get()[0].tolist() == [[7.0] * 4]


# Threads


def test_another_thread_gets_the_context_and_the_stream_before_its_first_call(gpu: LateGpu) -> None:
    session = engine()
    session.run(feeds(0))
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.extend(session.run(feeds(value))[0] for value in (1, 2)))
    thread.start()
    thread.join()
    assert [answer.tolist() for answer in answers] == [right(1), right(2)]
    assert session.threads == [threading.get_ident(), thread.ident]


def test_a_thread_is_set_up_once_per_change_of_session_and_not_at_every_call(gpu: LateGpu) -> None:
    # Some engines look their stream up, or capture a graph: that belongs in no time.
    left, other = engine(), engine()
    for session, times in ((left, 3), (other, 2), (left, 2)):
        calls = [made_during(gpu, session.run, feeds(0)) for _ in range(times)]
        assert [call.count("cuCtxSetCurrent") for call in calls] == [1, *[0] * (times - 1)]
    assert (left.attached, other.attached) == (2, 1)


def test_no_thread_is_kept_from_its_work_by_what_another_one_captures(gpu: LateGpu) -> None:
    # Engines capture in a mode that forbids every other thread of the process to take memory meanwhile.
    session = engine()
    thread = threading.Thread(target=session.run, args=(feeds(0),))
    thread.start()
    thread.join()
    session.run(feeds(0))
    thread_local = 1
    assert gpu.capture_modes == [(thread.ident, thread_local), (threading.get_ident(), thread_local)]


def test_two_threads_answer_side_by_side(gpu: LateGpu) -> None:
    sessions = [engine(2), engine(3)]
    wrong: list[Any] = []

    def work(session: Engine, base: int) -> None:
        for number in range(50):
            answer = session.run(feeds(base + number))[0].tolist()
            if answer != right(base + number, session.factor):
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(session, 1000 * n)) for n, session in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert [session.attached for session in sessions] == [1, 1]


def test_a_thread_that_cannot_be_set_up_is_said(gpu: LateGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    session = engine()
    gpu.fails["cuCtxSetCurrent"] = 201
    with pytest.raises(EngineError, match="tiny engine: cuCtxSetCurrent"):
        session.run(feeds(0))
    gpu.fails.clear()

    def refuse() -> None:
        raise RuntimeError("no stream\nfor this thread")

    monkeypatch.setattr(session, "attach", refuse)
    with pytest.raises(EngineError, match="thread: no stream for this thread"):
        session.run(feeds(0))


# The device's clock


def test_the_devices_clock_spans_copies_and_work_and_only_work_where_there_are_no_copies(gpu: LateGpu) -> None:
    session = engine()
    session.watch(on=True)
    session.run(feeds(0))
    # Each step takes a microsecond: the first mark's own, a copy, the work, a copy.
    assert session.device_ns() == pytest.approx(4 * STEP_S * 1e9, abs=1)
    session.put(feeds(0))
    session.launch()
    session.wait()
    assert session.device_ns() == pytest.approx(2 * STEP_S * 1e9, abs=1)


def test_nobody_pays_for_the_devices_clock_unless_it_is_asked_for(gpu: LateGpu) -> None:
    session = engine()
    for on in (False, True, False):
        session.watch(on=on)
        for calls in (
            made_during(gpu, session.run, feeds(0)),
            made_during(gpu, lambda: (session.launch(), session.wait())),
        ):
            assert [call for call in calls if call in EVENTS] == ["cuEventRecord"] * (2 if on else 0)


# Failures


@pytest.mark.parametrize("call", [UP, DOWN, WAIT, "cuEventRecord"])
def test_a_failure_of_the_driver_names_the_engine_and_the_call(gpu: LateGpu, call: str) -> None:
    session = engine()
    session.watch(on=True)
    gpu.fails[call] = 700
    with pytest.raises(EngineError, match=rf"^tiny engine: .*not its own \({call}: CUDA_ERROR_ILLEGAL_ADDRESS\)"):
        session.run(feeds(0))


@pytest.mark.parametrize("call", ["cuEventSynchronize", "cuEventElapsedTime"])
def test_a_clock_that_fails_is_an_error_of_the_engine(gpu: LateGpu, call: str) -> None:
    session = engine()
    session.watch(on=True)
    session.run(feeds(0))
    gpu.fails[call] = 719
    with pytest.raises(EngineError, match=rf"tiny engine: the kernel failed while it ran \({call}"):
        session.device_ns()


@pytest.mark.parametrize("call", ["cuMemAlloc_v2", "cuMemHostAlloc"])
def test_memory_that_cannot_be_had_says_what_to_do(gpu: LateGpu, call: str) -> None:
    gpu.fails[call] = 2
    with pytest.raises(EngineError, match="tiny engine: the GPU's memory is full; end other programs"):
        engine()


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (RuntimeError("kernel\n  went wrong"), EngineError, "^tiny engine could not answer: kernel went wrong$"),
        (RuntimeError("Pad is not implemented"), UnsupportedError, "^tiny engine could not answer: Pad is not"),
        (UnsupportedError("as it is"), UnsupportedError, "^as it is$"),
    ],
)
def test_a_foreign_failure_is_one_line_with_the_engines_name(
    gpu: LateGpu, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], text: str
) -> None:
    session = engine()

    def fail() -> None:
        raise error

    monkeypatch.setattr(session, "enqueue", fail)
    for call in (lambda: session.run(feeds(0)), session.launch):
        with pytest.raises(kind, match=text):
            call()


# Words


@pytest.mark.parametrize(
    ("asked_for", "own", "ran"),
    [
        *(("fp32", "fp32", "fp32"), ("fp32", "fp16", "fp16"), ("tf32", "fp32", "tf32"), ("fp16", "fp32", "fp16")),
        *(("tf32", "fp16", "fp16+tf32"), ("fp16", "fp16", "fp16"), ("tf32", "fp32+int8", "int8+tf32")),
    ],
)
def test_what_ran_is_what_was_asked_for_in_the_place_of_float32(asked_for: str, own: str, ran: str) -> None:
    assert precision_ran(asked_for, own) == ran


def test_zeros_are_of_every_inputs_shape_and_type() -> None:
    made = zeros(asked((X, Tensor("n", (), "int64"))))
    assert {name: (array.shape, str(array.dtype)) for name, array in made.items()} == {
        "x": ((1, 4), "float32"),
        "n": ((), "int64"),
    }
    assert not any(array.any() for array in made.values())
