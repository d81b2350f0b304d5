"""A layout decides which numbers meet which session: a mix-up is a wrong answer, or a time of other work."""

import ctypes
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.layouts import Batch2, Feeds, Lane, Layout, Par, Streams, make_layout
from bench.plan import LAYOUTS, TWO_SESSIONS
from models.card import Card, Port
from results.summary import OVERLAP_LEAST
from runtimes.base import Facts, Session
from runtimes.device_session import DeviceSession
from runtimes.errors import EngineError, UnsupportedError

Array = NDArray[Any]
ROTATIONS = 3


class Fake(Session):
    """Answers with what ``compute`` says and remembers what it was fed, and on which thread."""

    def __init__(self, compute: Callable[[Feeds], list[Array]] = lambda feeds: [feeds["x"] * 10]) -> None:
        self.compute = compute
        self.fed: list[Feeds] = []
        self.threads: set[str] = set()

    def run(self, feeds: Feeds) -> Sequence[Array]:
        self.fed.append(feeds)
        self.threads.add(threading.current_thread().name)
        return self.compute(feeds)

    def facts(self) -> Facts:
        return Facts("fp32")


class FakeDevice(Fake, DeviceSession):
    """The same on a device: what is begun is computed when it is waited for; ``order`` is who did what when."""

    def __init__(
        self,
        compute: Callable[[Feeds], list[Array]] = lambda feeds: [feeds["x"] * 10],
        order: list[str] | None = None,
        name: str = "",
    ) -> None:
        super().__init__(compute)
        self.order = order if order is not None else []
        self.name = name
        self.begun: Feeds | None = None

    def begin(self, feeds: Feeds) -> None:
        assert self.begun is None, "begun twice"
        self.order.append(f"{self.name} begins")
        self.begun = feeds

    def finish(self) -> Sequence[Array]:
        self.order.append(f"{self.name} is waited for")
        begun, self.begun = self.begun, None
        assert begun is not None, "nothing was begun"
        return Fake.run(self, begun)

    run = DeviceSession.run
    # What stays on the device is another layout's matter.
    put = launch = wait = get = watch = device_ns = None  # type: ignore[assignment]


def sessions_for(name: str, compute: Callable[[Feeds], list[Array]] | None = None) -> list[Session]:
    """As many fakes as a layout takes, of the kind that it takes."""
    kind = FakeDevice if name == "streams" else Fake
    return [kind(compute) if compute else kind() for _ in range(2 if name in TWO_SESSIONS else 1)]


