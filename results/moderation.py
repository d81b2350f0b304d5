"""Borrowing strength: a variance from few rounds, steadied by those of its neighbours.

With three rounds a cell's own spread says so little that nothing could ever be told apart.
Smyth's moderated t (2004, *Linear models and empirical Bayes methods*, sections 5 and 6) fits a
scaled inverse chi-square prior to the spreads of all cells of a race and shrinks each towards it:
cells that behave alike lend each other degrees of freedom, and where they do not, the prior is
weak and each is left to itself.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# However alike the spreads look, the prior never counts as more observations than this.
MOST_PRIOR_DF = 6.0
# Fewer spreads than this say nothing about how spreads vary.
LEAST_VARIANCES = 3


@dataclass(frozen=True)
class Prior:
    """What is known of a variance before its own rounds are looked at.

    Attributes:
        variance: its typical value.
        df: how many degrees of freedom that knowledge is worth; 0 for none.
    """

    variance: float
    df: float

    def moderate(self, variance: float, df: float) -> tuple[float, float]:
        """The variance and its degrees of freedom after its own rounds are added."""
        total = self.df + df
        return (self.df * self.variance + df * variance) / total, total


def fit_prior(variances: Sequence[float], dfs: Sequence[float]) -> Prior:
    """The prior that explains how much sample variances differ.

    Method of moments on their logs, as Smyth (2004), section 6.2.

    Args:
        variances: sample variances; zeros are left out.
        dfs: degrees of freedom of each, in the same order.
    """
    known = [(variance, df) for variance, df in zip(variances, dfs, strict=True) if variance > 0 and df > 0]
    if len(known) < LEAST_VARIANCES:
        return Prior(0.0, 0.0)
    logs = [math.log(variance) - digamma(df / 2) + math.log(df / 2) for variance, df in known]
    mean = statistics.mean(logs)
    excess = statistics.variance(logs) - statistics.mean(trigamma(df / 2) for _, df in known)
    df = min(2 * trigamma_inverse(excess), MOST_PRIOR_DF) if excess > 0 else MOST_PRIOR_DF
    return Prior(math.exp(mean + digamma(df / 2) - math.log(df / 2)), df)


def digamma(x: float) -> float:
    """Derivative of log Γ for x > 0 (recurrence, then the asymptotic series; Abramowitz and Stegun 6.3.18)."""
    shift = 0.0
    while x < 10:
        shift -= 1 / x
        x += 1
    inverse = 1 / (x * x)
    series = inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132))))
    return shift + math.log(x) - 0.5 / x - series


def trigamma(x: float) -> float:
    """Second derivative of log Γ for x > 0 (recurrence, then the series; Abramowitz and Stegun 6.4.12)."""
    shift = 0.0
    while x < 10:
        shift += 1 / (x * x)
        x += 1
    inverse = 1 / (x * x)
    series = 1 / 6 - inverse * (1 / 30 - inverse * (1 / 42 - inverse * (1 / 30 - inverse * 5 / 66)))
    return shift + 1 / x + inverse / 2 + series * inverse / x


def trigamma_inverse(value: float) -> float:
    """The x > 0 whose trigamma is ``value`` > 0, by bisection on a log scale: trigamma falls steadily."""
    low, high = 1e-8, 1e8
    for _ in range(200):
        middle = math.sqrt(low * high)
        if trigamma(middle) > value:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
