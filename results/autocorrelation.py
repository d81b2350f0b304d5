"""How much a series repeats itself: the factor by which its samples count for less than they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def autocorrelation_time(series: Sequence[NDArray[Any]]) -> float:
    """Integrated autocorrelation time, pooled over series: n independent samples are worth n times as many of these.

    1 + 2 Σ ρ(k), the sum ended by the initial positive sequence: pairs ρ(2k) + ρ(2k+1) are added
    while they stay positive, and each is held at or below the pair before it (Geyer 1992,
    *Practical Markov chain Monte Carlo*). Each series is centred on its own mean, so what differs
    *between* series does not count.

    Args:
        series: arrays of shape ``(n_i,)`` in time order, any numeric type; lengths may differ.

    Returns:
        At least 1. 1 for series that are empty or constant.
    """
    longest = max((len(one) for one in series), default=0)
    if longest < 2:
        return 1.0
    width = 1 << (2 * longest - 1).bit_length()
    covariance = np.zeros(longest)
    for one in series:
        if len(one) > 1:
            centred = one - np.mean(one)
            spectrum = np.fft.rfft(centred, width)
            covariance += np.fft.irfft(spectrum.real**2 + spectrum.imag**2, width)[:longest]
    # Rounding leaves a constant series a little above zero.
    scale = sum(float(np.max(np.abs(one), initial=0)) ** 2 * len(one) for one in series)
    if covariance[0] <= 1e-24 * scale:
        return 1.0
    rho = covariance / covariance[0]
    pairs = rho[: longest // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0.0)
    positive = pairs[: ends[0]] if len(ends) else pairs
    return max(1.0, 2.0 * float(np.minimum.accumulate(positive).sum()) - 1.0)
