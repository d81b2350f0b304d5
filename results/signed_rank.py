"""How much two arms differ, from pairs: Wilcoxon's signed rank, valid whatever the noise looks like, at every look.

Which arm of a pair goes first is decided by a coin. Where both arms are the same thing, the difference of a pair is
then as likely to be positive as negative, whatever the machine did: so the distribution of the signed rank is known
exactly (Wilcoxon 1945), for normal noise, bursts or drift alike, and its tail is the rate of false alarms. The interval
is the test turned inside out: between two of the ordered averages of all pairs of differences (Hodges and Lehmann 1963;
Tukey 1949; Walsh 1949).

Looking again and again would add up its errors. So looks happen at counts that are fixed before the first pair, and
each spends a share of what may be spent in all (Bonferroni over looks; the idea of spending is Lan and DeMets's, 1983).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# The first look may spend this share of the error: it should come early, and be able to decide.
FIRST_SHARE = 0.25
# From look to look, so many times the pairs.
GROWTH = 1.4


@dataclass(frozen=True)
class Look:
    """One time of looking.

    Attributes:
        pairs: after so many.
        error: probability of a false alarm in one direction that it may spend.
    """

    pairs: int
    error: float


@dataclass(frozen=True)
class Shift:
    """By how much the second arm lies above the first, in the unit of the differences.

    Attributes:
        estimate: the median of all averages of two differences, each with itself as well.
        low, high: the interval.
        error: probability that the interval lies above the truth, and the same for below, at most.
    """

    estimate: float
    low: float
    high: float
    error: float


def looks(error: float, most: int) -> tuple[Look, ...]:
    """When to look, and what each look may spend.

    Args:
        error: probability of a false alarm in one direction, over all looks together.
        most: pairs after which nothing more is measured.

    Returns:
        The first at the smallest count at which all pairs on one side are proof enough; the last at ``most``. Empty
        where ``most`` is too few for any.

    Raises:
        ValueError: ``error`` is not between 0 and 0.5.
    """
    if not 0.0 < error < 0.5:
        raise ValueError(f"the error is {error}; it must be between 0 and 0.5, such as 0.005")
    first = pairs_least(error)
    if most < first:
        # One look at the end may spend everything.
        return (Look(most, error),) if 2.0**-most <= error / 2.0 else ()
    counts = [first]
    while (following := math.ceil(counts[-1] * GROWTH)) < most:
        counts.append(following)
    if counts[-1] < most:
        counts.append(most)
    if len(counts) == 1:
        return (Look(first, error),)
    rest = (1.0 - FIRST_SHARE) / (len(counts) - 1)
    return tuple(Look(count, error * (rest if place else FIRST_SHARE)) for place, count in enumerate(counts))


def pairs_least(error: float) -> int:
    """Pairs before the first look: enough for it to decide with half of what it may spend, on each of two views."""
    return math.ceil(-math.log2(FIRST_SHARE * error / 2.0))


def shift(differences: Sequence[float], error: float) -> Shift | None:
    """Estimate and interval at one look.

    Args:
        differences: second arm minus first arm, one per pair, finite; of logs for a ratio.
        error: in one direction.

    Returns:
        None where all pairs on one side would not be proof enough. Ties and zeros widen the interval, never the error.
    """
    least = allowed(len(differences), error)
    if least is None:
        return None
    averages = walsh(differences)
    return Shift(float(np.median(averages)), float(averages[least]), float(averages[len(averages) - 1 - least]), error)


def walsh(differences: Sequence[float]) -> NDArray[np.float64]:
    """Averages of all pairs of differences, each with itself as well, in order; shape ``(n (n + 1) / 2,)``."""
    values = np.asarray(differences, np.float64)
    first, second = np.triu_indices(len(values))
    return np.sort((values[first] + values[second]) / 2.0)


def allowed(pairs: int, error: float) -> int | None:
    """How many averages may lie on the wrong side of 0 for a difference to be beyond doubt.

    None where even none of them would be no proof.
    """
    below = np.cumsum(distribution(pairs))
    count = int(np.searchsorted(below, error * (1.0 + 1e-12), side="right"))
    return count - 1 if count else None


@cache
def distribution(pairs: int) -> NDArray[np.float64]:
    """Probability of every value of the signed rank where signs are coins, shape ``(n (n + 1) / 2 + 1,)``."""
    found = np.ones(1)
    for rank in range(1, pairs + 1):
        longer = np.zeros(len(found) + rank)
        longer[: len(found)] += found / 2.0
        longer[rank:] += found / 2.0
        found = longer
    return found
