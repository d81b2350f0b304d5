"""Successive halving over rounds of fresh processes: the best cell without trying everything as carefully.

The first round is short and has every cell, the second all but those that are far behind. From then on whoever is not
among the better half leaves after every round (Karnin, Koren and Somekh 2013). Up to here the fastest process of a cell
speaks for it: much can slow a process down, and nothing speeds one up, so no single slow one costs a cell its place. A
cell whose processes were all disturbed is given another. The few that are left are measured in full until the best of
them is good enough, as sure as was asked for.

Every decision depends on finished rounds alone, so a search that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.rounds import Round, Shuffled
from results.likely import beside, probability_within
from results.tuned import typical_ns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.plan import Cell
    from bench.profile import Profile
    from bench.rounds import History
    from results.goal import Goal, Seen

# So many are left for the last stage.
FINALISTS = 6
# Whoever is slower than the best by this factor leaves after the first, second, third round, however many stay.
FAR = (1.8, 1.3, 1.2)
# A disturbed process may have been slowed down by this factor.
DISTURBED = 1.5
# So many disturbed processes are not the cell's fault; one that has had more is judged by them.
EXCUSED = 2
# Shares of a full process that the first rounds take.
SHORT = (0.25, 0.25, 0.5)
# Rounds of the last stage: at least, before anything is believed, and at most.
FINAL_LEAST, FINAL_MOST = 3, 6
# A tail needs more calls.
LONGER = {"p50": 1.0, "p90": 2.0, "p99": 4.0}


class Halving(Shuffled):
    """A search; implements :class:`bench.rounds.Policy`.

    Args:
        profile: how long a full process is.
        goal: what is looked for.
    """

    def __init__(self, profile: Profile, goal: Goal) -> None:
        tail = "p99" if goal.within_ms is not None else goal.objective
        self._process_s = profile.process_s * LONGER[tail]
        self._goal = goal

    def next_round(self, number: int, cells: Sequence[Cell], history: History) -> Round | None:
        """The next round; None when the best is known well enough."""
        # Whoever has broken a condition in any round makes room, as a wrong one does.
        names = [cell.id for cell in cells if not self._refused(history.get(cell.id, {}))]
        final = 0
        for earlier in range(number):
            done = {name: _until(history.get(name, {}), earlier) for name in names}
            if len(names) > FINALISTS:
                names = self._better(names, done, earlier)
                continue
            final += 1
            if final >= FINAL_LEAST:
                names = self._not_beaten(names, done)
            if final >= FINAL_MOST or (final >= FINAL_LEAST and self._sure(names, done, history, earlier)):
                return None
        if not names:
            return None
        last = len(names) <= FINALISTS
        share = SHORT[number] if number < len(SHORT) and not last else 1.0
        # Judging takes as long as measuring: only for those that may win.
        return Round(frozenset(names), self._process_s * share, judge=last)

    def ahead(self, number: int, going: int) -> int:
        """Halves, then the last stage."""
        left, cells = 0, going
        while cells > FINALISTS:
            cells = math.ceil(cells / 2)
            left += cells
        return left + cells * FINAL_MOST

    def _better(self, names: Sequence[str], done: Mapping[str, Mapping[int, Seen]], number: int) -> list[str]:
        """Those that go on after one of the earlier rounds."""
        known = [name for name in names if done[name] and not self._refused(done[name])]
        scores = {name: self._fastest(done[name]) for name in known}
        order = sorted(known, key=lambda name: (scores[name], name))
        if not order:
            return []
        # One short process each is no reason to halve.
        cut = max(math.ceil(len(order) / 2), FINALISTS) if number else len(order)
        far = math.log(FAR[min(number, len(FAR) - 1)])
        best = scores[order[0]]
        stay = [name for place, name in enumerate(order) if place < cut and scores[name] - best <= far]
        last = scores[stay[-1]]
        # Not the cell's fault: its quiet time may be better than this.
        stay += [
            name
            for name in order
            if name not in stay
            and len(done[name]) < EXCUSED
            and not any(seen.quiet for seen in done[name].values())
            and scores[name] - math.log(DISTURBED) <= last
        ]
        return stay

    def _not_beaten(self, names: Sequence[str], done: Mapping[str, Mapping[int, Seen]]) -> list[str]:
        """Finalists without those that are slower than the best by more than the margin, beyond doubt."""
        values = self._values(names, done)
        if len(values) < 2:
            return list(values)
        pick = min(values, key=lambda name: (self._score(done[name]), name))
        placed = beside(pick, values)
        return [name for name in values if name == pick or placed[name].mean - 4 * placed[name].error < self._margin]

    def _sure(
        self, names: Sequence[str], done: Mapping[str, Mapping[int, Seen]], history: History, number: int
    ) -> bool:
        everyone = {name: _until(rounds, number) for name, rounds in history.items()}
        values = self._values(list(everyone), everyone)
        racers = [name for name in names if name in values]
        if not racers:
            return True
        pick = min(racers, key=lambda name: (self._score(done[name]), name))
        return probability_within(beside(pick, values), self._goal.margin) >= self._goal.sure

    @property
    def _margin(self) -> float:
        return math.log1p(self._goal.margin)

    def _values(self, names: Sequence[str], done: Mapping[str, Mapping[int, Seen]]) -> dict[str, dict[int, float]]:
        objective = self._goal.objective
        return {
            name: {number: seen.value_ns(objective) for number, seen in done[name].items()}
            for name in names
            if done[name] and not self._refused(done[name])
        }

    def _refused(self, rounds: Mapping[int, Seen]) -> bool:
        return bool(self._goal.breaks(rounds.values()))

    def _fastest(self, rounds: Mapping[int, Seen]) -> float:
        """Log of the objective in the fastest process."""
        return math.log(min(seen.value_ns(self._goal.objective) for seen in rounds.values()))

    def _score(self, rounds: Mapping[int, Seen]) -> float:
        """Log of the objective, see :func:`results.tuned.typical_ns`."""
        return math.log(typical_ns(self._goal, rounds))


def _until(rounds: Mapping[int, Seen], number: int) -> dict[int, Seen]:
    return {at: seen for at, seen in rounds.items() if at <= number}
