"""A pick that breaks a condition, or a certainty that is none, costs a product its deadline."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from results.goal import Goal, seen_in
from results.likely import Beside, beside, probability_within
from results.record import Record
from results.tuned import tuned

MS = 10**6


def record(cell: str, number: int, value_ms: float, status: str = "ok", calls: int = 40, **facts: Any) -> Record:
    # A tail of one call in forty.
    wall = np.full(calls, int(value_ms * MS), np.int64)
    wall[::40] *= 2
    known = {"took_s": 1.0, "quality": {"snr_db": 120.0}, **facts}
    return Record(cell, number, status, "" if status == "ok" else "bad", "now", known, wall, wall, 0)


def race(levels: dict[str, float], rounds: int = 6, seed: int = 1, noise: float = 0.005, **facts: Any) -> list[Record]:
    generator = random.Random(seed)
    return [
        record(cell, number, level * math.exp(generator.gauss(0, noise)), **facts)
        for number in range(rounds)
        for cell, level in levels.items()
    ]


def test_the_pick_is_the_fastest_and_ties_are_told() -> None:
    levels = {"a": 10.0, "twin": 10.0, "slow": 12.0}
    found = tuned(Goal(), list(levels), race(levels))
    assert found.best in {"a", "twin"}
    assert {found.best, *found.ties} == {"a", "twin"}
    assert found.value_ms == pytest.approx(10, rel=0.01)
    assert found.interval_ms is not None
    assert found.interval_ms[0] < found.value_ms < found.interval_ms[1]  # type: ignore[operator]


def test_a_wrong_cell_is_never_picked_however_fast() -> None:
    records = [
        *race({"right": 10.0}),
        record("wrong", 0, 1.0, "wrong"),
        *race({"late": 2.0}, 2),
        record("late", 2, 2.0, "wrong"),
    ]
    assert tuned(Goal(), ["right", "wrong", "late"], records).best == "right"


def test_what_was_measured_once_does_not_win_on_luck() -> None:
    records = [*race({"a": 10.0, "b": 10.4}), record("lucky", 0, 9.9)]
    assert tuned(Goal(), ["a", "b", "lucky"], records).best == "a"


def test_answers_that_nobody_judged_do_not_win() -> None:
    # A search that was stopped early knows the times of cells whose quality it does not know.
    unknown = [record("unknown", number, 5.0) for number in range(3)]
    for one in unknown:
        del one.facts["quality"]  # type: ignore[attr-defined]  # a dictionary, whatever its type says
    assert tuned(Goal(), ["unknown", "known"], [*unknown, *race({"known": 10.0})]).best == "known"
    nothing = tuned(Goal(), ["unknown"], unknown)
    assert nothing.best is None
    assert nothing.unjudged == 1


def test_a_deadline_that_too_few_calls_tell_of_is_not_met() -> None:
    found = tuned(Goal(within_ms=100), ["a"], race({"a": 7.0}, 2))
    assert found.best is None
    assert "too few" in found.refused["a"]


def test_conditions_leave_a_cell_out_with_its_reason() -> None:
    records = [
        *race({"heavy": 5.0}, rss_peak_bytes=900 * 10**6),
        *race({"rough": 6.0}, quality={"snr_db": 20.0}),
        *race({"good": 7.0}, rss_peak_bytes=10**8, quality={"snr_db": 90.0}),
    ]
    found = tuned(Goal(memory_bytes=500 * 10**6, snr_db=60), ["heavy", "rough", "good"], records)
    assert found.best == "good"
    assert "900 MB" in found.refused["heavy"]
    assert "20.0 dB" in found.refused["rough"]
    nothing = tuned(Goal(within_ms=1), ["good"], records)
    assert nothing.best is None
    assert nothing.sure is None
    assert set(nothing.refused) == {"heavy", "rough", "good"}


def test_a_deadline_is_for_the_tail_and_not_for_half_of_the_calls() -> None:
    # p50 7 ms, p99 14 ms.
    found = tuned(Goal(within_ms=10), ["a"], race({"a": 7.0}, calls=200))
    assert found.best is None
    assert "p99" in found.refused["a"]
    assert tuned(Goal(within_ms=15), ["a"], race({"a": 7.0}, calls=200)).best == "a"


def test_the_objective_decides() -> None:
    steady = [record("steady", number, 10.0) for number in range(6)]
    spiky = []
    for number in range(6):
        one = record("spiky", number, 9.0, calls=200)
        one.wall_ns[::20] = 30 * MS
        spiky.append(one)
    assert tuned(Goal(), ["steady", "spiky"], [*steady, *spiky]).best == "spiky"
    found = tuned(Goal(objective="p99"), ["steady", "spiky"], [*steady, *spiky])
    assert found.best == "steady"
    assert found.value_ms == pytest.approx(20, rel=0.01)


def test_cost_counts_processes_judging_and_what_everything_would_take() -> None:
    records = [*race({"a": 10.0}, 10), *race({"b": 20.0}, 1), *race({"c": 30.0}, 1, judged_s=2.0)]
    found = tuned(Goal(), ["a", "b", "c"], records)
    assert (found.processes, found.spent_s) == (12, 14.0)
    assert found.exhaustive_s is not None
    # Ten rounds of three processes: none shorter than what starting one takes.
    assert 15 < found.exhaustive_s < 35
    assert found.share == pytest.approx(14 / found.exhaustive_s)
    assert found.rounds == {0: 3, **dict.fromkeys(range(1, 10), 1)}


def test_certainty_is_high_when_cells_are_apart_and_not_when_nothing_was_measured_twice() -> None:
    apart = tuned(Goal(), ["a", "b"], race({"a": 10.0, "b": 12.0}))
    assert apart.sure is not None
    assert apart.sure > 0.99
    once = tuned(Goal(), ["a", "b"], race({"a": 10.0, "b": 10.1}, 1))
    assert once.sure is not None
    assert once.sure < 0.9


def test_certainty_is_kept_over_many_searches() -> None:
    # Of picks that are said to be 90 % sure, nine in ten have to be right.
    generator, said, right = random.Random(3), [], []
    for _ in range(150):
        levels = {f"c{place}": 10 * math.exp(generator.uniform(0, 0.06)) for place in range(6)}
        found = tuned(Goal(), list(levels), race(levels, 4, generator.randrange(10**6), 0.015))
        said.append(found.sure)
        right.append(levels[str(found.best)] <= min(levels.values()) * 1.02)
    assert np.mean(right) >= np.mean(said) - 0.08  # type: ignore[arg-type]


def test_probability_within_a_margin() -> None:
    assert probability_within({}, 0.02) == 1.0
    assert probability_within({"b": Beside(0.0, 1e-9, 5.0)}, 0.02) == 1.0
    assert probability_within({"b": Beside(-0.05, 1e-9, 5.0)}, 0.02) == 0.0
    # Half of a symmetrical distribution around exactly the margin.
    assert probability_within({"b": Beside(-math.log(1.02), 0.01, 30.0)}, 0.02) == pytest.approx(0.5, abs=0.03)


def test_a_cell_without_common_rounds_is_compared_with_nothing() -> None:
    assert beside("a", {"a": {0: 1.0, 1: 1.0}, "b": {5: 1.0}}) == {}


def test_a_process_is_seen_as_its_samples_are() -> None:
    seen = seen_in(record("a", 0, 10.0))
    assert seen is not None
    assert (seen.p50_ns, seen.p99_ns) == (10 * MS, 20 * MS)
    assert seen_in(record("a", 0, 10.0, "wrong")) is None
