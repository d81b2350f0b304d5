"""How quiet the machine was, told by its counters and by how far equal processes came out apart."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from results.record import Record

# Thresholds chosen by us. A process counts as disturbed when others took this share of all
# processors' time while it was timed, or when its median lies this far from its cell's.
FOREIGN_MOST = 0.05
STEAL_MOST = 0.02
APART_MOST = 0.10
# A run with more than this share of disturbed processes is called noisy.
DISTURBED_MOST = 0.10
# Below this many processes a cell's median says little about which of them is apart.
PROCESSES_LEAST = 3


@dataclass(frozen=True)
class Noise:
    """Disturbance over a whole run; shares of its processes, None where unknown.

    Attributes:
        processes: how many were measured.
        foreign: share during which other programs took more than 5 % of the processors.
        steal: share during which the hypervisor gave more than 2 % of them to others.
        apart: share whose median lies more than 10 % from the median of its cell's processes:
            what slows a machine from outside, such as a neighbour on the same physical core,
            shows in no counter, but it shows here.
        widest: the largest ratio between two equal processes.
        quiet: none of the shares is above a tenth.
        sentence: the same for a person.
    """

    processes: int
    foreign: float | None
    steal: float | None
    apart: float | None
    widest: float | None
    quiet: bool
    sentence: str


def noise(records: Iterable[Record]) -> Noise:
    """Judge a run by its processes' records."""
    measured = [record for record in records if record.facts.get("disturbance") and record.settled_ns.size]
    foreign = _share(measured, "foreign", FOREIGN_MOST)
    steal = _share(measured, "steal", STEAL_MOST)
    apart, widest = _spread(measured)
    # One odd process among few is no verdict on a machine.
    most = max(DISTURBED_MOST, 1.5 / max(len(measured), 1))
    bad = [
        text
        for share, text in (
            (foreign, f"other programs were busy during {foreign or 0:.0%} of the processes"),
            (steal, f"the hypervisor took processor time from {steal or 0:.0%} of them"),
            (apart, f"{apart or 0:.0%} of equal processes differ by more than 10 %, up to {widest or 1:.1f}×"),
        )
        if share is not None and share > most
    ]
    if not measured:
        sentence = "nothing was measured, so nothing is known about noise"
    elif bad:
        sentence = f"NOISY: {'; '.join(bad)} — small differences are not to be trusted; repeat on a quieter machine"
    elif widest is None:
        sentence = f"{_counters(foreign, steal)}; too few processes to see more"
    else:
        sentence = f"quiet (equal processes differ by up to {widest:.2f}×; {_counters(foreign, steal)})"
    return Noise(len(measured), foreign, steal, apart, widest, not bad, sentence)


def _counters(foreign: float | None, steal: float | None) -> str:
    if foreign is None and steal is None:
        return "this system has no counters of disturbances"
    if foreign or steal:
        return f"others were busy during {max(foreign or 0, steal or 0):.0%} of the processes, too few for a verdict"
    return "no counter shows a disturbance"


def undisturbed(record: Record) -> bool:
    """Whether no counter shows that others took the processors while this process was timed."""
    facts = record.facts.get("disturbance") or {}
    return (facts.get("foreign") or 0.0) <= FOREIGN_MOST and (facts.get("steal") or 0.0) <= STEAL_MOST


def _share(records: Sequence[Record], key: str, most: float) -> float | None:
    values = [record.facts["disturbance"][key] for record in records]
    known = [value for value in values if value is not None]
    return sum(value > most for value in known) / len(known) if known else None


def _spread(records: Sequence[Record]) -> tuple[float | None, float | None]:
    """Share of processes apart from their cell's median, and the widest ratio between equal ones."""
    cells: dict[str, list[float]] = defaultdict(list)
    for record in records:
        cells[record.cell].append(float(np.median(record.settled_ns)))
    known = [medians for medians in cells.values() if len(medians) >= PROCESSES_LEAST]
    if not known:
        return None, None
    deviations = [abs(math.log(value / statistics.median(medians))) for medians in known for value in medians]
    apart = sum(deviation > math.log1p(APART_MOST) for deviation in deviations) / len(deviations)
    return apart, max(max(medians) / min(medians) for medians in known)
