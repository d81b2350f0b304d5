"""Figures of others: each must be what was printed, where it was printed, and none may pass for ours."""

from __future__ import annotations

import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from results import published
from results.errors import PublishedError
from results.published import read, steps
from results.published.printed import interval, middle

WORDS = read.vocabulary(
    {"sources": {"s": {"title": "S", "url": "u"}}, "needs": {"nothing": "n"}, "units": {"ms": 0.001}}
)
ROW = {"id": "a", "what": "w", "value": "1.5", "unit": "ms", "line": 3, "needs": "nothing"}


def parse(row: dict[str, Any], **claim: Any) -> published.Row:
    table = {"source": "s", "Z01": {"title": "t", "rows": [row], **claim}}
    (found,) = read.parse(table, WORDS, "f.toml")
    return found


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0.31", "0.305", "0.315"),
        ("0.10", "0.095", "0.105"),
        ("18", "17.5", "18.5"),
        ("534e3", "533500", "534500"),
        ("1.85e6", "1845000", "1855000"),
        ("8.94e-08", "8.935e-08", "8.945e-08"),
        ("~278", "277", "279"),
        ("11.5..12.3", "11.45", "12.35"),
        ("<10", "0", "10"),
        ("0.00", "0", "0.005"),
    ],
)
def test_a_figure_stands_for_what_was_rounded_to_it(text: str, low: str, high: str) -> None:
    found = interval(text)
    assert (found.low, found.high) == (Fraction(low), Fraction(high))


def test_counts_are_exact_and_a_round_number_is_as_round_as_it_says() -> None:
    assert interval("48", exact=True).low == interval("48", exact=True).high == 48
    assert (interval("50", to=10).low, interval("50", to=10).high) == (45, 55)
    above = interval(">1")
    assert (above.low, above.high, above.bounded) == (1, float("inf"), False)


def test_neighbours_meet_and_others_do_not() -> None:
    assert interval("0.31").meets(interval("0.315"))
    assert interval("2.5").meets(interval(">1"))
    assert not interval("0.31").meets(interval("0.32", exact=True))
    assert not interval("0.9", exact=True).meets(interval(">1"))


@pytest.mark.parametrize("text", ["", "1,5", "a", "1..", "3..1", "-1", "<1..2", "1 ms", "~"])
def test_what_is_no_figure_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no printed figure|no range"):
        interval(text)


def test_the_middle_of_a_range() -> None:
    assert middle("1..4") == Fraction(5, 2)
    assert middle("~998") == 998


def test_every_row_is_cited_and_explained() -> None:
    rows = published.rows()
    assert len(rows) > 300
    for row in rows.values():
        assert row.number >= 0
        assert row.interval.low <= row.interval.high
        assert row.what
        assert row.origin in ("published", "derived")
        assert row.source.title
        assert row.source.url.startswith("https://")
        assert row.why or row.expect != "contradicts"
        if row.source.key in ("artifactnet", "real-time-inference", "distilled-effects", "audiosep"):
            assert row.line, row.id


def test_all_claims_of_the_four_sources_are_there() -> None:
    claims = {row.claim for row in published.rows().values()}
    for letter, last in (("A", 50), ("B", 12), ("C", 7), ("D", 16)):
        assert {f"{letter}{number:02}" for number in range(1, last + 1)} <= claims


def test_units_are_kept_apart() -> None:
    assert published.row("A24.ms").number == pytest.approx(0.0185)
    assert published.row("A01.seconds").number == 4
    assert published.row("A41.share").number == 1
    assert published.row("D16.large").number == 7.25 * 2**20
    assert published.row("H01.boost").number == 4.7e9
    assert published.row("A24.rtf").printed == "RTF 0.10"
    assert published.row("D01.cold_x").printed == "~12.25 × real time"