def card(
    batch: int = 1,
    *,
    inputs: tuple[Port, ...] | None = None,
    outputs: tuple[Port, ...] | None = None,
    states: dict[str, str] | None = None,
) -> Card:
    return Card(
        name="net",
        form="raw",
        batch=batch,
        path="",
        sha256="",
        inputs=inputs or (Port("x", (batch, 2), "float32"),),
        outputs=outputs or (Port("y", (batch, 2), "float32"),),
        states=states or {},
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
def layout(
    name: str, sessions: Sequence[Session], inputs: Sequence[Sequence[Feeds]] | None = None, **ports: Any
) -> Iterator[Layout]:
    """The layout, closed at the end; ``ports`` describe the model."""
    called = ports.pop("called", card(2 if name == "batch2" else 1))
    made = make_layout(name, (ports.pop("single", card()), called), inputs or channels(), list(sessions))
    try:
        yield made
    finally:
        made.close()


def answer(made: Layout, number: int) -> list[list[float]]:
    """The first value of each output, per channel."""
    outputs = made.call(made.feeds(number))
    made.absorb(outputs)
    return [[float(np.asarray(one).flat[0]) for one in channel] for channel in made.answers(outputs)]


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_each_channel_is_answered_with_its_own_inputs_in_turn(name: str) -> None:
    with layout(name, sessions_for(name)) as made:
        assert made.rotations == ROTATIONS
        assert made.channels == (1 if name == "mono" else 2)
        for number in range(2 * ROTATIONS):
            turn = number % ROTATIONS
            assert answer(made, number) == [[10.0 * turn], [10.0 * (100 + turn)]][: made.channels]


def test_mono_is_one_call_on_the_left_channel() -> None:
    session = Fake()
    with layout("mono", [session]) as made:
        answer(made, 1)
    assert [feeds["x"][0, 0] for feeds in session.fed] == [1]


def test_seq_is_left_then_right_on_one_session() -> None:
    session = Fake()
    with layout("seq", [session]) as made:
        answer(made, 1)
    assert [feeds["x"][0, 0] for feeds in session.fed] == [1, 101]


def test_par_gives_each_side_a_session_and_a_thread_of_its_own() -> None:
    left, right = Fake(), Fake()
    with layout("par", [left, right]) as made:
        for number in range(2):
            answer(made, number)
    assert [feeds["x"][0, 0] for feeds in left.fed] == [0, 1]
    assert [feeds["x"][0, 0] for feeds in right.fed] == [100, 101]
    assert left.threads == {threading.current_thread().name}
    assert right.threads == {"right"}


def test_streams_begins_both_sides_before_it_waits_for_either() -> None:
    # One after the other, the device would rest while the host carries answers.
    order: list[str] = []
    before = threading.active_count()
    sides = [FakeDevice(order=order, name=name) for name in ("left", "right")]
    with layout("streams", sides) as made:
        assert isinstance(made, Streams)
        assert answer(made, 1) == [[10.0], [1010.0]]
        assert order == ["left begins", "right begins", "left is waited for", "right is waited for"]
        assert answer(made, 2) == [[20.0], [1020.0]]
        # Two threads would be par with another name.
        assert threading.active_count() == before
    assert [[feeds["x"][0, 0] for feeds in side.fed] for side in sides] == [[1, 2], [101, 102]]
    assert [side.threads for side in sides] == [{threading.current_thread().name}] * 2


def test_streams_refuses_an_engine_without_a_device() -> None:
    with pytest.raises(UnsupportedError, match="streams is for engines that compute on a device with memory of its o"):
        make_layout("streams", (card(), card()), channels(), [Fake(), Fake()])
    with pytest.raises(UnsupportedError):
        make_layout("streams", (card(), card()), channels(), [FakeDevice(), Fake()])


@pytest.mark.parametrize("side", [0, 1], ids=["left", "right"])
def test_a_failure_of_either_stream_surfaces_where_it_was_called(side: int) -> None:
    def fail(feeds: Feeds) -> list[Array]:
        raise EngineError("the kernel failed")

    sides = [FakeDevice(), FakeDevice()]
    sides[side].compute = fail
    with layout("streams", sides) as made, pytest.raises(EngineError, match="the kernel failed"):
        made.call(made.feeds(0))


def test_batch2_is_one_call_with_both_channels() -> None:
    session = Fake()
    with layout("batch2", [session]) as made:
        answer(made, 1)
    (fed,) = session.fed
    assert fed["x"].tolist() == [[1, 1], [101, 101]]
    assert fed["x"].dtype == np.float32


def test_what_is_fed_is_never_copied_between_calls() -> None:
    # A copy inside the loop would put cold memory under the engine that no application has.
    for name in LAYOUTS:
        with layout(name, sessions_for(name)) as made:
            first, again = (made.feeds(number) for number in (1, 1 + ROTATIONS))
            pairs = zip(first, again, strict=True) if isinstance(first, tuple) else [(first, again)]
            assert all(one["x"] is other["x"] for one, other in pairs)


def test_batch2_stacks_and_splits_along_the_axis_that_grows() -> None:
    # Frames first, batch in the middle: split along axis 0, left would get half of right's frames.
    single = card(inputs=(Port("x", (5, 1, 2), "float32"),), outputs=(Port("y", (2, 3, 1), "float32"),))
    double = card(2, inputs=(Port("x", (5, 2, 2), "float32"),), outputs=(Port("y", (2, 3, 2), "float32"),))
    inputs: list[list[Feeds]] = [[{"x": np.full((5, 1, 2), float(side + 1), np.float32)}] for side in range(2)]
    session = Fake(lambda feeds: [np.broadcast_to(feeds["x"][0, :, 0], (2, 3, 2)).copy()])
    with layout("batch2", [session], inputs, single=single, called=double) as made:
        halves = made.answers(made.call(made.feeds(0)))
    assert session.fed[0]["x"].shape == (5, 2, 2)
    assert [[half.shape for half in side] for side in halves] == [[(2, 3, 1)], [(2, 3, 1)]]
    assert [float(np.unique(side[0])[0]) for side in halves] == [1.0, 2.0]


def test_batch2_gives_what_both_channels_share_once() -> None:
    # A sample rate is one number however many channels there are.
    ports = (Port("x", (1, 2), "float32"), Port("rate", (), "int64"))
    double = card(2, inputs=(Port("x", (2, 2), "float32"), ports[1]))
    inputs: list[list[Feeds]] = [
        [{"x": np.full((1, 2), float(side), np.float32), "rate": np.array(16000)}] for side in range(2)
    ]
    session = Fake()
    with layout("batch2", [session], inputs, single=card(inputs=ports), called=double) as made:
        made.call(made.feeds(0))
    assert session.fed[0]["rate"].shape == ()
    assert session.fed[0]["x"].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4,)])
