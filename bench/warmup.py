"""Where warm-up ends: found in the samples, not assumed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from results.autocorrelation import autocorrelation_time
from results.student import t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SAMPLES = 20
_BATCH = 5
# Looked at up to here, so that a series that settles after its half is recognised as such.
_SEARCH = 0.75
# Chance of so large a gap by luck, in one direction. Small, because the head was chosen for looking different.
_CHANCE = 1e-5
# As a share of the rest's median: less is what one process differs from the next anyway.
_RELEVANT = 0.005
# Samples further out than this many robust standard deviations count as being there.
_FENCE = 8.0
# The standard deviation of a normal variable over its median absolute deviation.
_MAD_TO_SD = 1.4826


def warmup_samples(wall_ns: NDArray[np.int64]) -> int:
    """How many leading samples are warm-up.

    MSER-5 (White 1997; White, Cobb and Spratt 2000): over means of 5 samples, cut where the
    variance of what remains, over its number, is smallest. Times are skewed, come in bursts, and
    MSER alone cuts flat series too, so three things are added:

    - Samples are winsorised at 8 robust standard deviations: one spike decides nothing.
    - A cut counts only if both the cut part and its first half lie on one side of the rest, in the
      mean *and* the median, by 0.5 % and by a t quantile at 1e-5 whose standard error and degrees of
      freedom allow for autocorrelation. Warm-up begins at the beginning and is there all the time;
      bursts on the way are neither. A cut that fails is tried again nearer to the start.
    - A cut that passes makes way for the earliest one whose score is as good within one standard
      error of the difference (after Breiman et al. 1984, who prune trees so), or chance cuts too late.

    When in doubt, samples stay: with few or strongly autocorrelated samples only a plain warm-up shows.

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
    cut = int(np.argmin(scores[: int(_SEARCH * len(batches)) + 1]))
    while cut > 0 and not _differs(values, batches, cut):
        cut = int(np.argmin(scores[: cut * 3 // 4 + 1]))
    # Of normal values, the variances of a series and of its end differ by this, relatively (one standard error).
    left = len(batches) - np.arange(cut + 1)
    luck = np.sqrt(2.0 / left[-1] - 2.0 / left)
    earliest = int(np.argmax(scores[: cut + 1] <= scores[cut] * (1.0 + luck)))
    if 0 < earliest < cut and _differs(values, batches, earliest):
        cut = earliest
    return min(cut * _BATCH, n // 2)


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
    # Any shift will do; this one leaves exact zeros where a coarse clock repeats one value.
    centred = (batches - np.median(batches))[::-1]
    left = np.arange(1, len(batches) + 1)
    squares, sums = np.cumsum(centred**2), np.cumsum(centred)
    scores: NDArray[np.float64] = np.maximum(squares / left - (sums / left) ** 2, 0.0) / left
    return scores[::-1]


def _differs(values: NDArray[np.float64], batches: NDArray[np.float64], cut: int) -> bool:
    """Whether the first ``cut`` batches, and the first half of them, clearly differ from the rest in one direction."""
    head, rest = values[: cut * _BATCH], values[cut * _BATCH :]
    # Batch means are enough for the noise of a long rest, and quick; a short one needs every sample.
    coarse = len(batches) - cut >= 2 * MIN_SAMPLES
    noise = _without_trend(batches[cut:] if coarse else rest)
    size = _BATCH if coarse else 1
    time = autocorrelation_time([noise])
    variance = float(noise.var(ddof=2)) if len(noise) > 2 else 0.0
    clearly = t_quantile(1.0 - _CHANCE, max(1.0, len(noise) / time - 2.0))
    level = float(np.median(rest))
    signs = set()
    for part in (head, head[: (len(head) + 1) // 2]):
        # A few bursts move the mean and not the median; a switch between two levels the reverse.
        gaps = float(part.mean() - rest.mean()), float(np.median(part)) - level
        # A part shorter than the autocorrelation time varies as one sample does, and no less.
        error = math.sqrt(variance * (time / len(noise) + min(1.0, time * size / len(part))))
        if min(map(abs, gaps)) <= max(clearly * error, _RELEVANT * abs(level)):
            return False
        signs |= {gap > 0.0 for gap in gaps}
    return len(signs) == 1


def _without_trend(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residuals of a straight line: what is left of a slow convergence is no noise."""
    time = np.arange(len(values)) - 0.5 * (len(values) - 1)
    spread = float(time @ time)
    slope = float(time @ values) / spread if spread > 0.0 else 0.0
    residuals: NDArray[np.float64] = values - values.mean() - slope * time
    return residuals
