"""The page as text: the answer comes first, is as sure as the figures are, and belongs to nobody but the run."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from made import QUIET, dead, record, spec
from made_runs import FACTS, source, steady, two_runtimes

from reports.budgets import budgets, standings
from reports.charts.every import charts
from reports.page.html import Html, join, tag
from reports.page.page import page
from reports.page.tables import Column, Value, plain, table
from reports.source import Source


def rendered(made: Source) -> str:
    return page(made, charts(made, ()))


def words(html: str, section: str) -> str:
    """What a reader sees of one section."""
    found = re.search(rf'<section id="{section}">.*?</section>', html, re.DOTALL)
    assert found, section
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found[0])).split())


def processes(levels: dict[str, float], count: int = 5, samples: int = 200, **facts: Any) -> list[Any]:
    return [
        record(name, n, steady(ms, samples, seed=n + 100 * place), **facts)
        for place, (name, ms) in enumerate(levels.items())
        for n in range(count)
    ]


def test_everything_from_outside_is_escaped(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&@script@"
    cells = {
        evil: spec(model=evil, runtime=evil, form=evil, layout=evil, version=evil, audio=evil),
        "bad": spec(runtime=evil, status="unavailable", reason=evil),
    }
    environment = {"packages": {evil: evil}, "variables": {evil: evil}}
    facts = {"plan": {"title": evil}, "command": evil, "environment": environment, "warnings": [evil]}
    facts |= {"host": {"cpu": evil, "fingerprint": evil, "isa": [evil], "caches": {evil: evil}}, "created": evil}
    notes = {"precision_asked": evil, "precision_ran": evil, "device": evil}
    html = rendered(source(tmp_path / "run.sqlite", cells, [record(evil, n, **notes) for n in range(3)], **facts))
    assert html.count("<script>") == 1
    assert html.count("</script>") == 1
    assert "<img" not in html
    assert "alert(2)" in unescape(html)


def test_the_page_may_ask_nobody_for_anything(tmp_path: Path) -> None:
    html = rendered(source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2, "slow": 4})))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "'sha256-" in policy[1]
    # Addresses may be written, as sources are, but nothing is loaded from any.
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?!#|data:)[^"'>\s]""", html)
    assert "url(" not in re.sub(r"url\(#[^)]*\)", "", html)


def test_the_answer_comes_first_and_says_what_to_use(tmp_path: Path) -> None:
    html = rendered(source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2, "slow": 4})))
    assert html.index('<section id="answer">') < html.index('<section id="ladder">')
    said = words(html, "answer")
    assert "Use ort-cpu 1, form raw, seq" in said
    assert "95 % interval" in said
    assert "Nothing else ties with it" in said
    assert "openvino 2.0" in said
    assert "1 of 3 cells have no time (1 unavailable)" in said


def test_ties_are_named_before_anybody_chooses(tmp_path: Path) -> None:
    html = rendered(source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2, "slow": 2})))
    assert "Cannot be told apart from" in words(html, "answer")


def test_too_few_processes_are_no_recommendation(tmp_path: Path) -> None:
    said = words(rendered(source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2}, count=2))), "answer")
    assert "Fastest so far" in said
    assert "Not sure: 2 processes, and an interval needs 3" in said


def test_a_noisy_machine_is_named_above_the_answer(tmp_path: Path) -> None:
    loud = {"disturbance": QUIET | {"foreign": 0.5}}
    html = rendered(source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2}, **loud)))
    said = words(html, "answer")
    assert said.index("NOISY") < said.index("Use ort-cpu")


@pytest.mark.parametrize(
    ("status", "ended", "expected"),
    [
        ("interrupted", None, "The run was interrupted"),
        ("running", None, "still going on, or was killed"),
        ("finished", "time", "The time was up"),
    ],
)
def test_a_run_that_did_not_come_to_its_end_says_so(
    tmp_path: Path, status: str, ended: str | None, expected: str
) -> None:
    made = source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2}), status=status, ended_by=ended)
    assert expected in words(rendered(made), "answer")


def test_budgets_are_those_that_were_published_with_their_source() -> None:
    assert [(one.name, one.most_ms) for one in budgets()] == [
        ("live performance", 10),
        ("voice conversion", 50),
        ("interactive", 100),
        ("streaming", 1000),
    ]
    assert all("line" in one.source and "://" in one.source for one in budgets())


def test_a_fast_median_with_a_slow_tail_fits_no_budget(tmp_path: Path) -> None:
    # p50 is 8 ms, but one call in twenty takes 30 ms: on a stage that is heard.
    slow = [value * (4 if place % 20 == 0 else 1) for place, value in enumerate(steady(8, 1000))]
    made = source(tmp_path / "run.sqlite", two_runtimes(), [record("quick", n, slow) for n in range(3)])
    standing = standings(made.cells[0])
    assert [(one.p50, one.p99) for one in standing[:2]] == [("met", "missed"), ("met", "met")]
    said = words(rendered(made), "answer")
    assert "tail too slow: live performance" in said
    assert "fits: voice conversion" in said


