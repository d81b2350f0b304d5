"""Who is measured in the next round, and for how long: what a policy is."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from results.goal import Seen

if TYPE_CHECKING:
    from bench.plan import Cell
    from results.record import Record

# Cell id -> round -> what that process showed.
History = Mapping[str, Mapping[int, Seen]]


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        going: ids of the cells that are measured.
        process_s: for how long each process times calls.
        judge: whether the quality of answers beside the form raw is judged, where it was not before.
        pairs: ids of cells that belong together, in either order: they get the same processors.
        together: whether the two of a pair compute in turns, rather than one process after the other.
    """

    going: frozenset[str]
    process_s: float
    judge: bool = True
    pairs: tuple[tuple[str, str], ...] = ()
    together: bool = False


class Policy(Protocol):
    """Decides before each round."""

    def next_round(self, number: int, cells: Sequence[Cell], history: History) -> Round | None:
        """The next round; None when there is nothing left to find out.

        Args:
            number: of the round, from 0.
            cells: those that can still be measured.
            history: what was seen of them.
        """

    def ahead(self, number: int, going: int) -> int:
        """How many processes may follow this round at most, when so many cells are going."""

    def note(self, record: Record) -> None:
        """A process has ended, now or before the run was gone on with."""

    def order(self, cells: Sequence[Cell], number: int, seed: int) -> list[Cell]:
        """The cells in this round's order: a function of seed and round alone, so that a resumed run keeps it."""


class Shuffled:
    """What most policies have in common: history is enough for them, and every cell is as likely to come first."""

    def note(self, record: Record) -> None:
        """Nothing to keep."""

    def order(self, cells: Sequence[Cell], number: int, seed: int) -> list[Cell]:
        """In random order."""
        shuffled = list(cells)
        random.Random(f"{seed}/{number}").shuffle(shuffled)  # noqa: S311  # an order, no secret
        return shuffled
