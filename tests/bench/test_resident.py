"""Device to device: what is timed holds no transfer, and what is compared is still each channel's own answer.

Over real GPU sessions, on a driver without a GPU that does nothing before somebody waits for it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_gpu_engine import Engine, LateGpu, array_at, asked, made_during, use

from bench.check import Checker
from bench.layouts import Feeds, Par
from bench.measure import sample
from bench.plan import TWO_SESSIONS
from bench.resident import Resident
from models.card import Card, Port
from runtimes.base import Facts, Session, Tensor
from runtimes.errors import EngineError, UnsupportedError
from runtimes.gpu.session import open_gpu

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LAYOUTS = ["mono", "par", "streams", "batch2"]
ROTATIONS = 3
COPIES = {"cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2"}
WAIT = "cuStreamSynchronize"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> LateGpu:
    return use(monkeypatch, LateGpu())


class Counting(Engine):
    """A model whose state counts up by its input, and which answers with twice that."""

    def _compute(self, places: Sequence[int]) -> None:
        x, h = (array_at(buffer.address, buffer.host) for buffer in self.inputs)
        answer, state = (array_at(place, buffer.host) for place, buffer in zip(places, self.outputs, strict=True))
        answer[...], state[...] = 2 * (h + x), h + x


def card(batch: int, *, stateful: bool) -> Card:
    ports = [Port(name, (batch, 2), "float32") for name in ("x", "h", "y", "hn")]
    return Card(
        name="net",
        form="raw",
        batch=batch,
        path="",
        sha256="",
        inputs=tuple(ports[: 1 + stateful]),
        outputs=tuple(ports[2 : 3 + stateful]),
        states={"h": "hn"} if stateful else {},
        audio_s=None,
        audio="",
        parameters=0,
        nodes=1,
        operators={},
        opset=18,
        signal="normal",
    )


def channels() -> list[list[Feeds]]:
    """Inputs that tell where they come from: 100 · channel + rotation."""
    return [[{"x": np.full((1, 2), 100.0 * side + turn, np.float32)} for turn in range(ROTATIONS)] for side in range(2)]


@contextmanager
def resident(name: str, kind: type[Engine] = Engine) -> Iterator[Resident]:
    """The layout over engines of its own, all closed at the end."""
    stateful = kind is Counting
    cards = card(1, stateful=stateful), card(2 if name == "batch2" else 1, stateful=stateful)
    inputs, outputs = (
        tuple(Tensor(port.name, port.shape or (), port.dtype) for port in side)
        for side in (cards[1].inputs, cards[1].outputs)
    )
    sessions: list[Any] = [
        kind(asked(inputs, outputs), open_gpu("spin")) for _ in range(2 if name in TWO_SESSIONS else 1)
    ]
    made = Resident(name, cards, channels(), sessions)
    try:
        yield made
    finally:
        made.close()
        for session in sessions:
            session.close()


def answer(made: Resident, number: int) -> list[list[float]]:
    """The first value of each output, per channel."""
    outputs = made.call(made.feeds(number))
    assert made.collect is not None
    collected = made.collect(outputs)
    made.absorb(collected)
    return [[float(np.asarray(one).flat[0]) for one in channel] for channel in made.answers(collected)]


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_channel_is_answered_with_its_own_inputs_in_turn(gpu: LateGpu, name: str) -> None:
    with resident(name) as made:
        assert made.rotations == ROTATIONS
        assert made.channels == (1 if name == "mono" else 2)
        for number in range(2 * ROTATIONS):
            turn = number % ROTATIONS
            assert answer(made, number) == [[2.0 * turn + 1], [2.0 * (100 + turn) + 1]][: made.channels]


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_timed_holds_the_work_and_the_wait_and_no_transfer(gpu: LateGpu, name: str) -> None:
    # The row says: device to device.
    with resident(name) as made:
        answer(made, 0)
        for number in (1, 2):
            fed = made.feeds(number)
            assert gpu.waiting() == 0, "a copy to the device was still under way"
            calls = made_during(gpu, made.call, fed)
            assert gpu.waiting() == 0, "the call was over before its work was"
            assert not COPIES & set(calls)
            assert calls.count(WAIT) == (2 if name in TWO_SESSIONS else 1)
            # One thread for two sessions is set up for the other one in between, and nobody else is.
            assert ([call for call in calls if call != WAIT] != []) is (name == "streams")


@pytest.mark.parametrize("name", LAYOUTS)
def test_inputs_go_to_the_device_with_feeding_and_answers_come_back_with_collecting(gpu: LateGpu, name: str) -> None:
    sides = 2 if name in TWO_SESSIONS else 1
    with resident(name) as made:
        up = made_during(gpu, made.feeds, 0)
        assert [call for call in up if call in COPIES] == ["cuMemcpyHtoDAsync_v2"] * sides
        outputs = made.call(made.feeds(0))
        assert made.collect is not None
        down = made_during(gpu, made.collect, outputs)
        assert [call for call in down if call in COPIES] == ["cuMemcpyDtoHAsync_v2"] * sides


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_stateless_call_brings_nothing_back_to_carry(gpu: LateGpu, name: str) -> None:
    # Between two timed calls it would cool the caches of the third.
    with resident(name) as made:
        outputs = made.call(made.feeds(0))
        assert made_during(gpu, made.absorb, outputs) == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_states_are_carried_per_channel_and_begin_again(gpu: LateGpu, name: str) -> None:
    with resident(name, Counting) as made:
        assert made.stateful
        runs = []
        for _ in range(2):
            made.begin()
            runs.append([answer(made, number) for number in range(4)])
    left, right = [0.0, 1.0, 3.0, 3.0], [100.0, 201.0, 303.0, 403.0]
    expected = [[[2 * a, a], [2 * b, b]][: made.channels] for a, b in zip(left, right, strict=True)]
    assert runs == [expected, expected]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("kind", [Engine, Counting])
def test_answers_are_checked_before_and_after_timing_as_those_of_any_layout(
    gpu: LateGpu, name: str, kind: type[Engine]
) -> None:
    # Nothing comes out of a timed call, and what came out before it would always look right.
    expected: list[Any] = [[[2 * feed["x"] + 1] for feed in channel] for channel in channels()]
    if kind is Counting:
        sums = [np.cumsum([feed["x"] for feed in channel], axis=0) for channel in channels()]
        expected = [[[2 * total, total] for total in channel] for channel in sums]
    with resident(name, kind) as made:
        checker = Checker(made, expected, card(1, stateful=kind is Counting), "a formula")
        _, answers = checker.answers()
        assert checker.verdict(answers, "fp32", "before timing") == ""
        made.begin()
        last = list(sample(made, 0.0, least=7, most=7).last)
        assert [number for number, _ in last] == [4, 5, 6]
        assert checker.after(last, "fp32") == ""
        for channel in expected:
            channel[1][0][...] += 1
        assert "channel 0, input 1" in checker.verdict(answers, "fp32", "before timing")
        assert "input 1" in checker.after(last, "fp32")


def test_par_launches_left_and_right_from_threads_of_their_own(gpu: LateGpu) -> None:
    before = set(threading.enumerate())
    with resident("par") as made:
        answer(made, 0)
        left, right = (session.threads for session in made._sessions)  # type: ignore[attr-defined]
        assert isinstance(made.inner, Par)
        assert made.inner.shorter_ns > 0
        assert threading.get_ident() in left
        assert {thread.ident for thread in threading.enumerate() if thread.name == "right"} & set(right)
    assert set(threading.enumerate()) <= before


def test_streams_launches_both_before_it_waits_for_either(gpu: LateGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    with resident("streams") as made:
        for side, session in zip(("left", "right"), made._sessions, strict=True):
            for what in ("launch", "wait"):
                monkeypatch.setattr(session, what, noted(order, f"{what} {side}", getattr(session, what)))
        fed = made.feeds(0)
        order.clear()
        made.call(fed)
    assert order == ["launch left", "launch right", "wait left", "wait right"]


def noted(order: list[str], what: str, call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        order.append(what)
        call()

    return run


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_failure_on_the_device_surfaces_where_it_was_called(gpu: LateGpu, name: str) -> None:
    with resident(name) as made:
        fed = made.feeds(0)
        gpu.fails[WAIT] = 719
        with pytest.raises(EngineError, match="tiny engine: the kernel failed while it ran"):
            made.call(fed)
        gpu.fails.clear()


def test_seq_is_refused_with_the_layout_to_take_instead(gpu: LateGpu) -> None:
    with pytest.raises(UnsupportedError, match=r"left and right cannot both lie there; measure mono: .*twice as long"):
        Resident("seq", (card(1, stateful=False),) * 2, channels(), [Engine(asked(), open_gpu("spin"))])


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_engine_without_a_device_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match="transfer=device is for engines that compute on a device with memory"):
        Resident(name, (card(1, stateful=False),) * 2, channels(), [OnHost(), OnHost()])


class OnHost(Session):
    """An engine of a processor."""

    def run(self, feeds: Feeds) -> Any:
        raise AssertionError("never called")

    def facts(self) -> Facts:
        return Facts("fp32")
