"""Ranks that admit ties: two cells that cannot be told apart share one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from results.moderation import fit_prior
from results.student import check_confidence, t_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS_LEAST = 2


def rank(cells: Mapping[str, Mapping[int, float]], confidence: float = 0.95) -> dict[str, int]:
    """Rank cells by the geometric mean of their per-process medians, lowest first.

    The fastest cell leads the first group; every cell that cannot be shown to be slower than this
    leader shares its rank. The fastest of those left leads the next group. A rank is 1 plus the
    number of cells in earlier groups.

    Why a leader and no chains: "cannot be told apart" is not transitive. If A ties with B and B
    with C, a chain would put C beside A even where C is plainly slower, and a long enough chain of
    small steps would tie the slowest cell with the fastest. Against a leader every rank answers
    one question: could this cell be as fast as the best of its group? The price is that two
    neighbours that tie with each other may bear different ranks, and that a slower but noisier
    cell may share a rank that a faster, steadier one is shown not to deserve.

    A cell is compared with a leader over the rounds they have in common, which cancels what a
    round did to both: t on the log ratios, their spread steadied by that of the other cells
    (:mod:`results.moderation`), without which three rounds could not tell a factor of ten.
    Intervals are corrected for all k(k-1)/2 pairs (Bonferroni; Dunn 1961) and not for the k-1
    comparisons with a leader alone: the data choose the leader, and the fastest of many equal
    cells is the luckiest (Tukey 1953; Hsu 1996, *Multiple Comparisons*).

    Args:
        cells: cell id to a mapping from round to the median of that round's process, any one unit.
        confidence: that no two equal cells of the whole table are set apart, such as 0.95.

    Returns:
        Cell id to rank, fastest first; cells of equal mean in the order of their ids. A cell with
        too few rounds for an interval shares the rank of the leader it is compared with.

    Raises:
        ValueError: a cell has no rounds, or a median that is not positive and finite; or
            ``confidence`` is not between 0 and 1.
    """
    check_confidence(confidence)
    pairs = len(cells) * (len(cells) - 1) // 2
    corrected = 1.0 - (1.0 - confidence) / max(1, pairs)
    means = {cell: _log_mean(cell, medians) for cell, medians in cells.items()}
    remaining = sorted(cells, key=lambda cell: (means[cell], cell))
    everyone = list(remaining)
    ranks: dict[str, int] = {}
    while remaining:
        leader = remaining[0]
        place = len(ranks) + 1
        # The spreads of all cells beside this leader steady each other, those already placed too.
        beside = {cell: _differences(cells[cell], cells[leader]) for cell in everyone if cell != leader}
        apart = _slower({cell: found for cell, found in beside.items() if found is not None}, corrected)
        ranks |= {cell: place for cell in remaining if cell == leader or cell not in apart}
        remaining = [cell for cell in remaining[1:] if cell in apart]
    return ranks


@dataclass(frozen=True)
class _Difference:
    """Log ratios of a cell over a leader: their mean, variance, and number."""

    mean: float
    variance: float
    rounds: int


def _differences(cell: Mapping[int, float], leader: Mapping[int, float]) -> _Difference | None:
    common = cell.keys() & leader.keys()
    if len(common) < ROUNDS_LEAST:
        return None
    logs = np.array([math.log(cell[number] / leader[number]) for number in sorted(common)])
    return _Difference(float(logs.mean()), float(logs.var(ddof=1)), len(logs))


def _slower(beside: Mapping[str, _Difference], confidence: float) -> set[str]:
    """Cells whose log ratio to the leader lies above 0 with its whole interval."""
    prior = fit_prior([one.variance for one in beside.values()], [one.rounds - 1.0 for one in beside.values()])
    apart = set()
    for cell, one in beside.items():
        variance, df = prior.moderate(one.variance, one.rounds - 1.0)
        half = t_quantile(0.5 + confidence / 2, df) * math.sqrt(variance / one.rounds)
        if one.mean - half > 0:
            apart.add(cell)
    return apart


def _log_mean(cell: str, medians: Mapping[int, float]) -> float:
    if not medians:
        raise ValueError(f"cell {cell} has no rounds; leave out cells without a median before ranking")
    for number, median in medians.items():
        if not 0.0 < median < math.inf:
            raise ValueError(f"cell {cell}, round {number}: the median is {median}; it must be positive and finite")
    return sum(map(math.log, medians.values())) / len(medians)
