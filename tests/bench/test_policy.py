"""Who is measured next: a sweep that stops what others are compared with has nothing left to say."""

from __future__ import annotations

from dataclasses import replace

from bench.halving import Halving
from bench.plan import Cell, ModelSpec, Plan
from bench.policy import Everyone, Sweeping, policy_of
from bench.profile import profiles
from results.goal import Seen
from results.sweep import Arm, Contrast, Sweep

QUICK = profiles()["quick"]
DEFAULT, FAST, SLOW, BASE, ON_BASE = "d", "fast", "slow", "base", "on-base"


def cell(name: str) -> Cell:
    return Cell(name, "raw", "fake", "mono", 1)


CELLS = [cell(name) for name in (DEFAULT, FAST, SLOW, BASE, ON_BASE)]
IDS = {one.model: one.id for one in CELLS}


def arm(name: str, beside: str) -> Arm:
    return Arm(name, "true", "value", (Contrast((IDS[name],), (IDS[beside],)),))


SWEEP = Sweep(
    "one-at-a-time",
    IDS[DEFAULT],
    (),
    (arm(FAST, DEFAULT), arm(SLOW, DEFAULT), arm(BASE, DEFAULT), arm(ON_BASE, BASE)),
)


def history(rounds: int, **levels: float) -> dict[str, dict[int, Seen]]:
    return {
        IDS[name]: {
            number: Seen(level * 1e6 * (1 + 1e-3 * ((number * 7) % 3)), 0.0, 0.0, None, None, True, 1.0)
            for number in range(rounds)
        }
        for name, level in levels.items()
    }


def seen(rounds: int) -> dict[str, dict[int, Seen]]:
    return history(rounds, **{DEFAULT: 10, FAST: 9, SLOW: 20, BASE: 20, "on-base": 20})


def test_a_sweep_measures_everything_in_every_round_whatever_it_sees() -> None:
    # Intervals that decide when to stop are narrower than they should be.
    policy = Sweeping(QUICK, (SWEEP,))
    assert policy.next_round(1, CELLS, seen(1)).going == set(IDS.values())  # type: ignore[union-attr]


def test_what_is_slower_beyond_doubt_stops_unless_others_are_compared_with_it() -> None:
    policy = Sweeping(QUICK, (SWEEP,))
    coming = policy.next_round(QUICK.rounds_least, CELLS, seen(QUICK.rounds_least))
    assert coming is not None
    # ON_BASE is as slow as what it is compared with; only it may stop with SLOW.
    assert IDS[SLOW] not in coming.going
    assert {IDS[DEFAULT], IDS[FAST], IDS[BASE]} <= coming.going


def test_a_sweep_ends_with_its_last_round() -> None:
    assert Sweeping(QUICK, (SWEEP,)).next_round(QUICK.rounds_most, CELLS, seen(QUICK.rounds_most)) is None
    assert Everyone(QUICK).next_round(QUICK.rounds_most, CELLS, {}) is None


def test_a_plan_gets_the_policy_that_it_asks_for() -> None:
    plan = Plan("t", "s", "quick", {"null": ModelSpec("null")}, tuple(CELLS))
    assert isinstance(policy_of(plan, QUICK, {}), Everyone)
    assert isinstance(policy_of(replace(plan, sweeps=(SWEEP,)), QUICK, {}), Sweeping)
    assert isinstance(policy_of(replace(plan, goal={"objective": "p99"}), QUICK, {}), Halving)


def test_no_policy_promises_fewer_processes_than_may_follow() -> None:
    for policy in (Everyone(QUICK), Sweeping(QUICK, (SWEEP,))):
        assert policy.ahead(QUICK.rounds_most - 1, 5) == 0
        assert policy.ahead(0, 5) == 5 * (QUICK.rounds_most - 1)
