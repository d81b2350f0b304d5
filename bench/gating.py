"""The policy of a gate: both sides of a pair in turns, until every pair has its verdict."""

from __future__ import annotations

import random
from itertools import chain
from typing import TYPE_CHECKING

from bench.rounds import Round
from results.gate import verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from bench.plan import Cell
    from bench.profile import Profile
    from bench.rounds import History
    from results.gate_spec import Gate
    from results.record import Record


class Gating:
    """Implements :class:`bench.rounds.Policy`.

    Args:
        profile: how long a process is.
        gate: what is compared.
        specs: cell id → what the run file says of it; what cannot be measured at all is settled.
    """

    def __init__(self, profile: Profile, gate: Gate, specs: Mapping[str, Mapping[str, Any]]) -> None:
        self._process_s, self._gate, self._specs = profile.process_s, gate, specs
        self._records: list[Record] = []

    def note(self, record: Record) -> None:
        """Keep it: verdicts rest on samples."""
        self._records.append(record)

    def next_round(self, number: int, cells: Sequence[Cell], history: History) -> Round | None:
        """Every pair that has no verdict yet and of which both sides can be measured."""
        if number >= self._gate.pairs_most:
            return None
        there = {cell.id for cell in cells}
        going: dict[tuple[str, str], None] = {}
        for found in verdicts(self._gate, self._specs, self._records):
            sides = found.pair.baseline, found.pair.candidate
            if not found.decided and there.issuperset(sides):
                going[sides] = None
        if not going:
            return None
        pairs = tuple(going)
        return Round(frozenset(chain(*pairs)), self._process_s, pairs=pairs, together=not self._gate.apart)

    def ahead(self, number: int, going: int) -> int:
        """All of them to the last round."""
        return going * (self._gate.pairs_most - number - 1)

    def order(self, cells: Sequence[Cell], number: int, seed: int) -> list[Cell]:
        """Pairs in random order, and a coin for who goes first in each: false alarms are counted by that coin."""
        by_name = {cell.id: cell for cell in cells}
        shuffled = list(self._gate.pairs)
        coins = random.Random(f"{seed}/{number}")  # noqa: S311  # an order, no secret
        coins.shuffle(shuffled)
        order = []
        for pair in shuffled:
            sides = [pair.baseline, pair.candidate]
            if coins.random() < 0.5:
                sides.reverse()
            order += [by_name[name] for name in sides if name in by_name]
        return order
