"""Verdicts from records: a team would lose by a false alarm, a missed regression, a wrong answer let through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made import dead, record, spec

from results.gate import IMPROVED, INCONCLUSIVE, PASS, REGRESSED, WRONG, Gated, Verdict, verdicts
from results.gate_spec import Gate, Pair
from results.record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

PAIR = Pair("net", "b", "c")
SPECS = {"b": spec(), "c": spec()}


def gate(**changes: Any) -> Gate:
    return Gate((PAIR,), {"baseline": "old", "candidate": "new"}, **changes)


def pairs(
    count: int, change: float = 0.0, spread: float = 0.004, seed: int = 0, contended: float = 0.0
) -> list[Record]:
    """So many pairs of processes whose medians scatter by so much; contended calls wait for half of their time."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        for cell, factor in (("b", 1.0), ("c", 1.0 + change)):
            middle = 1e7 * factor * np.exp(spread * generator.standard_normal())
            work = middle * np.exp(0.003 * generator.standard_normal(60))
            wall = work * np.where(generator.random(60) < contended, 2.0, 1.0)
            one = record(cell, number, wall.astype(int).tolist())
            made.append(Record(cell, number, "ok", "", "", one.facts, one.wall_ns, work.astype(np.int64), 0))
    return made


def waiting(share: float, count: int, seed: int) -> list[Record]:
    """Pairs whose candidate waits, for half as long again, in so many of its calls."""
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        for cell, waits in (("b", 0.0), ("c", share)):
            work = 1e7 * np.exp(0.004 * generator.standard_normal(60))
            wall = work * np.where(generator.random(60) < waits, 1.5, 1.0)
            one = record(cell, number, wall.astype(int).tolist())
            made.append(Record(cell, number, "ok", "", "", one.facts, one.wall_ns, work.astype(np.int64), 0))
    return made


def judged(records: Sequence[Record], **changes: Any) -> Verdict:
    (found,) = verdicts(gate(**changes), SPECS, records)
    return found


def test_what_does_not_differ_passes_after_a_few_pairs() -> None:
    found = judged(pairs(60))
    assert found.verdict == PASS
    assert found.seen is not None
    assert found.seen.pairs < 20
    assert found.smallest is not None
    assert found.smallest < 0.025


def test_two_percent_more_is_a_regression_and_two_less_an_improvement() -> None:
    worse, better = judged(pairs(60, 0.02)), judged(pairs(60, -0.02))
    assert (worse.verdict, better.verdict) == (REGRESSED, IMPROVED)
    assert worse.seen is not None
    assert worse.seen.low is not None
    assert worse.seen.low > 0
    assert worse.seen.estimate == pytest.approx(0.02, abs=0.008)


def test_power_and_false_alarms_over_many_gates() -> None:
    same = [judged(pairs(40, seed=seed)).verdict for seed in range(100)]
    assert set(same) == {PASS}
    found = [judged(pairs(40, 0.02, seed=seed, spread=0.006)).verdict for seed in range(100)]
    assert found.count(REGRESSED) >= 97


def test_a_change_beyond_doubt_that_is_too_small_passes_and_says_so() -> None:
    found = judged(pairs(60, 0.006, spread=0.001))
    assert found.verdict == PASS
    assert "too small for a verdict" in found.reason


def test_a_noisy_machine_is_inconclusive_and_never_a_guess() -> None:
    found = judged(pairs(60, spread=0.2))
    assert found.verdict == INCONCLUSIVE
    assert not found.decided
    assert found.smallest is not None
    assert found.smallest > 0.05
    assert "differ too much" in found.reason


def test_too_few_pairs_are_inconclusive_and_say_how_many_it_takes() -> None:
    found = judged(pairs(4, 0.5))
    assert found.verdict == INCONCLUSIVE
    assert "4 pairs" in found.reason
    assert "after 11" in found.reason
    # What was seen is told all the same, without an interval.
    assert found.other is not None
    assert found.other.estimate == pytest.approx(0.5, abs=0.05)
    assert found.other.low is None


def test_a_gate_that_went_on_keeps_the_verdict_of_its_first_clear_look() -> None:
    records = pairs(60, 0.03)
    first = next(count for count in range(1, 61) if judged(records[: 2 * count]).decided)
    whole = judged(records)
    early = judged(records[: 2 * first])
    assert (whole.verdict, whole.seen) == (early.verdict, early.seen)
    assert (whole.pairs, early.pairs) == (60, first)


def test_contended_calls_are_left_out_and_both_views_are_kept() -> None:
    found = judged(pairs(60, 0.03, contended=0.3))
    assert found.verdict == REGRESSED
    assert found.view == "quiet"
    assert found.contended is not None
    assert found.contended[0] == pytest.approx(0.3, abs=0.06)
    assert found.other is not None
    assert found.seen is not None
    assert found.other.estimate == pytest.approx(found.seen.estimate, abs=0.03)


def test_a_candidate_that_waits_by_itself_is_not_excused() -> None:
    # Left out, its waiting would hide: four calls in ten take twice as long.
    made = waiting(0.6, 60, 3)
    found = judged(made)
    assert found.verdict == REGRESSED
    assert found.view == "all"


