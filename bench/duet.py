"""Two workers in turns: each is loaded by itself, and from then on one computes while the other is stopped.

What a neighbour does to a core lasts longer than a turn, so it meets both alike. The parent gives the turns: it knows
at any time who computes, so that a hang has somebody to blame, and time spent waiting is nobody's.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.spawn import ROOT, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.spawn import Outcome


@dataclass(frozen=True)
class Task:
    """What one of the two is asked.

    Attributes:
        request, environment: as for :func:`bench.spawn.spawn`.
    """

    request: dict[str, Any]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Played:
    """What came of one of the two.

    Attributes:
        outcome: as of a worker that is alone.
        took_s: seconds that it computed, starting and ending included, waiting not.
    """

    outcome: Outcome
    took_s: float


Duet = tuple[Played, Played]


def knows_turns(request: Mapping[str, Any]) -> bool:
    """Whether the code that would serve a request can take turns; that of an older commit cannot."""
    return (Path(request.get("root", ROOT)) / "bench" / "baton.py").exists()


def duet(first: Task, second: Task, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> Duet:
    """Run two workers to their ends, in turns.

    Args:
        first: is loaded before the other is started, and has the first turn.
        second: the other.
        timeout_s: for each, of time that it computes.
        clock: seconds, monotonic.

    Raises:
        KeyboardInterrupt: passed on after both were killed.
    """
    with ExitStack() as stack:
        players = []
        for task in (first, second):
            player = _Player(task, timeout_s, clock)
            player.start(stack)
            players.append(player)
        while any(player.outcome is None for player in players):
            for player in players:
                player.turn()
        return players[0].played(), players[1].played()


class _Player:
    def __init__(self, task: Task, timeout_s: float, clock: Callable[[], float]) -> None:
        self._task, self._timeout_s, self._clock = task, timeout_s, clock
        self._took_s = 0.0
        self.outcome: Outcome | None = None

    def start(self, stack: ExitStack) -> None:
        """Load, up to where the first turn would begin."""
        begin = self._clock()
        self._worker = stack.enter_context(Worker({**self._task.request, "turns": True}, self._task.environment))
        self._worker.ask(more=True)
        self._listen(begin)

    def turn(self) -> None:
        """One turn, unless it has ended."""
        if self.outcome is None:
            begin = self._clock()
            self._worker.turn()
            self._listen(begin)

    def played(self) -> Played:
        """What came of it."""
        assert self.outcome is not None, "it has ended"
        return Played(self.outcome, self._took_s)

    def _listen(self, begin: float) -> None:
        self.outcome = self._worker.heard(max(0.0, self._timeout_s - self._took_s), self._timeout_s)
        if self.outcome is None:
            self._worker.stop()
        self._took_s += self._clock() - begin
