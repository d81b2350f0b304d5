"""What one process left behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

STATUSES = ("ok", "wrong", "failed", "timeout", "unavailable")


def _no_samples() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Record:
    """One process: one measurement of one cell, or the reason there is none.

    Attributes:
        cell: the cell's id.
        round: which round it belonged to; with the cell it is unique.
        status: one of :data:`STATUSES`.
        reason: why it is not ``ok``, one sentence.
        started_at: UTC, ISO 8601.
        facts: everything else, JSON values: phases, errors, threads, memory, disturbance, what
            the process printed.
        wall_ns: wall times of the timed calls, nanoseconds, shape (calls,), warm-up included.
        cpu_ns: CPU time of the whole process over the same calls, same shape.
        warmup: how many of the first samples are warm-up.
    """

    cell: str
    round: int
    status: str
    reason: str
    started_at: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    wall_ns: NDArray[np.int64] = field(default_factory=_no_samples)
    cpu_ns: NDArray[np.int64] = field(default_factory=_no_samples)
    warmup: int = 0

    @property
    def settled_ns(self) -> NDArray[np.int64]:
        """Wall times after warm-up, nanoseconds."""
        return self.wall_ns[self.warmup :]
