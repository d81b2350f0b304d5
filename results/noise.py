"""How quiet the machine was, told from what disturbed each process."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from results.record import Record

# Chosen by us: with more than these shares, method notes saw p50 move by more than its interval.
FOREIGN_MOST = 0.05
STEAL_MOST = 0.02
# A call is disturbed when its share of processor time falls this far below the process's usual.
CONTENDED_BELOW = 0.9
CONTENDED_MOST = 0.10


@dataclass(frozen=True)
class Noise:
    """Disturbance over a whole run; shares are medians over its processes, None where unknown.

    Attributes:
        foreign: share of all processors' time that other processes on this machine took.
        steal: share of it that the hypervisor gave to other machines.
        contended: share of timed calls that got clearly less processor time than usual.
        quiet: none of them is above its threshold.
        sentence: the same for a person.
    """

    foreign: float | None
    steal: float | None
    contended: float | None
    quiet: bool
    sentence: str


def noise(records: Iterable[Record]) -> Noise:
    """Judge a run by its processes' records."""
    measured = [record for record in records if record.facts.get("disturbance")]
    foreign = _median(record.facts["disturbance"]["foreign"] for record in measured)
    steal = _median(record.facts["disturbance"]["steal"] for record in measured)
    contended = _median(contended_share(record) for record in measured)
    bad = [
        f"{what} {share:.0%}"
        for what, share, most in (
            ("other programs used", foreign, FOREIGN_MOST),
            ("the hypervisor took", steal, STEAL_MOST),
        )
        if share is not None and share > most
    ]
    if contended is not None and contended > CONTENDED_MOST:
        bad.append(f"{contended:.0%} of the calls were interrupted")
    if not measured:
        sentence = "nothing was measured, so nothing is known about noise"
    elif bad:
        sentence = f"NOISY: {'; '.join(bad)} — repeat on a quieter machine before trusting small differences"
    else:
        parts = [f"other programs used {foreign:.1%}" if foreign is not None else "", _stolen(steal)]
        sentence = f"quiet ({', '.join(part for part in parts if part)})"
    return Noise(foreign, steal, contended, not bad, sentence)


def contended_share(record: Record) -> float | None:
    """Share of a process's calls whose CPU time over wall time fell below nine tenths of its median.

    The kernel's CPU clock ticks coarsely for very short calls, so calls under 0.1 ms say nothing.
    """
    wall, cpu = record.settled_ns, record.cpu_ns[record.warmup :]
    if wall.size < 5 or cpu.size != wall.size or np.median(wall) < 1e5:
        return None
    ratio = cpu / wall
    return float(np.mean(ratio < CONTENDED_BELOW * np.median(ratio)))


def _stolen(steal: float | None) -> str:
    return "" if steal is None else f"the hypervisor took {steal:.1%}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
