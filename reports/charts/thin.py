"""Fewer points that look the same: a million samples fit into no page."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINTS_MOST = 400
TAIL_KEPT = 50


def exceedance(
    samples: NDArray[np.int64], most: int = POINTS_MOST, kept: int = TAIL_KEPT
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Which share of calls took longer, down to the slowest.

    Args:
        samples: shape (n,), any order, any unit.
        most: so many points at most.
        kept: so many of the slowest are all kept.

    Returns:
        Times, rising, and for each the share of calls that took at least as long: 1 for the fastest, 1/n for the
        slowest. Both of shape (m,), m at most ``most``. Between, points are even in rank for the body and in the
        logarithm of the rank for the tail.
    """
    ordered = np.sort(samples).astype(np.float64)
    n = ordered.size
    if n <= most:
        chosen = np.arange(n)
    else:
        half = (most - kept) // 2
        body = np.linspace(0, n - 1, half)
        tail = n - np.geomspace(n, kept, most - kept - half)
        chosen = np.unique(np.concatenate([body, tail, np.arange(n - kept, n)]).astype(np.int64).clip(0, n - 1))
    return ordered[chosen], (n - chosen) / n


def envelope(
    samples: NDArray[np.int64], bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Lowest, middle and highest value of each of some stretches of samples in order.

    Args:
        samples: shape (n,), n at least 1, in the order they were taken.
        bins: so many stretches at most.

    Returns:
        Middle of each stretch as an index, and its minimum, median and maximum; shape (min(n, bins),) each.
    """
    n = samples.size
    edges = np.linspace(0, n, min(n, bins) + 1).astype(np.int64)
    parts = [samples[start:stop] for start, stop in pairwise(edges)]
    middles = (edges[:-1] + edges[1:] - 1) / 2
    medians = np.array([np.median(part) for part in parts])
    starts = edges[:-1]
    lows, highs = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    return middles, lows.astype(np.float64), medians, highs.astype(np.float64)
