"""A search that drops the best cell early, or believes one lucky process, is worse than none."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench.halving import FINAL_MOST, FINALISTS, SHORT, Halving
from bench.plan import Cell
from bench.profile import profiles
from results.goal import Goal, Seen
from results.tuned import pick

if TYPE_CHECKING:
    from bench.rounds import History, Round

QUICK = profiles()["quick"]
LEVELS_MS = tuple(10 * 1.02**place for place in range(48))


def cells(count: int = len(LEVELS_MS)) -> list[Cell]:
    return [Cell(f"m{number:02}", "raw", "fake", "mono", 1) for number in range(count)]


def seen(value_ms: float, *, quiet: bool = True, rss: int = 10**8, snr_db: float | None = None) -> Seen:
    return Seen(value_ms * 1e6, value_ms * 1.1e6, value_ms * 1.5e6, rss, snr_db, quiet, 1.0)


class Search:
    """A search over made-up cells; keeps what each round had."""

    def __init__(
        self, goal: Goal, levels_ms: tuple[float, ...] = LEVELS_MS, *, seed: int = 1, noise: float = 0.01
    ) -> None:
        self.cells, self.goal = cells(len(levels_ms)), goal
        self.levels = {cell.id: level for cell, level in zip(self.cells, levels_ms, strict=True)}
        self.random, self.noise = random.Random(seed), noise
        self.history: dict[str, dict[int, Seen]] = defaultdict(dict)
        self.rounds: list[Round] = []

    def process(self, cell: str, number: int) -> Seen:
        return seen(self.levels[cell] * math.exp(self.random.gauss(0, self.noise)))

    def go(self) -> str | None:
        policy = Halving(QUICK, self.goal)
        while (coming := policy.next_round(len(self.rounds), self.cells, self.history)) is not None:
            for cell in sorted(coming.going):
                self.history[cell][len(self.rounds)] = self.process(cell, len(self.rounds))
            self.rounds.append(coming)
        return pick(self.goal, {cell: rounds for cell, rounds in self.history.items() if rounds})

    @property
    def sizes(self) -> list[int]:
        return [len(coming.going) for coming in self.rounds]


def test_every_cell_gets_a_short_process_and_then_the_better_half_goes_on() -> None:
    search = Search(Goal())
    search.go()
    sizes = search.sizes
    assert sizes[0] == len(LEVELS_MS)
    # Those that are not far behind have another, and then halves leave.
    assert sizes[0] / 2 < sizes[1] < sizes[0]
    assert sizes[2] <= sizes[1] / 2 + 1
    assert sizes == sorted(sizes, reverse=True)
    assert search.rounds[0].process_s == pytest.approx(SHORT[0] * QUICK.process_s)
    assert search.rounds[-1].process_s == QUICK.process_s


def test_it_costs_a_fraction_and_finds_a_cell_within_the_margin() -> None:
    found = [Search(Goal(), seed=seed) for seed in range(40)]
    good = sum(search.levels[str(search.go())] <= LEVELS_MS[0] * 1.0201 for search in found)
    assert good >= 38
    for search in found:
        # Of ten rounds of everything; short rounds count as whole ones here.
        assert sum(search.sizes) <= 0.35 * 10 * len(LEVELS_MS)
        assert len(search.rounds) <= 6 + FINAL_MOST


def test_cells_that_are_alike_are_measured_to_the_end_and_one_is_picked() -> None:
    search = Search(Goal(), (10.0,) * 12, noise=0.03)
    assert search.go() is not None
    assert len([size for size in search.sizes if size <= FINALISTS]) <= FINAL_MOST


def test_it_ends_early_when_one_is_far_ahead() -> None:
    search = Search(Goal(), (5.0, *LEVELS_MS))
    assert search.go() == search.cells[0].id
    assert sum(search.sizes) < 1.6 * len(LEVELS_MS)


def test_a_disturbed_process_does_not_cost_the_best_cell_its_place() -> None:
    class Disturbed(Search):
        def process(self, cell: str, number: int) -> Seen:
            if number == 0 and cell == self.cells[0].id:
                return seen(self.levels[cell] * 2.2, quiet=False)
            return super().process(cell, number)

    search = Disturbed(Goal())
    assert search.levels[str(search.go())] <= LEVELS_MS[0] * 1.0201


def test_a_single_slow_process_of_a_finalist_does_not_decide() -> None:
    class Outlier(Search):
        def process(self, cell: str, number: int) -> Seen:
            one = super().process(cell, number)
            return replace(one, p50_ns=one.p50_ns * 2) if number == 8 and cell == self.cells[0].id else one

    good = 0
    for seed in range(20):
        search = Outlier(Goal(), (10.0, 10.8, 10.9, 11.0, *(13.0 + 0.1 * place for place in range(20))), seed=seed)
        good += search.go() == search.cells[0].id
    assert good >= 19


def test_cells_past_a_condition_leave_and_do_not_take_a_place() -> None:
    class Heavy(Search):
        def process(self, cell: str, number: int) -> Seen:
            heavy = cell in {one.id for one in self.cells[:30]}
            return replace(super().process(cell, number), rss_bytes=2 * 10**9 if heavy else 10**8)

    search = Heavy(Goal(memory_bytes=10**9))
    search.go()
    assert not search.rounds[1].going & {cell.id for cell in search.cells[:30]}
    assert search.cells[30].id in search.rounds[-1].going


def test_a_finalist_that_breaks_a_condition_makes_room_for_one_that_does_not() -> None:
    # Quality is known in the last stage only: the search must go on among those that left before.
    class Rough(Search):
        def process(self, cell: str, number: int) -> Seen:
            one = super().process(cell, number)
            rough = cell in {other.id for other in self.cells[:12]}
            judged = number >= 3
            return replace(one, snr_db=(45.0 if rough else 90.0) if judged else None)

    search = Rough(Goal(snr_db=60))
    search.go()
    assert not search.rounds[-1].going & {cell.id for cell in search.cells[:12]}
    assert search.rounds[-1].going


def test_a_machine_that_is_never_quiet_is_searched_all_the_same() -> None:
    class Noisy(Search):
        def process(self, cell: str, number: int) -> Seen:
            return replace(super().process(cell, number), quiet=False)

    search = Noisy(Goal(), tuple(10 * 1.01**place for place in range(30)))
    assert search.go() is not None
    assert search.sizes[-1] <= FINALISTS
    assert search.rounds[-1].judge


def test_a_deadline_is_looked_for_from_the_beginning() -> None:
    # Half of the cells have a tail; the fastest of the others must win, not nothing.
    class Tailed(Search):
        def process(self, cell: str, number: int) -> Seen:
            one = super().process(cell, number)
            tailed = cell in {other.id for other in self.cells[:20]}
            return replace(one, p99_ns=one.p50_ns * (3.0 if tailed else 1.1))

    search = Tailed(Goal(within_ms=25))
    search.go()
    assert search.cells[20].id in search.rounds[-1].going
    assert not search.rounds[-1].going & {cell.id for cell in search.cells[:20]}


def test_one_late_process_does_not_refuse_a_cell() -> None:
    class Late(Search):
        def process(self, cell: str, number: int) -> Seen:
            one = super().process(cell, number)
            return replace(one, p99_ns=90e6) if number == 5 and cell == self.cells[0].id else one

    search = Late(Goal(within_ms=50), (8.0, *LEVELS_MS))
    assert search.go() == search.cells[0].id


def test_nothing_within_the_conditions_ends_the_search_at_once() -> None:
    search = Search(Goal(memory_bytes=1))
    search.go()
    assert len(search.rounds) == 1


def test_a_cell_that_turns_out_wrong_at_last_makes_room_for_the_next() -> None:
    # Wrong answers of a form may show in the last stage only: the search must not end with nothing.
    search = Search(Goal(), noise=0.0)
    policy, finalists = Halving(QUICK, Goal()), 0
    while (coming := policy.next_round(len(search.rounds), search.cells, search.history)) is not None:
        if len(coming.going) <= FINALISTS and not finalists:
            finalists = len(search.rounds)
            wrong = set(coming.going)
            search.cells = [cell for cell in search.cells if cell.id not in wrong]
            continue
        for cell in sorted(coming.going):
            search.history[cell][len(search.rounds)] = search.process(cell, len(search.rounds))
        search.rounds.append(coming)
    assert search.rounds[-1].going
    assert not search.rounds[-1].going & wrong


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been() -> None:
    whole = Search(Goal())
    whole.go()
    policy = Halving(QUICK, Goal())
    for number, coming in enumerate(whole.rounds):
        # What is known after a kill in the middle of the next round.
        known: History = {
            cell: {at: one for at, one in rounds.items() if at < number or (at == number and cell < "m10")}
            for cell, rounds in whole.history.items()
        }
        assert policy.next_round(number, whole.cells, known) == coming


def test_a_tail_gets_longer_processes() -> None:
    search = Search(Goal(objective="p99"))
    search.go()
    assert search.rounds[-1].process_s == pytest.approx(4 * QUICK.process_s)


def test_quality_is_judged_where_it_matters_and_not_for_cells_that_leave() -> None:
    search = Search(Goal())
    search.go()
    assert not search.rounds[0].judge
    assert search.rounds[-1].judge