def test_an_interval_around_a_budget_is_too_close_to_say(tmp_path: Path) -> None:
    records = [record("quick", n, steady(ms, 2000, seed=n)) for n, ms in enumerate((9.5, 9.9, 10.3, 10.1))]
    made = source(tmp_path / "run.sqlite", two_runtimes(), records)
    assert standings(made.cells[0])[0].p50 == "unsure"


def test_few_samples_know_no_tail_and_claim_none(tmp_path: Path) -> None:
    made = source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2}, samples=10))
    assert {one.p99 for one in standings(made.cells[0])} == {"unknown"}
    said = words(rendered(made), "answer")
    assert "p99 unknown" in said
    assert "✓" not in said


def test_without_peaks_the_floor_says_why_there_is_none(tmp_path: Path) -> None:
    html = rendered(source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2})))
    assert "Not known" in words(html, "floor")
    assert "rtfloor peaks" in words(html, "answer")


def test_every_cell_without_a_time_stands_there_with_its_reason(tmp_path: Path) -> None:
    records = [*processes({"quick": 2}), dead("slow", 0, "timeout", "it hung in a loop")]
    said = words(rendered(source(tmp_path / "run.sqlite", two_runtimes(), records)), "failed")
    assert "it hung in a loop" in said
    assert "it is not installed" in said


def test_who_wants_to_do_it_again_finds_everything(tmp_path: Path) -> None:
    said = words(rendered(source(tmp_path / "run.sqlite", two_runtimes(), processes({"quick": 2}))), "facts")
    for wanted in (FACTS["command"], "run.sqlite", "7", "Test CPU", "0123456789ab", "numpy", "2.0", "quick"):
        assert wanted in said


def test_a_model_that_does_nothing_is_no_race(tmp_path: Path) -> None:
    cells = {"null": spec(model="null", layout="mono", threads=1, runtime="ort-cpu")}
    said = words(rendered(source(tmp_path / "run.sqlite", cells, processes({"null": 0.003}))), "answer")
    assert "A call costs, before any arithmetic: ort-cpu 3." in said
    assert "Use " not in said


def test_many_races_are_a_line_each(tmp_path: Path) -> None:
    cells = {f"m{n}": spec(model=f"m{n}", runtime="ort-cpu") for n in range(9)}
    html = rendered(source(tmp_path / "run.sqlite", cells, processes(dict.fromkeys(cells, 2.0), count=3)))
    said = words(html, "answer")
    assert all(f"m{n}, stereo, 2 threads" in said for n in range(9))
    assert 'class="card"' not in html


def test_a_run_of_nothing_has_a_page_all_the_same(tmp_path: Path) -> None:
    keys = ("plan", "host", "environment", "profile", "warnings", "command", "created", "rtfloor")
    bare: dict[str, Any] = dict.fromkeys(keys)
    assert "<main>" in rendered(source(tmp_path / "run.sqlite", {"c": spec()}, (), **bare))


def test_a_figure_is_sorted_by_its_size_and_not_by_its_letters() -> None:
    made = table([Column("time", number=True)], [[Value("2 s", 2000.0)], [Value("–", None)]], "times")
    assert 'data-key="2000"' in made
    assert made.count("data-key") == 1


def test_texts_beside_a_chart_sort_by_what_they_say() -> None:
    def keys(*texts: str) -> list[float]:
        made = plain(("a",), [(text,) for text in texts], "a")
        return [float(part.split('"')[0]) for part in made.split('data-key="')[1:]]

    times = ("0.510 µs", "51.0 ms", "20.3 s", "–")
    assert keys(*times) == [0.51e-6, 51e-3, 20.3]
    assert keys("1,234", "999", "12,345,678") == [1234, 999, 12345678]
    assert keys("10.0 ms to 12 ms", "9.00 ms to 2 s") == [0.010, 0.009]
    assert keys("fastest", "10.1 ×, tied", "9.5 ×") == [1, 10.1, 9.5]
    assert keys("60 dB", "exact") == [60, float("inf")]
    for mixed in (("1 ms", "a word"), ("3 ms", "3 dB"), ("1.26.4", "2.0"), ("2 of 3", "5"), ("2x", "3"), ("", "–")):
        assert keys(*mixed) == []
    assert plain(("a",), [("1.5 ms",), ("2 µs",)], "a").count('class="num"') == 3


def test_html_is_escaped_once_and_only_once() -> None:
    assert tag("p", "a & b", title='"x"') == '<p title="&quot;x&quot;">a &amp; b</p>'
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"
    assert join([None, Html("<i>"), "<"]) == "<i>&lt;"
    assert tag("input", type="search", hidden=True, disabled=False) == '<input type="search" hidden>'
