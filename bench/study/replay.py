"""Searches on recorded processes: ours and Optuna's choose, and what they would have measured is drawn from a run.

Many searches cost seconds so. Each draws from the processes of a run that tried everything: the same times, the same
disturbances, the same price per process.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.halving import Halving
from bench.profile import profiles
from results.goal import Goal, Seen, seen_in
from results.tuned import pick, typical_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.plan import Cell
    from results.record import Record

PROFILE = "quick"
# Cell -> its right processes, in the order of rounds.
Pool = dict[str, "list[Record]"]
# No process makes fewer calls.
CALLS_LEAST = 3


def pool_of(records: Iterable[Record]) -> Pool:
    """The processes of every right cell."""
    pool: Pool = defaultdict(list)
    for record in records:
        if seen_in(record) is not None:
            pool[record.cell].append(record)
    return dict(pool)


def shortened(record: Record, share: float) -> Record:
    """The process as it would have been in a share of its time: fewer calls, and as much less time."""
    calls = min(len(record.wall_ns), max(CALLS_LEAST, round(len(record.wall_ns) * share)))
    saved_s = float(record.wall_ns[calls:].sum()) * 1e-9
    facts = {**record.facts, "took_s": float(record.facts["took_s"]) - saved_s}
    warmup = min(record.warmup, calls - 1)
    return replace(record, facts=facts, wall_ns=record.wall_ns[:calls], cpu_ns=record.cpu_ns[:calls], warmup=warmup)


def ours(cells: Sequence[Cell], pool: Pool, process_s: float, seed: int) -> tuple[str, float]:
    """One search by successive halving; what it picks, and the seconds it would have spent.

    Args:
        cells: of the search.
        pool: their processes, as long as ``process_s``.
        process_s: of a full process.
        seed: which processes it happens to see.
    """
    rounds = list(range(max(map(len, pool.values()))))
    random.Random(seed).shuffle(rounds)  # noqa: S311  # an order, no secret
    goal = Goal()
    policy = Halving(replace(profiles()[PROFILE], process_s=process_s), goal)
    racers = [cell for cell in cells if cell.id in pool]
    history: dict[str, dict[int, Seen]] = defaultdict(dict)
    spent_s, number = 0.0, 0
    while (coming := policy.next_round(number, racers, history)) is not None:
        for cell in sorted(coming.going):
            drawn = pool[cell]
            record = drawn[rounds[number % len(rounds)] % len(drawn)]
            seen = seen_in(shortened(record, coming.process_s / process_s))
            assert seen is not None, "a pool has right processes"
            spent_s += seen.took_s
            history[cell][number] = seen
        number += 1
    found = pick(goal, history)
    assert found is not None, "a pool has right cells"
    return found, spent_s


def rival(cells: Sequence[Cell], pool: Pool, budget_s: float, seed: int) -> tuple[str, str]:
    """One search by Optuna's TPE sampler, one full process a trial, for as long as ours took.

    Returns:
        The cell of its best trial, and the cell with the best middle over its trials.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    by_choices = {choices(cell): cell.id for cell in cells if cell.id in pool}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    generator = random.Random(seed)  # noqa: S311  # draws, no secrets
    left: dict[str, list[Record]] = {}
    found: dict[str, dict[int, Seen]] = defaultdict(dict)
    best: tuple[float, str] | None = None
    spent_s, number = 0.0, 0
    while spent_s < budget_s:
        trial = study.ask()
        cell = by_choices[tuple(suggest(trial, list(by_choices)))]
        if not left.get(cell):
            left[cell] = generator.sample(pool[cell], len(pool[cell]))
        seen = seen_in(left[cell].pop())
        assert seen is not None, "a pool has right processes"
        study.tell(trial, seen.p50_ns * 1e-6)
        best = min(best or (seen.p50_ns, cell), (seen.p50_ns, cell))
        found[cell][number] = seen
        spent_s += seen.took_s
        number += 1
    assert best is not None, "a budget pays for a trial"
    return best[1], min(found, key=lambda cell: typical_ns(Goal(), found[cell]))


def suggest(trial: Any, cells: Sequence[tuple[tuple[str, str], ...]]) -> list[tuple[str, str]]:
    """Let a trial choose a cell, one property after the other, among the values that still lead to one.

    Args:
        trial: of Optuna.
        cells: the properties of every cell, the runtime first.
    """
    chosen: list[tuple[str, str]] = []
    left = list(cells)
    while any(len(cell) > len(chosen) for cell in left):
        name = left[0][len(chosen)][0]
        values = list(dict.fromkeys(cell[len(chosen)][1] for cell in left))
        # The space depends on the runtime, and so does the name of the parameter.
        key = f"{chosen[0][1]}.{name}" if chosen else name
        chosen.append((name, values[0] if len(values) == 1 else trial.suggest_categorical(key, values)))
        left = [cell for cell in left if cell[: len(chosen)] == tuple(chosen)]
    return chosen


def choices(cell: Cell) -> tuple[tuple[str, str], ...]:
    """What tells a cell from others, in the order in which a sampler chooses."""
    shared = (("runtime", cell.runtime), ("form", cell.form), ("layout", cell.layout), ("threads", str(cell.threads)))
    return (*shared, *((name, str(value)) for name, value in cell.options.items()))
