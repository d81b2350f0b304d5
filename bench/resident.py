"""Layouts whose inputs and outputs stay on the device: the call that is timed comprises no transfers.

Made of an ordinary layout over sessions that only compute what lies there: what it feeds goes to the device before a
call, and what a call left there is brought back where somebody looks at it. Neither is timed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.layouts import Layout, device_sessions, make_layout
from bench.plan import NO_DEVICE, NO_ROOM
from runtimes.base import Facts, Session
from runtimes.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.layouts import Feeds, Outputs
    from models.card import Card
    from runtimes.device_session import DeviceSession


class Resident(Layout):
    """See the module's text.

    Args:
        name: of the layout.
        cards, inputs: as for :func:`bench.layouts.make_layout`.
        sessions: of an engine with a device; each holds its own share of what is fed.

    Raises:
        UnsupportedError: the engine has no device, or the layout needs more room than sessions have.
    """

    def __init__(
        self, name: str, cards: tuple[Card, Card], inputs: Sequence[Sequence[Feeds]], sessions: Sequence[Session]
    ) -> None:
        if name == "seq":
            raise UnsupportedError(NO_ROOM)
        self._sessions = device_sessions(NO_DEVICE.replace("streams", "transfer=device"), sessions)
        together = name == "streams"
        # Of one that keeps left and right apart and starts no thread; its call is not used.
        inner = "seq" if together else name
        self._layout = make_layout(inner, cards, inputs, [Launched(session) for session in self._sessions])
        super().__init__(self._layout.lanes)
        self.channels, self.collect = self._layout.channels, self._collect
        self.call = self._together if together else self._layout.call

    @property
    def inner(self) -> Layout:
        """The ordinary layout."""
        return self._layout

    def begin(self) -> None:
        """Back to the initial states."""
        self._layout.begin()

    def feeds(self, number: int) -> Any:
        """Put the inputs on the device."""
        fed = self._layout.feeds(number)
        shares = fed if len(self._sessions) > 1 else (fed,)
        # Left last, so that this thread is set up for the session that it calls first.
        for session, own in reversed(list(zip(self._sessions, shares, strict=True))):
            session.put(own)
        return fed

    def absorb(self, outputs: Any) -> None:
        """Carry states from call to call, by way of the host."""
        if self.stateful:
            self._layout.absorb(self._collect(outputs))

    def answers(self, outputs: Any) -> list[Outputs]:
        """As the ordinary layout splits them."""
        return self._layout.answers(outputs)

    def close(self) -> None:
        """End what the ordinary layout started."""
        self._layout.close()

    def _together(self, _: Any) -> None:
        for session in self._sessions:
            session.launch()
        for session in self._sessions:
            session.wait()

    def _collect(self, _: Any) -> Any:
        outputs = [session.get() for session in self._sessions]
        return tuple(outputs) if len(outputs) > 1 else outputs[0]


class Launched(Session):
    """A session whose call computes what lies on the device and waits for it; it answers nothing."""

    def __init__(self, session: DeviceSession) -> None:
        self._session = session

    def run(self, feeds: Feeds) -> Outputs:
        """Launch and wait; what is fed lies on the device already."""
        self._session.launch()
        self._session.wait()
        return ()

    def facts(self) -> Facts:
        """The session's own."""
        return self._session.facts()
