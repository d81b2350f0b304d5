"""Where a series of figures changed its level: E-divisive with permutations.

Matteson and James (2014), *A nonparametric approach for multiple change point analysis of multivariate data*: the
split of a series whose two parts differ most in energy distance, if no more than a few of many shuffled series have a
split as good; then the same within the parts. Hunter and Apache Otava watch benchmarks that way. Nothing is assumed
about how figures scatter, and the rate of false alarms is that of the shuffles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# One flat series in 500 is split by chance.
SIGNIFICANCE = 0.002
SHUFFLES = 1999
# A part has at least so many figures: with fewer, a single odd one would be a level of its own.
PART_LEAST = 4
# Below, no split is rare enough among all ways to shuffle to be more than chance.
SERIES_LEAST = 12


@dataclass(frozen=True)
class Change:
    """A change of level.

    Attributes:
        at: index of the first figure of the new level.
        ratio: the median of the new level over that of the old one.
        chance: share of shuffled series that split as well.
    """

    at: int
    ratio: float
    chance: float


def changes(values: Sequence[float], significance: float = SIGNIFICANCE, seed: int = 0) -> list[Change]:
    """Find every change of level.

    Args:
        values: figures in the order in which they were measured, positive and finite.
        significance: probability of finding a change in a series without one.
        seed: of the shuffles; the same series always has the same changes.

    Returns:
        In order. None can be found in fewer than about :data:`SERIES_LEAST` figures: there are too few ways to
        shuffle them; and the more uneven a split, the more figures it takes.

    Raises:
        ValueError: a figure is not positive and finite.
    """
    logs = np.log(np.asarray(values, np.float64)) if len(values) else np.zeros(0)
    if not np.all(np.isfinite(logs)):
        raise ValueError("a series of figures has one that is not positive and finite")
    cuts: dict[int, float] = {}
    _split(logs, 0, significance, np.random.default_rng(seed), cuts)
    ends = [0, *sorted(cuts), len(logs)]
    return [
        Change(at, float(np.exp(np.median(logs[at:after]) - np.median(logs[before:at]))), cuts[at])
        for before, at, after in zip(ends, ends[1:-1], ends[2:], strict=False)
    ]


def _split(
    logs: NDArray[np.float64],
    offset: int,
    significance: float,
    generator: np.random.Generator,
    cuts: dict[int, float],
) -> None:
    if len(logs) < 2 * PART_LEAST:
        return
    distances = np.abs(logs[:, None] - logs[None, :])
    found = _energies(distances[None])[0]
    best = int(found.argmax())
    shuffled = np.array([generator.permutation(len(logs)) for _ in range(SHUFFLES)])
    # In pieces, so that a long series does not take all memory.
    piece = max(1, 4_000_000 // len(logs) ** 2)
    as_good = 0
    for start in range(0, SHUFFLES, piece):
        order = shuffled[start : start + piece]
        energies = _energies(distances[order[:, :, None], order[:, None, :]])
        as_good += int((energies.max(axis=1) >= found[best] * (1.0 - 1e-12)).sum())
    chance = (as_good + 1) / (SHUFFLES + 1)
    if chance > significance:
        return
    at = best + PART_LEAST
    cuts[offset + at] = chance
    _split(logs[:at], offset, significance, generator, cuts)
    _split(logs[at:], offset + at, significance, generator, cuts)


def _energies(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scaled energy distance of every allowed split.

    Args:
        distances: shape ``(series, n, n)``.

    Returns:
        Shape ``(series, splits)``; split 0 has :data:`PART_LEAST` figures on its left.
    """
    n = distances.shape[1]
    sums = distances.cumsum(axis=1).cumsum(axis=2)
    left = np.arange(PART_LEAST, n - PART_LEAST + 1)
    right = n - left
    within_left = sums[:, left - 1, left - 1]
    across = sums[:, left - 1, n - 1] - within_left
    within_right = sums[:, n - 1, n - 1][:, None] - within_left - 2.0 * across
    between = 2.0 * across / (left * right)
    energy = between - within_left / (left * (left - 1)) - within_right / (right * (right - 1))
    return np.asarray(energy * left * right / n)