def test_batch2_gives_an_output_that_does_not_grow_to_both_channels(shape: tuple[int, ...]) -> None:
    # A gain or a counter has no half; cut in two it would be called wrong, or crash, on every runtime.
    outputs = (Port("y", (1, 2), "float32"), Port("gain", shape, "float32"))
    double = card(2, outputs=(Port("y", (2, 2), "float32"), outputs[1]))
    gain = np.ones(shape, np.float32)
    session = Fake(lambda feeds: [feeds["x"], gain])
    with layout("batch2", [session], single=card(outputs=outputs), called=double) as made:
        left, right = made.answers(made.call(made.feeds(0)))
    assert left[1].shape == right[1].shape == shape
    assert (left[0][0, 0], right[0][0, 0]) == (0, 100)


def test_batch2_takes_the_first_axis_where_the_graph_states_no_shape() -> None:
    unknown = (Port("y", None, "float32"),)
    with layout("batch2", [Fake()], single=card(outputs=unknown), called=card(2, outputs=unknown)) as made:
        assert answer(made, 2) == [[20.0], [1020.0]]


def counting(batch: int = 1) -> Card:
    """A model whose state counts up by its input."""
    inputs = (Port("x", (batch, 2), "float32"), Port("h", (batch, 2), "float32"))
    outputs = (Port("y", (batch, 2), "float32"), Port("hn", (batch, 2), "float32"))
    return card(batch, inputs=inputs, outputs=outputs, states={"h": "hn"})


def count(feeds: Feeds) -> list[Array]:
    total: Array = np.add(feeds["h"], feeds["x"])
    return [total * 2, total]


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_states_are_carried_per_channel_and_begin_again(name: str) -> None:
    # Left's state in right's call is a wrong answer that only shows after the first call.
    called = counting(2 if name == "batch2" else 1)
    with layout(name, sessions_for(name, count), single=counting(), called=called) as made:
        assert made.stateful
        runs = []
        for _ in range(2):
            made.begin()
            runs.append([answer(made, number) for number in range(4)])
    left = [0.0, 1.0, 3.0, 3.0]  # 0, 0 + 1, + 2, + 0
    right = [100.0, 201.0, 303.0, 403.0]
    expected = [[[2 * a, a], [2 * b, b]][: made.channels] for a, b in zip(left, right, strict=True)]
    assert runs == [expected, expected]


