"""Layouts: how two channels meet one or two sessions.

A layout turns a call number into arguments (:meth:`Layout.feeds`), answers them in the timed
:attr:`Layout.call`, carries states from call to call (:meth:`Layout.absorb`), and splits what
came out into channels, so that each channel is compared with its own expected answer.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.plan import NO_DEVICE
from models.inputs import initial_state, stack
from runtimes.device_session import DeviceSession
from runtimes.errors import UnsupportedError

if TYPE_CHECKING:
    from models.card import Card
    from runtimes.base import Session

Feeds = dict[str, NDArray[np.generic]]
Outputs = Sequence[NDArray[np.generic]]


LONG_S = 1000.0


class Lane:
    """One stream of calls with its own inputs and, for stateful models, its own states."""

    def __init__(self, card: Card, inputs: Sequence[Feeds]) -> None:
        self.inputs = list(inputs)
        self._initial: Feeds = initial_state(card)
        positions = {port.name: index for index, port in enumerate(card.outputs)}
        self._carried = {name: positions[source] for name, source in card.states.items()}
        self._state = dict(self._initial)

    def begin(self) -> None:
        """Back to the initial states."""
        self._state = dict(self._initial)

    def feeds(self, number: int) -> Feeds:
        """The inputs of one call; the same objects every rotation, so that nothing is copied."""
        chosen = self.inputs[number % len(self.inputs)]
        return {**chosen, **self._state} if self._state else chosen

    def absorb(self, outputs: Outputs) -> None:
        """Carry the states that came out into the next call."""
        for name, position in self._carried.items():
            self._state[name] = outputs[position]

    @property
    def stateful(self) -> bool:
        """Whether a call's answer depends on the calls before it."""
        return bool(self._carried)


class Layout(ABC):
    """See the module's text.

    Attributes:
        call: what is timed: the result of :meth:`feeds` in, raw outputs out.
        rotations: after this many calls the inputs repeat.
        channels: which channels of the oracle the answers belong to.
        collect: what a call returned to raw outputs, where they stayed on a device; None elsewhere.
    """

    call: Callable[[Any], Any]
    channels: int
    collect: Callable[[Any], Any] | None = None

    def __init__(self, lanes: list[Lane]) -> None:
        self.lanes = lanes
        self.rotations = len(lanes[0].inputs)
        self.stateful = lanes[0].stateful

    def begin(self) -> None:
        """Back to the initial states."""
        for lane in self.lanes:
            lane.begin()

    @abstractmethod
    def feeds(self, number: int) -> Any:
        """The argument of one call."""

    @abstractmethod
    def absorb(self, outputs: Any) -> None:
        """Carry states into the next call."""

    @abstractmethod
    def answers(self, outputs: Any) -> list[Outputs]:
        """One list of outputs per channel."""

    def close(self) -> None:
        """End what the layout started."""


class _One(Layout):
    """One lane."""

    def feeds(self, number: int) -> Feeds:
        return self.lanes[0].feeds(number)

    def absorb(self, outputs: Outputs) -> None:
        if self.stateful:
            self.lanes[0].absorb(outputs)


class Mono(_One):
    """One channel, one call."""

    channels = 1

    def __init__(self, lanes: list[Lane], sessions: list[Session]) -> None:
        super().__init__(lanes[:1])
        self.call = sessions[0].run

    def answers(self, outputs: Outputs) -> list[Outputs]:
        return [outputs]


class _Two(Layout):
    """Two lanes that stay apart."""

    channels = 2

    def feeds(self, number: int) -> tuple[Feeds, Feeds]:
        return self.lanes[0].feeds(number), self.lanes[1].feeds(number)

    def absorb(self, outputs: tuple[Outputs, Outputs]) -> None:
        if self.stateful:
            self.lanes[0].absorb(outputs[0])
            self.lanes[1].absorb(outputs[1])

    def answers(self, outputs: tuple[Outputs, Outputs]) -> list[Outputs]:
        return list(outputs)


class Seq(_Two):
    """Left, then right, on one session."""

    def __init__(self, lanes: list[Lane], sessions: list[Session]) -> None:
        super().__init__(lanes)
        run = sessions[0].run
        self.call = lambda pair: (run(pair[0]), run(pair[1]))


