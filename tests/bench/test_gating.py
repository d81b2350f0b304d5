"""The policy of a gate: pairs stay together, coins decide who goes first, and it stops when all is said."""

from __future__ import annotations

from collections import Counter

import numpy as np
from made import dead, record, spec

from bench.gating import Gating
from bench.plan import Cell
from bench.profile import profiles
from results.gate_spec import Gate, Pair

QUICK = profiles()["quick"]


def cells(count: int) -> list[Cell]:
    return [
        Cell(f"m{number}", "raw", "fake", "mono", 1, side=side)
        for number in range(count)
        for side in ("baseline", "candidate")
    ]


def gating(every: list[Cell], most: int = 60) -> tuple[Gating, Gate]:
    pairs = tuple(Pair(a.model, a.id, b.id) for a, b in zip(every[::2], every[1::2], strict=True))
    gate = Gate(pairs, {"baseline": "b", "candidate": "c"}, pairs_most=most)
    return Gating(QUICK, gate, {cell.id: spec() for cell in every}), gate


def play(policy: Gating, every: list[Cell], changes: dict[str, float], most: int = 80) -> list[frozenset[str]]:
    """Rounds of a gate whose candidates differ by so much."""
    generator = np.random.default_rng(0)
    rounds = []
    for number in range(most):
        coming = policy.next_round(number, every, {})
        if coming is None:
            break
        rounds.append(coming.going)
        for cell in policy.order(every, number, 7):
            if cell.id in coming.going:
                factor = 1.0 + (changes.get(cell.model, 0.0) if cell.side == "candidate" else 0.0)
                middle = 1e7 * factor * np.exp(0.004 * generator.standard_normal())
                policy.note(record(cell.id, number, [int(middle)] * 40))
    return rounds


def test_both_sides_of_a_pair_follow_each_other_and_coins_decide_who_is_first() -> None:
    every = cells(3)
    policy, _ = gating(every)
    first: Counter[str] = Counter()
    orders = set()
    for number in range(200):
        order = policy.order(every, number, 7)
        assert order == policy.order(every, number, 7)
        assert sorted(cell.id for cell in order) == sorted(cell.id for cell in every)
        for a, b in zip(order[::2], order[1::2], strict=True):
            assert a.model == b.model
            first[a.side] += 1
        orders.add(tuple(cell.model for cell in order[::2]))
    assert 240 <= first["baseline"] <= 360
    assert len(orders) == 6
    assert policy.order(every, 0, 7) != policy.order(every, 0, 8) or policy.order(every, 1, 7) != policy.order(
        every, 1, 8
    )


def test_a_clear_answer_ends_it_early_and_each_pair_for_itself() -> None:
    every = cells(2)
    policy, _ = gating(every)
    rounds = play(policy, every, {"m0": 0.5})
    assert len(rounds) < 20
    assert len(rounds[0]) == 4


def test_it_is_bounded() -> None:
    every = cells(1)
    policy, _ = gating(every, most=12)
    generator = np.random.default_rng(1)
    for number in range(12):
        assert policy.next_round(number, every, {}) is not None
        for cell in every:
            policy.note(record(cell.id, number, [int(1e7 * np.exp(generator.standard_normal()))] * 40))
    assert policy.next_round(12, every, {}) is None


def test_a_side_that_gave_no_right_answer_ends_its_pair() -> None:
    every = cells(2)
    policy, _ = gating(every)
    policy.note(dead(every[1].id, 0, "wrong", "off by 1"))
    coming = policy.next_round(1, [cell for cell in every if cell is not every[1]], {})
    assert coming is not None
    assert coming.going == {every[2].id, every[3].id}
