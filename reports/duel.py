"""Two signals in one call, or each on a stream of its own: cells that differ in nothing else, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import words
from results.intervals import log_ratio_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from results.intervals import Interval
    from results.summary import CellSummary

ONE_CALL, APART = "batch2", ("streams", "par")


@dataclass(frozen=True)
class Duel:
    """One way of running, in one call and in two side by side.

    Attributes:
        together: the cell that answers both signals in one call.
        apart: the faster one of those that answer them side by side.
        ratio: p50 of the first over that of the second; below 1, one call is faster.
        interval: 95 %, paired by rounds; None from too few processes.
    """

    together: CellSummary
    apart: CellSummary
    ratio: float
    interval: Interval | None


def duels(cells: Sequence[CellSummary]) -> list[Duel]:
    """Every pair among the cells of GPUs that are right and have a time."""
    found: dict[tuple[object, ...], dict[str, CellSummary]] = {}
    for cell in cells:
        if cell.status == "ok" and cell.p50_ms is not None and str(cell.device or "").startswith("cuda"):
            key = (cell.race, cell.spec["form"], words.runtime(cell))
            found.setdefault(key, {})[str(cell.spec["layout"])] = cell
    made = []
    for layouts in found.values():
        apart = [layouts[name] for name in APART if name in layouts]
        if ONE_CALL in layouts and apart:
            other = min(apart, key=lambda cell: cell.p50_ms or 0.0)
            together = layouts[ONE_CALL]
            # Paired by rounds where there are enough of them; and with an interval.
            paired = log_ratio_interval(together.medians_ns, other.medians_ns)
            ratio = paired[0] if paired else (together.p50_ms or 0.0) / (other.p50_ms or 1.0)
            made.append(Duel(together, other, ratio, paired[1] if paired else None))
    return made


def sentences(cells: Sequence[CellSummary]) -> Iterator[str]:
    """Whether one call for both signals beats two side by side, over all pairs of a run; nothing without pairs."""
    found = duels(cells)
    if not found:
        return
    lows, highs = min(duel.ratio for duel in found), max(duel.ratio for duel in found)
    pairs = "1 pair that differs" if len(found) == 1 else f"{len(found)} pairs that differ"
    yield (
        f"on the GPU one call for both signals takes {lows:.2f} to {highs:.2f} × the time of two side by side, in "
        f"{pairs} in nothing else: "
        f"{_told(found, 'faster', -1)}, {_told(found, 'slower', 1)}"
    )


def _told(found: Sequence[Duel], word: str, sign: int) -> str:
    """How many pairs went one way, and how many of these leave no doubt."""
    gone = [duel for duel in found if (duel.ratio - 1) * sign > 0]
    clear = sum(duel.interval is not None and not duel.interval.low <= 1 <= duel.interval.high for duel in gone)
    if not gone:
        return f"{word} in none"
    return f"{word} in {len(gone)} ({clear} beyond doubt)"
