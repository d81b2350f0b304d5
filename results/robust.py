"""What a cell's time is where processes are disturbed: slow ones tell of the machine, fast ones of the cell."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def faster_half(values: Sequence[float]) -> float:
    """The mean of the faster half, the middle value with it.

    Much can slow a process down, and nothing speeds one up: bursts that hit up to half of the processes leave this as
    it is, where a mean, a median or a trimmed mean would follow them. It lies below the typical process, by as much
    for every cell that varies as much; so it is for comparing cells, and not for saying how long one takes.

    Args:
        values: at least one.
    """
    ordered = sorted(values)
    return statistics.mean(ordered[: math.ceil(len(ordered) / 2)])
