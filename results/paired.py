"""Two processes that computed in turns: their calls, turn by turn.

What slowed the machine down during a turn was there for the other's turn as well, which is tens of milliseconds away;
so calls are compared with those of the same turn, and with no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from results.record import Record

# So many calls of a turn, evenly spread over it, say all there is to say.
CALLS_MOST = 24

# The calls of one process, by number of the turn, in nanoseconds.
Turns = dict[int, "NDArray[np.int64]"]


def turn_of_calls(record: Record) -> NDArray[np.int64] | None:
    """The turn in which each call after warm-up was made, shape ``(calls,)``; None for a process that took none.

    What its worker noted is how many calls had been kept when each turn began.
    """
    begins = record.facts.get("turns")
    if not begins or record.settled_ns.size == 0:
        return None
    calls = np.arange(record.warmup, record.wall_ns.size)
    return np.searchsorted(np.asarray(begins, np.int64), calls, side="right").astype(np.int64) - 1


def common(first: Turns, second: Turns) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The calls of both, turn by turn; turns of which one has no calls, as during its warm-up, are left out."""
    return [(first[number], second[number]) for number in sorted(first.keys() & second.keys())]


def ratio(turns: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> float:
    """By how much the second's calls are longer: the log of the middle one of all ratios of two calls of one turn.

    Exchanging the two changes its sign and nothing else.

    Args:
        turns: from :func:`common`, one at least.
    """
    ratios = [np.subtract.outer(_logs(b), _logs(a)).ravel() for a, b in turns]
    return float(np.median(np.concatenate(ratios)))


def _logs(calls: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of some calls, evenly spread over the turn."""
    if len(calls) > CALLS_MOST:
        calls = calls[np.linspace(0, len(calls) - 1, CALLS_MOST).round().astype(np.int64)]
    # A coarse clock may see no time pass.
    found: NDArray[np.float64] = np.log(np.maximum(calls, 1))
    return found