def test_a_model_without_states_carries_nothing() -> None:
    for name in LAYOUTS:
        with layout(name, sessions_for(name)) as made:
            assert not made.stateful
            answer(made, 0)
            made.begin()
            assert answer(made, 0)[0] == [0.0]


def test_initial_states_are_not_changed_by_what_comes_out() -> None:
    lane = Lane(counting(), channels()[0])
    fed = lane.feeds(0)
    lane.absorb([np.ones((1, 2), np.float32), np.full((1, 2), 7, np.float32)])
    assert lane.feeds(0)["h"][0, 0] == 7
    assert fed["h"][0, 0] == 0
    lane.begin()
    assert lane.feeds(0)["h"][0, 0] == 0
    assert lane.feeds(0)["x"] is fed["x"]


def test_par_really_runs_both_sides_at_the_same_time() -> None:
    # Each side waits for the other in the middle of its call: one after the other would never meet.
    met, left = threading.Barrier(2, timeout=10), threading.Barrier(2, timeout=10)

    def meet(feeds: Feeds) -> list[Array]:
        met.wait()
        time.sleep(0.005)
        left.wait()
        return [feeds["x"]]

    with layout("par", [Fake(meet), Fake(meet)]) as made:
        for number in range(3):
            assert answer(made, number) == [[number], [100 + number]]
        assert isinstance(made, Par)
        assert made.overlap_ns / made.shorter_ns > OVERLAP_LEAST


@pytest.mark.parametrize("hold_us", [500, 8000], ids=["half a millisecond", "longer than the interpreter's turn"])
def test_par_reports_sides_that_took_turns(hold_us: int) -> None:
    # An engine that keeps the interpreter lock computes left, then right: that is seq with a better name.
    hold = ctypes.PyDLL(None).usleep  # through PyDLL the lock is kept

    def keep(feeds: Feeds) -> list[Array]:
        hold(hold_us)
        return [feeds["x"]]

    with layout("par", [Fake(keep), Fake(keep)]) as made:
        for number in range(4):
            answer(made, number)
        assert isinstance(made, Par)
        assert made.overlap_ns / made.shorter_ns < OVERLAP_LEAST / 2


def test_a_failure_on_the_right_surfaces_where_it_was_called() -> None:
    def fail(feeds: Feeds) -> list[Array]:
        if feeds["x"][0, 0] == 101:
            raise ValueError("right cannot")
        return [feeds["x"]]

    with layout("par", [Fake(), Fake(fail)]) as made:
        assert answer(made, 0) == [[0.0], [100.0]]
        with pytest.raises(ValueError, match="right cannot"):
            made.call(made.feeds(1))


def test_even_an_engine_that_calls_exit_on_the_right_does_not_hang_the_process() -> None:
    def leave(feeds: Feeds) -> list[Array]:
        raise SystemExit(3)

    with layout("par", [Fake(), Fake(leave)]) as made, pytest.raises(SystemExit):
        made.call(made.feeds(0))


def test_a_failure_on_the_left_waits_for_the_right_to_come_back() -> None:
    # A right side that is still computing while sessions are closed is a crash instead of a reason.
    entered, finished = threading.Event(), threading.Event()

    def fail(feeds: Feeds) -> list[Array]:
        assert entered.wait(10)
        raise ValueError("left cannot")

    def slow(feeds: Feeds) -> list[Array]:
        entered.set()
        time.sleep(0.005)
        finished.set()
        return [feeds["x"]]

    with layout("par", [Fake(fail), Fake(slow)]) as made:
        with pytest.raises(ValueError, match="left cannot"):
            made.call(made.feeds(0))
        assert finished.is_set()


def test_par_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    for _ in range(3):
        with layout("par", [Fake(), Fake()]) as made:
            answer(made, 0)
    assert threading.active_count() == before


def test_a_layout_that_is_closed_unused_ends() -> None:
    with layout("par", [Fake(), Fake()]):
        pass
    with layout("batch2", [Fake()]) as made:
        assert isinstance(made, Batch2)