def test_a_candidate_that_blocks_now_and_then_does_not_pass_by_what_is_left_out() -> None:
    made = waiting(0.3, 40, 5)
    assert judged(made, objectives={"p90": 0.05}).verdict == REGRESSED
    late = judged(made, objectives={"misses": 0.01}, deadline_ms=12.0)
    assert late.verdict == REGRESSED
    assert late.view == "all"


def test_noise_as_long_as_a_process_raises_no_alarm() -> None:
    # Each process has another share of the processors, in every call: whoever drew a level for each side was fooled.
    alarms = 0
    for seed in range(120):
        generator = np.random.default_rng(seed)
        made = []
        for number in range(60):
            for cell in generator.permutation(["b", "c"]):
                share = 1.0 - generator.uniform(0.0, 0.1)
                work = 1e7 * np.exp(0.003 * generator.standard_normal(40))
                one = record(str(cell), number, (work / share).astype(int).tolist())
                made.append(Record(str(cell), number, "ok", "", "", one.facts, one.wall_ns, work.astype(np.int64), 0))
        alarms += judged(made, pairs_most=60).verdict in (REGRESSED, IMPROVED)
    assert alarms <= 4


@pytest.mark.parametrize("faster", [0.0, -0.1, -0.9])
def test_a_wrong_candidate_is_wrong_however_fast(faster: float) -> None:
    records = [*pairs(20, faster), dead("c", 20, "wrong", "the answer is off by 1")]
    found = judged(records)
    assert found.verdict == WRONG
    assert "off by 1" in found.reason
    assert found.decided


def test_a_candidate_that_dies_is_wrong_and_a_baseline_that_dies_proves_nothing() -> None:
    assert judged([dead("c", 0, "failed", "it crashed")]).verdict == WRONG
    both = judged([dead("b", 0, "failed", "it crashed 1"), dead("c", 0, "failed", "it crashed 2")])
    assert both.verdict == INCONCLUSIVE
    assert judged([dead("b", 0, "failed", "x"), dead("c", 0, "wrong", "off by 1")]).verdict == WRONG
    found = judged([dead("b", 0, "failed", "it crashed")])
    assert found.verdict == INCONCLUSIVE
    assert "nothing to compare with" in found.reason
    assert found.decided
    (gone,) = verdicts(gate(), {"b": spec(), "c": spec(status="unavailable", reason="not installed")}, [])
    assert gone.verdict == WRONG


def test_memory_cold_start_and_size_are_gated_too() -> None:
    records = []
    for one in pairs(30):
        more = 1.3 if one.cell == "c" else 1.0
        facts = {**one.facts, "rss_peak_bytes": int(1e8 * more), "phases_ns": {"start": 1e7, "load": 3e7 * more}}
        records.append(Record(one.cell, one.round, "ok", "", "", facts, one.wall_ns, one.cpu_ns, 0))
    specs = {"b": spec(size_bytes=1000), "c": spec(size_bytes=1500)}
    objectives = {"p50": 0.02, "memory": 0.05, "cold": 0.1, "size": 0.01}
    found = {one.objective: one for one in verdicts(gate(objectives=objectives), specs, records)}
    assert {name: one.verdict for name, one in found.items()} == {
        "p50": PASS,
        "memory": REGRESSED,
        "cold": REGRESSED,
        "size": REGRESSED,
    }
    assert found["size"].seen is not None
    assert found["size"].seen.estimate == pytest.approx(0.5)


def test_misses_are_counted_in_points() -> None:
    generator = np.random.default_rng(4)
    records = []
    for number in range(40):
        for cell, late in (("b", 0.0), ("c", 0.05)):
            wall = np.where(generator.random(400) < late, 2e7, 1e7)
            records.append(record(cell, number, wall.astype(int).tolist()))
    found = judged(records, objectives={"misses": 0.01}, deadline_ms=15.0)
    assert found.verdict == REGRESSED
    assert found.seen is not None
    assert found.seen.estimate == pytest.approx(0.05, abs=0.01)
    none = judged(pairs(40), objectives={"misses": 0.01}, deadline_ms=15.0)
    assert none.verdict == PASS
    assert none.seen is not None
    assert (none.seen.low, none.seen.high) == (0.0, 0.0)


def test_several_comparisons_share_the_error() -> None:
    one, four = gate(), Gate(tuple(Pair(str(n), "b", "c") for n in range(4)))
    assert four.error == pytest.approx(one.error / 4)
    assert gate(objectives={"p50": 0.02, "size": 0.01}).error == one.error


def test_the_gravest_verdict_is_the_gates() -> None:
    def of(*names: str) -> Gated:
        return Gated(gate(), tuple(Verdict(PAIR, "p50", name, "", 0.02) for name in names))

    assert (of(PASS, IMPROVED).verdict, of(PASS, IMPROVED).exit_code) == (PASS, 0)
    assert (of(PASS, REGRESSED, INCONCLUSIVE).verdict, of(REGRESSED).exit_code) == (REGRESSED, 1)
    assert (of(WRONG, REGRESSED).verdict, of(WRONG).exit_code) == (WRONG, 1)
    assert of(PASS, INCONCLUSIVE).exit_code == 3
    assert of().exit_code == 4
