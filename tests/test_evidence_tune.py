"""The committed study of the search: what its page claims must come out of the runs again."""

from __future__ import annotations

from functools import cache

from support import ROOT

from bench.study.check import KEPT_LEAST, SHARE_MOST, Verdict, judge, share_good, told

STUDY = ROOT / "results" / "evidence" / "tune"
REPLAYS = 25


@cache
def verdict() -> Verdict:
    return judge(STUDY, REPLAYS)


def test_real_searches_find_a_cell_within_2_percent_for_a_quarter_of_the_time() -> None:
    searches = verdict().searches
    assert len(searches) >= 10
    assert share_good(searches) >= KEPT_LEAST
    assert max(pick.share for pick in searches) <= SHARE_MOST


def test_replays_beat_the_rival_whichever_way_it_picks() -> None:
    assert len(verdict().rivals) == len(verdict().replayed) == REPLAYS
    assert verdict().kept


def test_the_page_has_the_figures_of_the_real_searches() -> None:
    page = (ROOT / "docs" / "tune.md").read_text("utf-8")
    lines = [line for line in told(verdict()).splitlines() if "real searches" in line or line.startswith("| search-")]
    assert len(lines) == 1 + len(verdict().searches)
    for line in (*lines, told(verdict()).splitlines()[0]):
        assert line in page, line


def test_a_verdict_can_fail() -> None:
    # A check that always passes would say nothing.
    found = verdict()
    late = tuple(pick for pick in found.rivals if not pick.good) or found.rivals
    worse = Verdict(
        found.cells, found.best, found.within, found.everything_s, late, found.rivals, found.replayed, found.replayed
    )
    assert not worse.kept
