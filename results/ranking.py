"""Ranks that admit ties: two cells that cannot be told apart share one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from results.intervals import log_ratio_interval
from results.student import check_confidence

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    remaining = sorted(cells, key=lambda cell: (_log_mean(cell, cells[cell]), cell))
    ranks: dict[str, int] = {}
    while remaining:
        leader = remaining[0]
        place = len(ranks) + 1
        apart = {cell for cell in remaining[1:] if _slower(cells[cell], cells[leader], corrected)}
        ranks |= {cell: place for cell in remaining if cell not in apart}
        remaining = [cell for cell in remaining if cell in apart]
    return ranks


def _log_mean(cell: str, medians: Mapping[int, float]) -> float:
    if not medians:
        raise ValueError(f"cell {cell} has no rounds; leave out cells without a median before ranking")
    for number, median in medians.items():
        if not 0.0 < median < math.inf:
            raise ValueError(f"cell {cell}, round {number}: the median is {median}; it must be positive and finite")
    return sum(map(math.log, medians.values())) / len(medians)


def _slower(cell: Mapping[int, float], leader: Mapping[int, float], confidence: float) -> bool:
    ratio = log_ratio_interval(cell, leader, confidence)
    return ratio is not None and ratio[1].low > 1.0
