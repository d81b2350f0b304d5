"""Two workers that take turns: while one computes, the other is stopped. What a worker does about it.

A worker that has a baton gives it back to its parent between two calls, with an empty reply, and goes on when a byte
comes in on stdin. What happens meanwhile is no part of its samples.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.disturbance import Watch

# How long a reply is, before the reply.
HEADER = struct.Struct("<Q")
# What a worker writes in the place of a reply.
OVER = HEADER.pack(0)
# One turn. Long beside the switch and what it costs the caches, short beside what a neighbour does to a core.
TURN_NS, CALLS_LEAST = 30_000_000, 2
# After a switch the other's data are in the caches: calls are made and not kept for so long, one at least.
SETTLE_NS = 2_000_000


class Baton:
    """Held while this worker may compute.

    Args:
        give: says that it is given back.
        wait: returns when it comes again.
        watch: what the machine does in between is nothing to this worker.
        clock: nanoseconds, monotonic.
    """

    def __init__(
        self,
        give: Callable[[], None],
        wait: Callable[[], None],
        watch: Watch,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._give, self._wait, self._watch, self._clock = give, wait, watch, clock
        self._until_ns = 0
        # The first turn has to be waited for.
        self._calls = CALLS_LEAST - 1
        # How many calls had been kept when each turn began.
        self.turns: list[int] = []
        # Without settling in, which is work of this process.
        self.rested_ns = 0

    @staticmethod
    def of_worker(reply: int, watch: Watch) -> Baton:
        """The baton between a worker and its parent.

        Args:
            reply: the descriptor for replies.
            watch: see above.
        """

        def give() -> None:
            os.write(reply, OVER)

        def wait() -> None:
            # No parent, no byte: then nobody else computes either.
            os.read(0, 1)

        return Baton(give, wait, watch)

    def over(self, now_ns: int) -> bool:
        """Whether the turn ends here; asked once before each call."""
        self._calls += 1
        return now_ns >= self._until_ns and self._calls >= CALLS_LEAST

    def rest(self, call: Callable[[], object], kept: int) -> int:
        """Let the other one compute, and settle in again.

        Args:
            call: what is made and not kept afterwards.
            kept: calls that were kept so far.

        Returns:
            Nanoseconds until the next call that counts.
        """
        begin = self._clock()
        self._watch.pause()
        self._give()
        self._wait()
        self._watch.go_on()
        back = self._clock()
        settled = back + SETTLE_NS
        while True:
            call()
            now = self._clock()
            if now >= settled:
                break
        self._calls = 0
        self.turns.append(kept)
        self._until_ns = now + TURN_NS
        self.rested_ns += back - begin
        return now - begin
