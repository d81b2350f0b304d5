"""A middle that a single disturbed process cannot move."""

from __future__ import annotations

import itertools
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def hodges_lehmann(values: Sequence[float]) -> float:
    """The median of the means of all pairs, each value with itself too (Hodges and Lehmann 1963).

    Nearly as sharp as the mean where nothing is wrong (95 % of its efficiency for normal noise), and unmoved by
    outliers in up to 29 % of the values.

    Args:
        values: at least one.
    """
    return statistics.median((one + other) / 2 for one, other in itertools.combinations_with_replacement(values, 2))
