"""What a session can do beyond answering calls when its engine computes on a device with memory of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from runtimes.base import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runtimes.base import Array


class DeviceSession(Session):
    """A session whose work can be put on the device without waiting for it.

    Host to host, ``run`` is ``begin`` and ``finish``; device to device, it is ``launch`` and ``wait``, between a
    ``put`` and a ``get`` that nobody times. Between ``begin`` and ``finish``, or ``launch`` and ``wait``, other
    sessions of the same process may begin work of their own; this one may not.
    """

    def run(self, feeds: dict[str, Array]) -> Sequence[Array]:
        """Answer one call, host arrays in, host arrays out; returns when they are readable."""
        self.begin(feeds)
        return self.finish()

    @abstractmethod
    def begin(self, feeds: dict[str, Array]) -> None:
        """Put one call on the device, transfers of inputs and outputs included, and return at once."""

    @abstractmethod
    def finish(self) -> Sequence[Array]:
        """Wait for what was begun; the outputs as host arrays, the caller's own."""

    @abstractmethod
    def put(self, feeds: dict[str, Array]) -> None:
        """Copy inputs to the device; returns when they are there."""

    @abstractmethod
    def launch(self) -> None:
        """Put one call on the device, from inputs that are there to outputs that stay there, and return at once."""

    @abstractmethod
    def wait(self) -> None:
        """Return when what was launched is done."""

    @abstractmethod
    def get(self) -> Sequence[Array]:
        """The outputs of the last call as host arrays, the caller's own."""

    @abstractmethod
    def watch(self, *, on: bool) -> None:
        """Whether the device's own clock is read at both ends of every call; off until asked for: it takes time."""

    @abstractmethod
    def device_ns(self) -> int:
        """Nanoseconds between the two ends of the last call, by the device's clock, once it is over."""
