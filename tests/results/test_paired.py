"""Calls of one turn beside calls of the same turn: what a machine does between turns must not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from made import record

from results.contended import calls
from results.gate_figures import figures
from results.paired import common, ratio, turn_of_calls

if TYPE_CHECKING:
    from results.record import Record

MS = 1_000_000


def turned(machine: list[float], factor: float = 1.0, *, warmup: int = 0, seed: int = 0, each: int = 10) -> Record:
    """A process whose machine was so slow in each of its turns."""
    generator = np.random.default_rng(seed)
    wall = [
        int(3 * MS * slow * factor * (1.0 + 0.003 * generator.standard_normal()))
        for slow in machine
        for _ in range(each)
    ]
    return record("c", 0, wall, warmup=warmup, turns=[each * number for number in range(len(machine))])


def change(baseline: Record, candidate: Record, objective: str = "p50") -> float:
    both = (baseline, candidate)
    kept = calls(both)
    found = figures(objective, both, (kept[0], kept[1]), None, quiet=False)
    assert found is not None
    return float(np.expm1(found.difference))


def test_every_call_knows_its_turn() -> None:
    found = turn_of_calls(turned([1.0] * 3, each=4, warmup=2))
    assert found is not None
    assert found.tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert turn_of_calls(record("c")) is None
    assert turn_of_calls(record("c", wall_ns=(), turns=[0])) is None


def test_a_machine_with_two_speeds_shows_no_change() -> None:
    machine = [1.0, 1.4, 1.4, 1.0, 1.35, 1.0, 1.0, 1.4, 1.4, 1.4]
    assert change(turned(machine, seed=1), turned(machine, seed=2)) == pytest.approx(0.0, abs=0.003)
    assert change(turned(machine, seed=1), turned(machine, 1.02, seed=2)) == pytest.approx(0.02, abs=0.003)
    # Of which medians of whole processes that are not compared turn by turn know nothing.
    half = [1.0] * 5 + [1.4] * 5
    shifted = [1.0] * 4 + [1.4] * 6
    medians = [float(np.median(turned(one, seed=3).wall_ns)) for one in (half, shifted)]
    assert medians[1] / medians[0] > 1.1


def test_warm_up_of_one_takes_its_turns_from_both() -> None:
    # Found in one and not in the other, it would compare a slow phase with a quick one.
    machine = [1.4] * 5 + [1.0] * 5
    for objective in ("p50", "p90"):
        found = change(turned(machine, warmup=50, seed=1), turned(machine, seed=2), objective)
        assert found == pytest.approx(0.0, abs=0.005)


def test_what_is_measured_after_the_other_has_ended_is_compared_with_nothing() -> None:
    found = change(turned([1.0] * 6, seed=1), turned([1.0] * 6 + [1.8] * 20, seed=2), "p90")
    assert found == pytest.approx(0.0, abs=0.005)


def test_exchanging_the_two_changes_the_sign_and_nothing_else() -> None:
    generator = np.random.default_rng(5)
    one, other = (
        {number: (MS * np.exp(generator.standard_normal(length))).astype(np.int64) for number, length in lengths}
        for lengths in ([(0, 7), (1, 40), (3, 5)], [(0, 9), (1, 3), (2, 8), (3, 60)])
    )
    assert len(common(one, other)) == 3
    assert ratio(common(one, other)) == -ratio(common(other, one))


def test_processes_without_turns_are_compared_as_wholes() -> None:
    first, second = record("b", 0, [2 * MS] * 30), record("c", 0, [3 * MS] * 30)
    assert change(first, second) == pytest.approx(0.5)
    assert change(first, turned([1.0] * 3)) == pytest.approx(0.5, abs=0.01)
