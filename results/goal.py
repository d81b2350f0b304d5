"""What a search looks for: the lowest time at some quantile, under conditions."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from results.record import Record

OBJECTIVES = {"p50": 0.50, "p90": 0.90, "p99": 0.99}


@dataclass(frozen=True)
class Goal:
    """What the best cell is.

    Attributes:
        objective: of :data:`OBJECTIVES`; the lowest wins.
        within_ms: most milliseconds for the p99 of a call; None for any.
        memory_bytes: most resident memory of the process; None for any.
        snr_db: least ratio of signal to error beside the form raw, decibels; None for what the quality limits allow.
        margin: how much slower than the best is good enough, as a share.
        sure: how probable that should be before the search ends early.
    """

    objective: str = "p50"
    within_ms: float | None = None
    memory_bytes: int | None = None
    snr_db: float | None = None
    margin: float = 0.02
    sure: float = 0.95

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Goal:
        """The inverse of :func:`dataclasses.asdict`."""
        return Goal(**data)

    def refusal(self, seen: Seen) -> str:
        """Which condition a process has shown to be broken; empty where none is."""
        if self.memory_bytes is not None and (seen.rss_bytes or 0) > self.memory_bytes:
            return (
                f"it takes {(seen.rss_bytes or 0) / 1e6:.0f} MB of memory, more than {self.memory_bytes / 1e6:.0f} MB"
            )
        if self.snr_db is not None and seen.snr_db is not None and seen.snr_db < self.snr_db:
            return f"its answers are {seen.snr_db:.1f} dB beside the form raw, less than {self.snr_db:g} dB"
        return ""

    def breaks(self, rounds: Iterable[Seen]) -> str:
        """Which condition a cell breaks, as far as its processes tell; empty where none, or nothing was measured.

        The deadline is held against the middle process, quiet ones where there are any: one slow process decides
        nothing.
        """
        every = list(rounds)
        for seen in every:
            if reason := self.refusal(seen):
                return reason
        quiet = [seen for seen in every if seen.quiet] or every
        if self.within_ms is not None and quiet:
            late_ms = statistics.median(seen.p99_ns for seen in quiet) * 1e-6
            if late_ms > self.within_ms:
                return f"its p99 is {late_ms:.3g} ms in the middle process, past {self.within_ms:g} ms"
        return ""


@dataclass(frozen=True)
class Seen:
    """What one process showed.

    Attributes:
        p50_ns, p90_ns, p99_ns: of its calls after warm-up; the longest call where there are too few for a quantile.
        rss_bytes: most resident memory; None where unknown.
        snr_db: beside the form raw; None in a process that was not judged, or where the answers are the same.
        quiet: whether no counter shows that others had the processors.
        took_s: from start to end of the process.
    """

    p50_ns: float
    p90_ns: float
    p99_ns: float
    rss_bytes: int | None
    snr_db: float | None
    quiet: bool
    took_s: float

    def value_ns(self, objective: str) -> float:
        """The quantile that is to be low, nanoseconds."""
        return {"p50": self.p50_ns, "p90": self.p90_ns, "p99": self.p99_ns}[objective]


def seen_by_cell(records: Iterable[Record]) -> dict[str, dict[int, Seen]]:
    """What every right process shows: cell → round → that."""
    found: dict[str, dict[int, Seen]] = {}
    for record in records:
        if (seen := seen_in(record)) is not None:
            found.setdefault(record.cell, {})[record.round] = seen
    return found


def seen_in(record: Record) -> Seen | None:
    """What a record shows; None where it has no time."""
    # The command line reads goals, and must not pay for this.
    import numpy as np

    from results.noise import undisturbed

    settled = record.settled_ns
    if record.status != "ok" or not settled.size:
        return None
    p90, p99 = np.quantile(settled, [0.90, 0.99], method="higher")
    facts = record.facts
    return Seen(
        p50_ns=float(np.median(settled)),
        p90_ns=float(p90),
        p99_ns=float(p99),
        rss_bytes=facts.get("rss_peak_bytes"),
        snr_db=(facts.get("quality") or {}).get("snr_db"),
        quiet=undisturbed(record),
        took_s=float(facts.get("took_s", 0.0)),
    )
