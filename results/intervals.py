"""Intervals for medians, tails and ratios. The process is the sampling unit: a single one never has an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from results.autocorrelation import autocorrelation_time
from results.student import binomial_interval, check_confidence, t_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

MIN_PROCESSES = 3
# Keeps n * p from passing a whole number by rounding alone: 10 * (1 - 0.9) is just below 1.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is about.

    Attributes:
        low: lower end.
        high: upper end, at or above ``low``.
    """

    low: float
    high: float

    def relative_half_width(self, estimate: float) -> float:
        """Half the width over ``estimate``: 0.02 reads "±2 %". Infinite for an estimate of 0."""
        return 0.5 * (self.high - self.low) / abs(estimate) if estimate else math.inf


@dataclass(frozen=True)
class Tail:
    """A quantile of all samples, with what supports it.

    Attributes:
        value_ns: the quantile; None when there are too few samples for a single one to lie beyond it.
        interval: None when none can be made honestly.
        samples: how many samples were pooled.
        effective_samples: how many independent ones they are worth, as used for the interval.
    """

    value_ns: float | None
    interval: Interval | None
    samples: int
    effective_samples: float


def geometric_mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Interval for the geometric mean of one value per process.

    Student's t on the logs, since slow-downs multiply (Fleming and Wallace 1986 for the mean;
    Kalibera and Jones 2013 for the process as the unit).

    Args:
        values: one per process, such as its median in nanoseconds.
        confidence: such as 0.95.

    Returns:
        In the unit of ``values``; None for fewer than 3 values, or if one is not positive and finite.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    check_confidence(confidence)
    logs = _logs(values)
    if logs is None or len(logs) < MIN_PROCESSES:
        return None
    return _log_interval(float(logs.mean()), _standard_error(logs), len(logs) - 1.0, confidence)


def log_ratio_interval(
    a: Mapping[int, float], b: Mapping[int, float], confidence: float = 0.95
) -> tuple[float, Interval] | None:
    """Ratio of two cells, a / b, from one value per process, keyed by round.

    Three or more common rounds are compared in pairs, which cancels what a round did to both:
    t on the log ratios. Otherwise Welch's unequal-variance t on the logs (Welch 1947) over all rounds.

    Args:
        a: round to value, such as the process's median in nanoseconds.
        b: the same for the cell in the denominator.
        confidence: such as 0.95.

    Returns:
        The ratio of geometric means (1.05: ``a`` is 5 % slower) and its interval, both as ratios
        and not as logs: they differ when 1 lies outside. None when neither way is possible (a side
        has fewer than 2 rounds), or if a value is not positive and finite.

    Raises:
        ValueError: ``confidence`` is not between 0 and 1.
    """
    check_confidence(confidence)
    common = sorted(a.keys() & b.keys())
    paired = len(common) >= MIN_PROCESSES
    left = _logs([a[key] for key in common] if paired else list(a.values()))
    right = _logs([b[key] for key in common] if paired else list(b.values()))
    if left is None or right is None or min(len(left), len(right)) < 2:
        return None
    estimate = float(left.mean() - right.mean())
    if paired:
        return math.exp(estimate), _log_interval(estimate, _standard_error(left - right), len(left) - 1.0, confidence)
    error, df = welch(left, right)
    return math.exp(estimate), _log_interval(estimate, error, df, confidence)