def test_the_cpu_ladder_is_what_was_printed_times_the_audio_that_fits() -> None:
    steps = published.series("cpu-ladder")
    assert [step.rtf for step in steps] == [0.416, 0.218, 0.031, 0.029, 0.023, 0.022, 0.018]
    audio_s = 47 * 512 / 44100
    for step in steps:
        assert step.audio_s == pytest.approx(audio_s)
        assert step.low_s < step.seconds < step.high_s
        assert step.runtime or step.kind == "estimate"
        assert "line" in step.cited
        if step.row.id == "A30.ms":
            assert (step.seconds, step.origin, step.kind) == (0.0119, "published", "claimed floor")
        else:
            assert step.origin == "derived"
            assert step.row.value in step.formula
            assert step.seconds == pytest.approx(step.rtf * audio_s)
    assert [step.seconds for step in steps] == sorted((step.seconds for step in steps), reverse=True)


def test_the_gpu_steps_are_what_was_printed() -> None:
    about = published.series_about("gpu-steps")
    assert [step.seconds * 1000 for step in about.steps] == pytest.approx([12.2, 3.9, 2.52, 1.71, 1.44])
    assert [step.rtf for step in about.steps] == [0.0223, 0.0072, 0.0046, 0.0031, 0.0026]
    assert {step.origin for step in about.steps} == {"published"}
    assert [step.hardware for step in about.steps] == ["ryzen-7-5800x", *["rtx-3060"] * 4]
    assert about.audio.startswith("47 × 512 samples / 44100 Hz = 545.67 ms")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(PublishedError, match=r"no published series 'x'.*cpu-ladder"):
        published.series("x")
    with pytest.raises(PublishedError, match=r"no published figure 'A99.x'"):
        published.row("A99.x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "1,5"}, "no printed figure"),
        ({"value": 1.5}, "'value' must be text"),
        ({"unit": "parsec"}, "unit 'parsec'"),
        ({"needs": "luck"}, "needs 'luck'"),
        ({"needs": None}, "nothing says how it is checked"),
        ({"expect": "contradicts"}, "'why' is missing"),
        ({"expect": "maybe"}, "expect is 'maybe'"),
        ({"origin": "measured"}, "origin is 'measured'"),
        ({"rule": "ratio"}, "rule and of belong together"),
        ({"rival": "ratio"}, "rival and rival_fits belong together"),
        ({"colour": "red"}, "key 'colour' is unknown"),
        ({"what": ""}, "'what' must be text"),
    ],
)
def test_a_broken_row_names_file_claim_and_key(change: dict[str, Any], words: str) -> None:
    row = {key: value for key, value in {**ROW, **change}.items() if value is not None}
    with pytest.raises(PublishedError) as refused:
        parse(row)
    assert "f.toml, [Z01]" in str(refused.value)
    assert words in str(refused.value)


def test_a_claim_shares_what_its_rows_do_not_say() -> None:
    row = parse({**ROW, "rule": "ratio", "of": [3, 2]}, conditions="warm", needs="nothing")
    assert (row.conditions, row.needs, row.expect, row.lines) == ("warm", None, "agrees", (3,))
    assert parse(ROW, source="s").source.title == "S"
    with pytest.raises(PublishedError, match="source 'q' is none"):
        parse(ROW, source="q")
    with pytest.raises(PublishedError, match=r"\[Z01\]: key 'colour'"):
        parse(ROW, colour="red")
    with pytest.raises(PublishedError, match=r"\[Z02\]: a claim must be a table"):
        list(read.parse({"source": "s", "Z02": 3}, WORDS, "f.toml"))


def test_a_broken_series_says_what_is_missing() -> None:
    table = tomllib.loads((Path(published.__file__).with_name("series.toml")).read_text("utf-8"))["cpu-ladder"]
    broken = {**table, "steps": [{**table["steps"][0], "rtf": "A99.x"}]}
    with pytest.raises(PublishedError, match=r"\[x\]: 'A99.x'"):
        steps.parse("x", broken, published.rows())
    with pytest.raises(PublishedError, match="kind 'guess'"):
        steps.parse("x", {**table, "steps": [{**table["steps"][0], "kind": "guess"}]}, published.rows())
    with pytest.raises(PublishedError, match="hop"):
        steps.parse("x", {key: value for key, value in table.items() if key != "hop"}, published.rows())


def test_a_vocabulary_that_is_none_is_refused() -> None:
    with pytest.raises(PublishedError, match=r"vocabulary\.toml"):
        read.vocabulary({"sources": {"s": {}}, "units": {}, "needs": {}})
