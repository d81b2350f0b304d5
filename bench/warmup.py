"""Where warm-up ends: found in the samples, not assumed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from results.autocorrelation import autocorrelation_time

MIN_SAMPLES = 20
_BATCH = 5
# Looked at up to here, so that a series that settles after its half is recognised as such.
_SEARCH = 0.75
# Robust standard errors between head and rest. High, because the head was chosen for looking different.
_CLEARLY = 4.5
# Of the rest's median: less is what one process differs from the next anyway.
_RELEVANT = 0.005
# Samples further out than this many robust standard deviations count as being there.
_FENCE = 5.0
# The standard deviation of a normal variable over its median absolute deviation.
_MAD_TO_SD = 1.4826


def warmup_samples(wall_ns: NDArray[np.int64]) -> int:
    """How many leading samples are warm-up.

    MSER-5 (White 1997; White, Cobb and Spratt 2000): over means of 5 samples, cut where the
    variance of what remains, over its number, is smallest. Two things are added, for times are
    skewed and MSER alone cuts flat series too. Samples are winsorised at 5 robust standard
    deviations, so a single spike decides nothing. And a cut counts only if the cut part's mean
    *and* the mean of its first half lie on the same side of the rest, by 4.5 standard errors that
    allow for autocorrelation, and its median or mean by 0.5 %: warm-up begins at the beginning, a
    burst somewhere later does not. A cut that fails is tried again nearer to the start.

    Args:
        wall_ns: shape ``(n,)``, every timed call of one process in order, in nanoseconds.

    Returns:
        A count from 0 to ``n // 2``; 0 for fewer than 20 samples. See :func:`is_steady` for
        series that would have needed more.
    """
    n = len(wall_ns)
    if n < MIN_SAMPLES:
        return 0
    values = _winsorised(wall_ns)
    batches = values[: n // _BATCH * _BATCH].reshape(-1, _BATCH).mean(axis=1)
    scores = _mser(batches)
    search = int(_SEARCH * len(batches))
    while search > 0:
        cut = int(np.argmin(scores[: search + 1]))
        if cut == 0:
            return 0
        if _differs(values, batches, cut):
            return min(cut * _BATCH, n // 2)
        search = cut // 2
    return 0


def is_steady(wall_ns: NDArray[np.int64], warmup: int) -> bool:
    """Whether the series settled within its first half.

    Args:
        wall_ns: as for :func:`warmup_samples`.
        warmup: what :func:`warmup_samples` said of it.

    Returns:
        False when the rule wanted to cut half or more; True for series too short for the rule.
    """
    n = len(wall_ns)
    return n < MIN_SAMPLES or warmup < n // 2 // _BATCH * _BATCH


def _winsorised(wall_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    values = wall_ns.astype(np.float64)
    # The later half sets the fence: a warm-up of a third of the samples would widen it.
    later = values[len(values) // 2 :]
    middle = float(np.median(later))
    deviation = _MAD_TO_SD * float(np.median(np.abs(later - middle)))
    # A coarse clock leaves no deviation; then what is relevant at all is the scale.
    reach = _FENCE * max(deviation, _RELEVANT * abs(middle))
    return np.clip(values, middle - reach, middle + reach)


def _mser(batches: NDArray[np.float64]) -> NDArray[np.float64]:
    """The variance of ``batches[d:]`` over its length, for each d (White 1997, equation 1)."""
    centred = (batches - batches.mean())[::-1]
    left = np.arange(1, len(batches) + 1)
    squares, sums = np.cumsum(centred**2), np.cumsum(centred)
    scores: NDArray[np.float64] = (squares / left - (sums / left) ** 2) / left
    return scores[::-1]


def _differs(values: NDArray[np.float64], batches: NDArray[np.float64], cut: int) -> bool:
    """Whether the first ``cut`` batches, and the first half of them, clearly differ from the rest in one direction."""
    samples = cut * _BATCH
    # Batch means are enough for a long rest, and quick; a short one needs every sample.
    rest = batches[cut:] if len(batches) >= 10 * MIN_SAMPLES else values[samples:]
    size = _BATCH if rest.base is batches else 1
    level = float(rest.mean())
    noise = _without_trend(rest)
    variance = size * float(noise.var(ddof=min(2, len(noise) - 1))) * autocorrelation_time([noise])
    whole, begin = values[:samples], values[: (samples + 1) // 2]
    gaps = [float(part.mean()) - level for part in (whole, begin)]
    errors = [math.sqrt(variance * (1.0 / len(part) + 1.0 / (len(values) - samples))) for part in (whole, begin)]
    return (
        gaps[0] * gaps[1] > 0.0
        and all(abs(gap) > _CLEARLY * error for gap, error in zip(gaps, errors, strict=True))
        and abs(gaps[0]) > _RELEVANT * abs(level)
    )


def _without_trend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residuals of a straight line: what is left of a slow convergence is no noise."""
    time = np.arange(len(values)) - 0.5 * (len(values) - 1)
    spread = float(time @ time)
    slope = float(time @ values) / spread if spread > 0.0 else 0.0
    return values - values.mean() - slope * time
