"""Which applications a cell is quick enough for: its p50 and its p99 beside published budgets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from results.published import row

if TYPE_CHECKING:
    from results.summary import CellSummary

# The claim that says what applications allow, and what we call each of its figures.
CLAIM = "B01"
NAMES = {
    "live": "live performance",
    "voice": "voice conversion",
    "interactive": "interactive",
    "streaming": "streaming",
}
MET, MISSED, UNSURE, UNKNOWN = "met", "missed", "unsure", "unknown"


@dataclass(frozen=True)
class Budget:
    """A latency that an application allows.

    Attributes:
        name: the application.
        most_ms: a call must take less.
        source: where that is published.
    """

    name: str
    most_ms: float
    source: str


@dataclass(frozen=True)
class Standing:
    """How one cell stands to one budget.

    Attributes:
        budget: the budget.
        p50, p99: ``met`` or ``missed`` where the whole interval says so, ``unsure`` where the budget lies in it,
            ``unknown`` where there is no such figure. Without an interval the figure alone decides, and ``sure``
            is false.
        sure: whether both figures have an interval.
    """

    budget: Budget
    p50: str
    p99: str
    sure: bool


@cache
def budgets() -> tuple[Budget, ...]:
    """All budgets, the tightest first, from the rows of published figures."""
    found = []
    for figure, name in NAMES.items():
        said = row(f"{CLAIM}.{figure}")
        most_s = float(said.value.removeprefix("<")) * float(said.scale)
        source = f"{said.source.title}, line {said.lines[0]}, {said.source.url}"
        found.append(Budget(name, most_s * 1e3, source))
    return tuple(sorted(found, key=lambda budget: budget.most_ms))


def standings(cell: CellSummary) -> list[Standing]:
    """A cell beside every budget, the tightest first."""
    sure = cell.p50_ci_ms is not None and cell.p99_ci_ms is not None
    return [
        Standing(
            budget,
            _against(budget.most_ms, cell.p50_ms, cell.p50_ci_ms),
            _against(budget.most_ms, cell.p99_ms, cell.p99_ci_ms),
            sure,
        )
        for budget in budgets()
    ]


def _against(most_ms: float, value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return UNKNOWN
    low, high = interval or (value, value)
    return MET if high < most_ms else MISSED if low >= most_ms else UNSURE
