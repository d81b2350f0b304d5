"""Baselines on record: what they hold back of alarms, and what a file of one must be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made import dead, record, spec

from results.baselines import Baseline, Sitting, read, sitting_of, to_json, write
from results.errors import BaselineError
from results.gate import IMPROVED, INCONCLUSIVE, PASS, REGRESSED, WRONG, Verdict, verdicts
from results.gate_spec import Gate, Pair
from results.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path

    from results.record import Record

PLAN: dict[str, Any] = {"cells": [{"model": "net"}], "models": {}}


def sitting(number: int, middle_ms: float) -> Sitting:
    generator = np.random.default_rng(number)
    medians = tuple(float(f"{value:.5g}") for value in middle_ms * np.exp(0.004 * generator.standard_normal(6)))
    return Sitting(f"2026-01-{number + 1:02}T00:00:00+00:00", f"{number:012x}", "quiet", {"fake": "1"}, {"c": medians})


def baseline(sittings: int, between: float = 0.01, seed: int = 0) -> Baseline:
    levels = 10 * np.exp(between * np.random.default_rng(seed).standard_normal(sittings))
    kept = tuple(sitting(number, float(level)) for number, level in enumerate(levels))
    return Baseline("net", "0123456789ab", "Test CPU, 2 CPUs", PLAN, "quick", kept)


def now(change: float, seed: int = 99) -> list[Record]:
    generator = np.random.default_rng(seed)
    middles = 1e7 * (1 + change) * np.exp(0.004 * generator.standard_normal(8))
    return [record("c", number, [int(middle)] * 50) for number, middle in enumerate(middles)]


def judged(kept: Baseline, records: list[Record], effect: float = 0.1) -> Verdict:
    says = {"baseline": "net", "candidate": "now"}
    gate = Gate((Pair("c", "c", "c"),), says, {"p50": effect}, recorded=to_json(kept))
    (found,) = verdicts(gate, {"c": spec()}, records)
    return found


def test_one_sitting_allows_for_what_sittings_differ_by() -> None:
    kept = baseline(1, 0.0)
    assert judged(kept, now(0.03)).verdict == PASS
    worse = judged(kept, now(0.15))
    assert worse.verdict == REGRESSED
    assert "an allowance" in worse.reason
    assert judged(kept, now(-0.2)).verdict == IMPROVED


def test_several_sittings_speak_for_themselves() -> None:
    quiet, restless = baseline(8, 0.003), baseline(8, 0.08)
    assert judged(quiet, now(0.04), 0.03).verdict == REGRESSED
    assert judged(restless, now(0.04), 0.03).verdict == INCONCLUSIVE
    assert "8 sittings on record" in judged(quiet, now(0.0)).reason


def test_sittings_of_one_level_raise_no_alarm() -> None:
    alarms = 0
    for seed in range(60):
        kept = baseline(6, 0.02, seed)
        last = float(np.exp(0.02 * np.random.default_rng(1000 + seed).standard_normal()))
        alarms += judged(kept, now(last - 1.0, seed), 0.03).verdict in (REGRESSED, IMPROVED)
    assert alarms <= 2


def test_what_was_before_a_change_of_level_is_another_baseline() -> None:
    levels = [10.0] * 8 + [12.0] * 8
    kept = Baseline("net", "f", "m", PLAN, "quick", tuple(sitting(n, level) for n, level in enumerate(levels)))
    found = judged(kept, now(0.2))
    assert found.seen is not None
    assert found.seen.baseline == pytest.approx(12e6, rel=0.01)
    assert found.verdict == PASS


def test_a_wrong_answer_and_a_cell_that_is_not_on_record() -> None:
    assert judged(baseline(2), [dead("c", 0, "wrong", "off by 1")]).verdict == WRONG
    empty = Baseline("net", "f", "m", PLAN, "quick", ())
    assert judged(empty, now(0.0)).verdict == INCONCLUSIVE
    assert "needs 3" in judged(baseline(2), now(0.0)[:2]).reason


def test_a_file_is_read_back_and_its_diff_is_one_sitting(tmp_path: Path) -> None:
    kept = baseline(3)
    path = tmp_path / "net.json"
    write(path, kept)
    before = path.read_text("utf-8").splitlines()
    assert read(path) == kept
    write(path, kept.with_sitting(sitting(7, 10.5)))
    after = path.read_text("utf-8").splitlines()
    gone = [line for line in before if line not in after]
    assert len(after) - len(before) <= 12
    assert len(gone) <= 1  # a comma that follows the sitting before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda found: found.pop("sittings"), "damaged"),
        (lambda found: found.update(format=9), "format 9"),
        (lambda found: found["sittings"][0]["medians_ms"].update(c="1.0 -2"), "damaged"),
        (lambda found: found["sittings"][0]["medians_ms"].update(c="quick"), "damaged"),
    ],
)
def test_a_damaged_file_is_refused_with_the_next_step(damage: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    found = to_json(baseline(2))
    damage(found)
    path.write_text(json.dumps(found))
    with pytest.raises(BaselineError, match=words):
        read(path)
    path.write_text("{")
    with pytest.raises(BaselineError, match="from git"):
        read(path)


def test_only_a_finished_run_with_right_cells_is_a_sitting() -> None:
    cells = summarise({"c": spec()}, now(0.0))
    facts = {"status": "finished", "created": "2026-01-01"}
    assert sitting_of(facts, cells, "quiet", "").medians_ms["c"]
    with pytest.raises(BaselineError, match="did not come to its end"):
        sitting_of({"status": "interrupted"}, cells, "quiet", "")
    with pytest.raises(BaselineError, match="nothing to save"):
        sitting_of(facts, summarise({"c": spec()}, [dead("c", 0, "failed", "x")]), "quiet", "")
