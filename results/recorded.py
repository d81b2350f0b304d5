"""A candidate beside a baseline on record: sittings of other days are what it is compared with.

Two sittings on one machine differ by more than their processes tell: other neighbours, other temperatures, memory laid
out anew at every start. With enough sittings of the baseline their own spread says how far one more may lie (a
prediction interval of Student's t on logs). With fewer, nobody knows, and an allowance takes its place.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np

from results.changes import changes
from results.gate import ALL, INCONCLUSIVE, PASS, Compared, Verdict, called, standing_of, stopped
from results.intervals import welch
from results.signed_rank import Shift
from results.student import t_quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from results.baselines import Baseline
    from results.gate_spec import Gate, Pair
    from results.record import Record

OBJECTIVE = "p50"
# The smallest change worth a verdict, unless the user says: what duels find in seconds, days apart drowns.
MIN_EFFECT = 0.10
# From so many sittings on, their own spread is known well enough to rest on.
SITTINGS_LEAST = 4
# What two sittings may differ by, where nobody knows; chosen by us, and told with every verdict that rests on it.
ALLOWANCE = 0.05
PROCESSES_LEAST = 3


def recorded_verdicts(
    gate: Gate, baseline: Baseline, cells: Mapping[str, Mapping[str, Any]], records: Iterable[Record]
) -> list[Verdict]:
    """Judge every cell by the sittings on record.

    Args:
        gate: its pairs name each cell twice.
        baseline: what is on record.
        cells: id → specification, as a run file has them.
        records: every process of the new sitting.
    """
    by_cell: dict[str, list[Record]] = {pair.candidate: [] for pair in gate.pairs}
    for record in records:
        if record.cell in by_cell:
            by_cell[record.cell].append(record)
    found = []
    for pair in gate.pairs:
        own = by_cell[pair.candidate]
        stop = stopped(pair, gate, ("", ""), standing_of(cells[pair.candidate], own))
        found += stop or [_judged(pair, gate, baseline, own)]
    return found


def _judged(pair: Pair, gate: Gate, baseline: Baseline, records: Sequence[Record]) -> Verdict:
    effect = gate.objectives[OBJECTIVE]
    own = [math.log(float(np.median(record.settled_ns))) for record in records if record.settled_ns.size]
    series = baseline.series_ms(pair.baseline)
    if not series:
        return Verdict(pair, OBJECTIVE, INCONCLUSIVE, f"it is not in the baseline {baseline.name}", effect)
    if len(own) < PROCESSES_LEAST:
        reason = f"{len(own)} processes were measured, and an interval needs {PROCESSES_LEAST}"
        return Verdict(pair, OBJECTIVE, INCONCLUSIVE, reason, effect)
    # What was before the last change of level is another baseline.
    level = series[max((one.at for one in changes(series)), default=0) :]
    before = [math.log(value * 1e6) for value in level]
    estimate = statistics.mean(own) - statistics.mean(before)
    processes = [
        math.log(value * 1e6)
        for sitting in baseline.sittings[-len(level) :]
        for value in sitting.medians_ms.get(pair.baseline, ())
    ]
    days = {sitting.created[:10] for sitting in baseline.sittings[-len(level) :]}
    half, rests_on = _half(own, before, processes, gate.error, len(days))
    shift = Shift(estimate, estimate - half, estimate + half, gate.error)
    least = math.log1p(effect)
    verdict = called(shift, least) or (PASS if shift.high < least else INCONCLUSIVE)
    seen = Compared(
        math.expm1(estimate),
        math.expm1(shift.low),
        math.expm1(shift.high),
        math.exp(statistics.mean(before)),
        math.exp(statistics.mean(own)),
        len(own),
    )
    return Verdict(
        pair, OBJECTIVE, verdict, rests_on, effect, seen, ALL, smallest=math.expm1(max(half, least / 2)), pairs=len(own)
    )


def _half(
    own: Sequence[float], before: Sequence[float], processes: Sequence[float], error: float, days: int
) -> tuple[float, str]:
    """Half of the interval, and what it rests on."""
    within, df = welch(own, processes)
    half = t_quantile(1.0 - error, df) * within
    # Sittings of one hour know nothing of another.
    if min(len(before), days) < SITTINGS_LEAST:
        some = "1 sitting" if len(before) == 1 else f"{len(before)} sittings of {days} days"
        return half + math.log1p(ALLOWANCE), (
            f"{some} on record: sittings may differ by {ALLOWANCE:.0%}, an allowance; from {SITTINGS_LEAST} days on "
            "their own spread is known"
        )
    spread = statistics.stdev(before) * math.sqrt(1.0 + 1.0 / len(before))
    sitting = t_quantile(1.0 - error, len(before) - 1.0) * spread
    return max(half, sitting), f"{len(before)} sittings on record, which scatter by {statistics.stdev(before):.1%}"
