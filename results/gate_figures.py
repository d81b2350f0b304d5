"""What one pair of processes says about one objective of a gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from results.gate_spec import OBJECTIVES
from results.paired import common, ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from results.contended import Calls
    from results.record import Record


@dataclass(frozen=True)
class Figures:
    """One pair.

    Attributes:
        baseline, candidate: the figure of each: nanoseconds, bytes, or shares.
        difference: between them: of logs, or of the figures.
    """

    baseline: float
    candidate: float
    difference: float


def figures(
    objective: str,
    pair: tuple[Record, Record],
    calls: tuple[Calls, Calls],
    deadline_ms: float | None,
    *,
    quiet: bool,
) -> Figures | None:
    """The figures of one pair; None where either process has none.

    Exchanging the two exchanges the figures and changes the sign of the difference, and nothing else.

    Args:
        objective: of :data:`results.gate_spec.OBJECTIVES`.
        pair: baseline and candidate.
        calls: of both.
        deadline_ms: for ``misses``.
        quiet: whether contended calls are left out.
    """
    values: list[float | None]
    if objective in ("cold", "memory"):
        values = [_of_process(objective, record) for record in pair]
        turns = []
    else:
        sides = [own.turns(quiet=quiet) for own in calls]
        turns = common(sides[0], sides[1]) if sides[0] is not None and sides[1] is not None else []
        # What one of them did in its warm-up, or after the other had ended, has nothing to be compared with.
        times = [np.concatenate(side) for side in zip(*turns, strict=True)] if turns else [None, None]
        values = [
            _of_calls(objective, own.quiet_ns if quiet else own.all_ns, shared, deadline_ms)
            for own, shared in zip(calls, times, strict=True)
        ]
    baseline, candidate = values
    if baseline is None or candidate is None:
        return None
    if turns and objective == "p50":
        return Figures(baseline, candidate, ratio(turns))
    difference = math.log(candidate / baseline) if OBJECTIVES[objective].ratio else candidate - baseline
    return Figures(baseline, candidate, difference)


def _of_process(objective: str, record: Record) -> float | None:
    if objective == "cold":
        phases = record.facts.get("phases_ns")
        return float(sum(phases.values())) if phases else None
    peak = record.facts.get("rss_peak_bytes")
    return float(peak) if peak else None


def _of_calls(
    objective: str, every: NDArray[np.int64] | None, shared: NDArray[np.int64] | None, deadline_ms: float | None
) -> float | None:
    """Of the calls in common turns, where there are any; None where a process has too few to stand for it."""
    if every is None:
        return None
    times = every if shared is None else shared
    if objective == "misses":
        assert deadline_ms is not None, "a gate on misses has a deadline"
        return float(np.mean(times > deadline_ms * 1e6))
    return float(np.quantile(times, 0.5 if objective == "p50" else 0.9))