def welch(*sides: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch 1947; Satterthwaite 1946).

    Args:
        sides: values of each, such as logs; one with a single value has no spread to add.
    """
    known = [np.asarray(side, np.float64) for side in sides if len(side) >= 2]
    errors = [(_standard_error(side) ** 2, len(side) - 1) for side in known]
    total = sum(error for error, _ in errors)
    # Without any spread the degrees of freedom do not matter.
    spread = sum(error**2 / df for error, df in errors)
    return math.sqrt(total), total**2 / spread if spread > 0.0 else 1.0


def tail_quantile(processes: Sequence[NDArray[np.int64]], p: float, confidence: float = 0.95) -> Tail:
    """Quantile of the pooled samples, such as p99, with an interval that knows samples come in clusters.

    Woodruff (1952): an interval for the share of samples below the quantile, carried over to
    times through the empirical distribution. The share's interval is Clopper and Pearson's at the
    effective sample size of Korn and Graubard (1998):

        n_eff = n / deff * (t(n - 1) / t(m - 1))²

    with m processes as clusters. ``deff``, the design effect, is the larger of two estimates of
    the same thing and never below 1: the spread of exceedance counts between processes (Kish
    1965; sees everything, noisy when m is small) and the autocorrelation time of exceedances
    within processes (Geyer 1992; steady, blind to what differs between processes).

    Args:
        processes: one array of shape ``(n_i,)`` per process, in time order, in nanoseconds.
        p: such as 0.99, strictly between 0 and 1.
        confidence: such as 0.95.

    Returns:
        ``value_ns`` is None with fewer than 1 / (1 - p) samples. ``interval`` is None with fewer
        than 3 processes, when p to the power n_eff exceeds half of 1 - confidence (below 368
        effective samples for p99 at 95 %), or when an end lies beyond the observed samples. With
        fewer than 3 processes ``effective_samples`` knows the autocorrelation only.

    Raises:
        ValueError: ``p`` or ``confidence`` is not between 0 and 1.
    """
    alpha = 1.0 - check_confidence(confidence)
    if not 0.0 < p < 1.0:
        raise ValueError(f"p is {p}; it must be strictly between 0 and 1, such as 0.99")
    clusters = [one for one in processes if len(one)]
    n = sum(len(one) for one in clusters)
    if n * (1.0 - p) < 1.0 - _ROUNDING:
        return Tail(None, None, n, float(n))
    pooled = np.sort(np.concatenate(clusters))
    value = float(pooled[math.ceil(n * p - _ROUNDING) - 1])
    exceeds = [one > value for one in clusters]
    if not any(one.any() for one in exceeds):
        # Ties at the top: nothing lies beyond, but who reaches it is clustered all the same.
        exceeds = [one >= value for one in clusters]
    m = len(clusters)
    deff = autocorrelation_time(exceeds)
    if m < MIN_PROCESSES:
        return Tail(value, None, n, n / deff)
    deff = max(deff, _design_effect(exceeds))
    tail = 1.0 - alpha / 2.0
    effective = n / deff * min(1.0, (t_quantile(tail, n - 1.0) / t_quantile(tail, m - 1.0)) ** 2)
    if p**effective > alpha / 2.0:
        return Tail(value, None, n, effective)
    low, high = binomial_interval(p * effective, effective, confidence)
    first, last = math.floor(n * low + _ROUNDING), math.ceil(n * high - _ROUNDING)
    if first < 1 or last > n:
        return Tail(value, None, n, effective)
    return Tail(value, Interval(float(pooled[first - 1]), float(pooled[last - 1])), n, effective)


def _design_effect(exceeds: Sequence[NDArray[np.bool_]]) -> float:
    """Variance of the pooled share with processes as clusters, over that of independent samples (Kish 1965)."""
    counts = np.array([np.count_nonzero(one) for one in exceeds], dtype=float)
    sizes = np.array([len(one) for one in exceeds], dtype=float)
    n, m = float(sizes.sum()), len(sizes)
    share = float(counts.sum()) / n
    if share in {0.0, 1.0}:
        return 1.0
    # Linearised ratio estimator: lengths differ when processes are timed for a fixed duration.
    between = m / (m - 1) * float(np.sum((counts - share * sizes) ** 2)) / n**2
    return between / (share * (1.0 - share) / n)


def _logs(values: Sequence[float]) -> NDArray[np.float64] | None:
    """Natural logs, or None if a value is not positive and finite."""
    array = np.asarray(values, dtype=np.float64)
    return np.log(array) if bool(np.all((array > 0.0) & np.isfinite(array))) else None


def _standard_error(logs: NDArray[np.float64]) -> float:
    return float(logs.std(ddof=1)) / math.sqrt(len(logs))


def _log_interval(mean: float, standard_error: float, df: float, confidence: float) -> Interval:
    half = t_quantile(0.5 + confidence / 2.0, df) * standard_error
    return Interval(math.exp(mean - half), math.exp(mean + half))
