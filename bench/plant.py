"""A change on purpose, to see whether a gate finds it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.layouts import Layout


def slow_down(layout: Layout, share: float) -> None:
    """Make every call of a layout longer by a share of its own time, by waiting busily after it.

    Args:
        layout: whose calls.
        share: such as 0.02 for 2 %.
    """
    call, clock = layout.call, time.perf_counter_ns

    def slower(feeds: Any) -> Any:
        begin = clock()
        outputs = call(feeds)
        end = clock()
        until = end + int((end - begin) * share)
        while clock() < until:
            pass
        return outputs

    layout.call = slower
