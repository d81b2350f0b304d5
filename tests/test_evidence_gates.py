"""The committed study of the gate: what its page claims must come out of the processes again."""

from __future__ import annotations

from functools import cache

from support import ROOT

from bench.study.gate_check import ALARMS_MOST, Tally, tallies, told, wrong
from bench.study.gates import KINDS, read
from results.gate import IMPROVED, INCONCLUSIVE, REGRESSED, verdicts
from results.gate_spec import BASELINE, CANDIDATE, Gate, Pair

STUDY = ROOT / "results" / "evidence" / "gates"
DRAWN = 200


@cache
def found() -> tuple[Tally, ...]:
    return tuple(tallies(STUDY, DRAWN))


def test_real_and_drawn_gates_keep_every_promise() -> None:
    assert {(one.kind, one.drawn) for one in found()} == {(kind, drawn) for kind in KINDS for drawn in (True, False)}
    assert [one.kind for one in found() if not one.kept] == []


def test_real_gates_come_to_their_verdicts_again_from_what_is_kept_of_them() -> None:
    # A few of a process's calls are kept, so a gate that was just sure enough may be so no longer; none turns round.
    again = same = 0
    for kind in KINDS:
        for done in read(STUDY, kind):
            sides = {side: {"layout": "mono", "threads": 1} for side in (BASELINE, CANDIDATE)}
            (one,) = verdicts(Gate((Pair("x", BASELINE, CANDIDATE),)), sides, done.records)
            again += 1
            same += one.verdict == done.verdict
            assert one.verdict in (done.verdict, INCONCLUSIVE)
    assert same / again >= 0.6


def test_a_wrong_answer_is_wrong_every_time() -> None:
    called = wrong(STUDY)
    assert len(called) >= 20
    assert set(called) == {"wrong"}


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "gate.md").read_text("utf-8")
    for line in told(found(), wrong(STUDY)).splitlines():
        assert line in page, line


def test_a_promise_can_be_broken() -> None:
    # A check that always passes would say nothing.
    loud = Tally("same-quiet", False, (REGRESSED, *["pass"] * 19), (1,) * 20, (1.0,) * 20)
    assert loud.share(REGRESSED, IMPROVED) > ALARMS_MOST
    assert not loud.kept
    assert not Tally("plus2-quiet", False, ("pass",) * 20, (1,) * 20, (1.0,) * 20).kept
