"""Who is measured in the next round, and for how long: what a policy is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from results.goal import Seen

if TYPE_CHECKING:
    from bench.plan import Cell

# Cell id -> round -> what that process showed.
History = Mapping[str, Mapping[int, Seen]]


@dataclass(frozen=True)
class Turn:
    """One round.

    Attributes:
        going: ids of the cells that are measured.
        process_s: for how long each process times calls.
        judge: whether the quality of answers beside the form raw is judged, where it was not before.
    """

    going: frozenset[str]
    process_s: float
    judge: bool = True


class Policy(Protocol):
    """Decides before each round."""

    def turn(self, number: int, cells: Sequence[Cell], history: History) -> Turn | None:
        """The next round; None when there is nothing left to find out.

        Args:
            number: of the round, from 0.
            cells: those that can still be measured.
            history: what was seen of them.
        """

    def ahead(self, number: int, going: int) -> int:
        """How many processes may follow this round at most, when so many cells are going."""