class Par(_Two):
    """Left and right at once: the caller's thread takes the left, a waiting thread the right.

    Attributes:
        overlap_ns, shorter_ns: summed over calls, how long both sides ran at the same time, and
            how long the shorter side took; their ratio says whether the sides really overlapped.
    """

    def __init__(self, lanes: list[Lane], sessions: list[Session]) -> None:
        super().__init__(lanes)
        self._left, self._right = sessions[0].run, sessions[1].run
        # Two locks used as gates: handing over costs one futex call and no busy waiting.
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._feeds: Feeds | None = None
        self._outputs: Outputs = ()
        self._error: BaseException | None = None
        self._span = (0, 0)
        # The interpreter hands its lock over after 5 ms by itself, in between the end of one side
        # and the reading of its clock, so that sides taking turns would look as if they overlapped.
        self._interval_s = sys.getswitchinterval()
        sys.setswitchinterval(LONG_S)
        self.overlap_ns = self.shorter_ns = 0
        self._thread = threading.Thread(target=self._serve, name="right", daemon=True)
        self._thread.start()
        self.call = self._both

    def begin(self) -> None:
        super().begin()
        self.overlap_ns = self.shorter_ns = 0

    def _both(self, pair: tuple[Feeds, Feeds]) -> tuple[Outputs, Outputs]:
        self._feeds = pair[1]
        self._go.release()
        begin = time.perf_counter_ns()
        try:
            left = self._left(pair[0])
        finally:
            end = time.perf_counter_ns()
            self._done.acquire()
        error, self._error = self._error, None
        if error is not None:
            raise error
        other_begin, other_end = self._span
        self.overlap_ns += max(0, min(end, other_end) - max(begin, other_begin))
        self.shorter_ns += min(end - begin, other_end - other_begin)
        return left, self._outputs

    def _serve(self) -> None:
        clock = time.perf_counter_ns
        while True:
            self._go.acquire()
            feeds = self._feeds
            if feeds is None:
                return
            begin = clock()
            try:
                self._outputs = self._right(feeds)
            except BaseException as error:  # noqa: BLE001  # raised again on the caller's thread
                self._error = error
            self._span = (begin, clock())
            self._done.release()

    def close(self) -> None:
        self._feeds = None
        self._go.release()
        self._thread.join(timeout=5)
        sys.setswitchinterval(self._interval_s)


class Streams(_Two):
    """Left, then right, put on a device each on a stream of its own by one thread, then waited for."""

    def __init__(self, lanes: list[Lane], sessions: list[Session]) -> None:
        super().__init__(lanes)
        self._sessions = device_sessions(NO_DEVICE, sessions)
        self.call = self._both

    def _both(self, pair: tuple[Feeds, Feeds]) -> tuple[Outputs, Outputs]:
        left, right = self._sessions
        left.begin(pair[0])
        right.begin(pair[1])
        return left.finish(), right.finish()


def device_sessions(why: str, sessions: Sequence[Session]) -> list[DeviceSession]:
    """The sessions, of an engine that can begin work without waiting for it.

    Args:
        why: what to say of one that cannot.
        sessions: of one engine.

    Raises:
        UnsupportedError: it cannot.
    """
    found = [session for session in sessions if isinstance(session, DeviceSession)]
    if len(found) < len(sessions):
        raise UnsupportedError(why)
    return found


class Batch2(_One):
    """Left and right in one call, stacked along the axis that the batch size changes."""

    channels = 2

    def __init__(self, lanes: list[Lane], sessions: list[Session], single: Card, double: Card) -> None:
        self._shapes = [(one.shape, two.shape) for one, two in zip(single.outputs, double.outputs, strict=True)]
        shapes = {port.name: port.shape for port in double.inputs}
        stacked = [
            {name: stack([left[name], right[name]], shapes[name]) for name in left}
            for left, right in zip(lanes[0].inputs, lanes[1].inputs, strict=True)
        ]
        super().__init__([Lane(double, stacked)])
        self.call = sessions[0].run

    def answers(self, outputs: Outputs) -> list[Outputs]:
        halves = [self._halves(index, np.asarray(output)) for index, output in enumerate(outputs)]
        return [[half[side] for half in halves] for side in (0, 1)]

    def _halves(self, index: int, output: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        single, double = self._shapes[index]
        if single is None or double is None:
            # The graph did not state this output's shape: by convention the batch comes first.
            axis: int | None = 0 if output.ndim and output.shape[0] % 2 == 0 else None
        else:
            axis = next((axis for axis, (one, two) in enumerate(zip(single, double, strict=True)) if two != one), None)
        # An output without a batch axis, such as a rate that is passed through, belongs to both.
        return [output, output] if axis is None else np.split(output, 2, axis=axis)


def make_layout(
    name: str, cards: tuple[Card, Card], inputs: Sequence[Sequence[Feeds]], sessions: list[Session]
) -> Layout:
    """The layout of that name.

    Args:
        name: a key of :data:`bench.plan.LAYOUTS`.
        cards: the model for one channel, and as it is called (the same, unless it is batched).
        inputs: [channel][rotation] → feeds for one channel.
        sessions: two for ``par`` and ``streams``, else one.
    """
    single, called = cards
    lanes = [Lane(single, channel) for channel in inputs]
    if name == "batch2":
        return Batch2(lanes, sessions, single, called)
    if name == "mono":
        return Mono(lanes, sessions)
    if name == "streams":
        return Streams(lanes, sessions)
    return Seq(lanes, sessions) if name == "seq" else Par(lanes, sessions)
