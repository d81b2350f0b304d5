"""Calls during which somebody else had the processors, told by wall time against CPU time.

A call that is left alone uses the same number of processors every time: one for one thread, about two for two. While
others have a processor, less CPU time goes into the same wall time. The level of calls that were left alone is taken
from all processes of a comparison, both sides together: one process may have been disturbed from its first call to its
last, and a level for each side would depend on which process happens to be on which. Counters do not tell everything: a
neighbour on the same physical core slows a call down and leaves its share of the processor alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from results.paired import turn_of_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from results.paired import Turns
    from results.record import Record

# A call with this share less of the processors was contended.
TOLERANCE = 0.02
# So many calls of a process, evenly spread, say all there is to say.
CALLS_MOST = 1000
# The level of calls that are left alone: this quantile of all calls, and how far calls scatter above it.
LEVEL, ABOVE = 0.75, 0.95
# A process with fewer calls that were left alone than both has no quiet figure.
KEPT_LEAST, KEPT_SHARE_LEAST = 5, 0.2


@dataclass(frozen=True)
class Calls:
    """The calls of one process after warm-up.

    Attributes:
        all_ns: wall times, shape ``(calls,)``; evenly thinned where there are very many.
        kept: which of them were left alone, same shape.
        turn: the turn each was made in, same shape; None for a process that took no turns.
    """

    all_ns: NDArray[np.int64]
    kept: NDArray[np.bool_]
    turn: NDArray[np.int64] | None = None

    @property
    def share(self) -> float:
        """Of calls that were left alone."""
        return float(self.kept.mean())

    @property
    def quiet_ns(self) -> NDArray[np.int64] | None:
        """Wall times of those; None where they are too few to stand for the process."""
        count = int(self.kept.sum())
        if count < min(KEPT_LEAST, len(self.kept)) or self.share < KEPT_SHARE_LEAST:
            return None
        return self.all_ns[self.kept]

    def turns(self, *, quiet: bool) -> Turns | None:
        """Wall times by turn, of all calls or of those that were left alone; None for a process that took no turns."""
        if self.turn is None:
            return None
        times, turn = (self.all_ns[self.kept], self.turn[self.kept]) if quiet else (self.all_ns, self.turn)
        # Turns follow each other.
        begins = np.flatnonzero(np.diff(turn)) + 1
        return {int(turn[begin]): times[begin:end] for begin, end in pairwise((0, *begins, len(turn))) if end > begin}


def calls(records: Sequence[Record]) -> list[Calls]:
    """The calls of every process, in the same order.

    Args:
        records: of both sides of a comparison, each with samples. What is kept of one does not depend on its side.
    """
    shares = [_shares(record) for record in records]
    least = _least([own for own in shares if own is not None])
    found = []
    for record, own in zip(records, shares, strict=True):
        wall_ns = _thinned(record.settled_ns)
        kept = np.ones(wall_ns.size, np.bool_) if own is None or least is None else own >= least
        turn = turn_of_calls(record)
        found.append(Calls(wall_ns, kept, None if turn is None else _thinned(turn)))
    return found


def _thinned(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return values[:: -(-len(values) // CALLS_MOST)]


def _least(shares: Sequence[NDArray[np.float64]]) -> float | None:
    """Processors that a call which was left alone uses at least; None where nobody can say."""
    if not shares:
        return None
    level, above = np.quantile(np.concatenate(shares), [LEVEL, ABOVE])
    if level <= 0.0:
        return None
    # Calls that scatter by themselves, as those of several threads do, are not contended for that.
    return float(level * (1.0 - max(TOLERANCE, 2.0 * (above - level) / level)))


def _shares(record: Record) -> NDArray[np.float64] | None:
    """Processors used in each call after warm-up; None where waiting is part of the work, as for a GPU."""
    cpu_ns = record.cpu_ns[record.warmup :]
    on_gpu = str(record.facts.get("device") or "cpu").startswith("cuda")
    if on_gpu or cpu_ns.size != record.settled_ns.size:
        return None
    return _thinned(cpu_ns) / np.maximum(_thinned(record.settled_ns), 1)
