"""The audit is what stands between a typing error and a chart: each way of being wrong must show."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from models.facts import zoo
from results import published
from results.audit import __main__ as command
from results.audit import audit, audit_published, counts, tables
from results.audit.lock import ADDED, REMOVED, changes, write
from results.audit.rules import RULES
from results.audit.zoo import zoo_rows
from results.errors import PublishedError
from results.published.figure import Check
from results.published.printed import Interval, exactly, interval

if TYPE_CHECKING:
    from pathlib import Path

    from results.audit import Finding

ZOO = {
    name: {"parameters": entry.parameters, "nodes": entry.nodes, "frames": entry.audio.frames}
    for name, entry in zoo().items()
}
CLAIMS = {
    name: (entry.parameters_published, entry.published_in or "")
    for name, entry in zoo().items()
    if entry.parameters_published
}


def verdicts(rows: dict[str, published.Row] | None = None) -> dict[str, Finding]:
    found = audit(rows or published.rows(), ZOO, published.words().needs, {})
    return {one.row.id: one for one in found}


def changed(name: str, **values: object) -> dict[str, published.Row]:
    rows = dict(published.rows())
    return {**rows, name: replace(rows[name], **values)}  # type: ignore[arg-type]


def about(low: float, high: float) -> Interval:
    return Interval(Fraction(str(low)), Fraction(str(high)))


def test_every_row_has_the_verdict_that_is_expected_and_none_was_changed() -> None:
    findings, gone = audit_published(ZOO, CLAIMS)
    assert [found.problem for found in findings if found.problem] == []
    assert gone == []
    assert len(findings) == len(published.rows()) + len(CLAIMS)
    assert all(count > 0 for count in counts(findings).values())


def test_the_contradictions_are_these() -> None:
    contradicting = {name for name, found in verdicts().items() if found.verdict == "contradicts"}
    assert contradicting == {
        "A23.total",
        "A26.speedup",
        "A29.gain",
        "A30.range",
        "A48.own",
        "B11.slower",
        "C02.second",
        "D05.same_long",
        "D14.warm",
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("A29.gain", "13.19 to 13.66×"),
        ("A26.speedup", "2.655 to 2.704×"),
        ("D05.same_long", "3.6022 to 3.6036×"),
        ("D14.warm", "5.02 to 5.16×"),
        ("D07.gain", "2.6781 to 2.6803×"),
        ("D06.warm_pip", "104 to 123×"),
        ("A47.f1", "0.9465 to 0.9494"),
        ("A07.error", "8.9407e-08"),
        ("A35.ms", "2.73 to 3.82 ms"),
        ("A10.rt48", "557.28 ms"),
        ("A30.range", "9.28 to 10.4 ms"),
        ("D07.each", "(45.60 s − 2.37 s − 2.40 s − 3.29 s) / 3 files"),
        ("A44.ms", "11.5..12.3 ms in A30.range"),
        ("A04.parameters", "1,858,726 (+0.47%"),
        ("A12.compatible", "needs trained weights"),
        ("A09.factor", "rtfloor run inversion"),
    ],
)
def test_the_recomputation_is_shown(name: str, shown: str) -> None:
    assert shown in verdicts()[name].shown


def test_which_frames_count_as_audio_is_told_for_every_factor() -> None:
    found = verdicts()
    only_gaps = {"A30.rtf", "A31.cpu_rtf", "A31.seq_rtf", "A31.graph_rtf"}
    for name in (*only_gaps, "A31.trt_rtf", "A31.batch_rtf"):
        assert "48 − 1" in found[name].shown.split(";")[0]
        assert found[name].shown.endswith("does not fit" if name in only_gaps else "fits too")
    assert "(16 × 512" in found["A24.rtf"].shown.split(";")[0]
    assert found["A24.rtf"].shown.endswith("does not fit")
    assert found["A25.rtf"].shown.endswith("fits too")


def test_a_figure_beyond_its_digits_contradicts() -> None:
    # 11.9 ms / 545.67 ms is 0.0218: 0.022 is its rounding, 0.0221 is not.
    assert verdicts(changed("A30.rtf", value="0.0218"))["A30.rtf"].verdict == "agrees"
    found = verdicts(changed("A30.rtf", value="0.0221"))["A30.rtf"]
    assert (found.verdict, found.expected) == ("contradicts", False)
    assert found.problem.startswith("A30.rtf: contradicts where 'agrees' was expected: 11.9 ms /")
    assert "against RTF 0.0221" in found.problem


def test_a_known_contradiction_that_agrees_is_not_expected_either() -> None:
    found = verdicts(changed("A29.gain", value="13.4"))["A29.gain"]
    assert (found.verdict, found.expected) == ("agrees", False)


def test_a_rival_rule_that_begins_to_fit_is_noticed() -> None:
    check = Check("rtf_gaps", ("A31.trt_ms", 48, 512, 44100), "rtf_frames", rival_fits=False)
    found = verdicts(changed("A31.trt_rtf", check=check))["A31.trt_rtf"]
    assert not found.expected
    assert "fits too, and that is not what was expected" in found.shown


def test_a_rebuild_that_strays_from_its_original_contradicts() -> None:
    rows = {"A11.parameters": published.row("A11.parameters")}
    (near,) = audit(rows, {"rt48": {"parameters": 118_000}}, published.words().needs, {})
    (far,) = audit(rows, {"rt48": {"parameters": 120_000}}, published.words().needs, {})
    assert (near.verdict, far.verdict) == ("measured", "contradicts")
    assert not far.expected
    with pytest.raises(PublishedError, match=r"A11\.parameters: the zoo has no rt48\.parameters"):
        audit(rows, {}, published.words().needs, {})


def test_a_row_whose_operand_is_gone_is_noticed() -> None:
    rows = {name: row for name, row in published.rows().items() if name != "A24.ms"}
    found = verdicts(rows)["A24.rtf"]
    assert (found.verdict, found.expected) == ("cannot", False)
    assert "computed from A24.ms" in found.shown


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (Check("magic", (1, 2)), "no rule 'magic'"),
        (Check("ratio", (1, 2, 3)), "takes 2 operands, 3 are given"),
        (Check("sum", (1,)), "takes 2 or more operands, 1 are given"),
        (Check("same", ("A32.gain",)), "without an upper end"),
    ],
)
def test_a_check_that_cannot_be_carried_out_names_its_row(check: Check, words: str) -> None:
    with pytest.raises(PublishedError) as refused:
        verdicts(changed("A30.rtf", check=check))
    assert "row A30.rtf" in str(refused.value)
    assert words in str(refused.value)


def test_rules_compute() -> None:
    def run(rule: str, *of: Interval | int) -> Interval:
        return RULES[rule].compute([one if isinstance(one, Interval) else exactly(one) for one in of])

    assert run("ratio", about(1, 2), about(4, 8)) == about(0.125, 0.5)
    assert run("ratio", 1, about(0, 1)).high == float("inf")
    assert run("sum", about(1, 2), 3, 4) == about(8, 9)
    assert run("product", about(1, 2), about(3, 4)) == about(3, 8)
    assert run("chunk", 48, 512, 44100).low == Fraction(48 * 512, 44100)
    assert run("rtf_frames", 1, 2, 1, 1) == exactly(Fraction(1, 2))
    assert run("rtf_gaps", 1, 2, 1, 1) == exactly(1)
    assert run("time_gaps", 3, 2, 1, 1) == exactly(3)
    assert run("saved_gaps", about(5, 6), about(2, 3), 2, 1, 1) == about(2, 4)
    assert run("saved_gaps", 1, 2, 2, 1, 1) == exactly(0)
    assert run("per_audio", 8, 2, 1, 1) == exactly(4)
    assert run("bins", 2048) == exactly(1025)
    assert run("float32_steps", 2) == exactly(Fraction(1, 2**23))
    assert run("each", 10, 2, 1, 3) == exactly(3)
    assert run("same", about(1, 2)) == about(1, 2)


def test_f1_is_that_of_the_counts() -> None:
    # 9 of 10 found, 2 of 20 accused: 2·9 / (2·9 + 2 + 1).
    outcome = RULES["f1"].compute([exactly(Fraction(9, 10)), exactly(Fraction(1, 10)), exactly(10), exactly(20)])
    assert outcome == exactly(Fraction(18, 21))
    wide = RULES["f1"].compute([interval("1.0"), interval("0.1"), exactly(10), exactly(20)])
    assert wide.low < Fraction(20, 22) < wide.high <= 1


def test_zoo_counts_are_read_as_rounded_to_their_last_digit() -> None:
    rows = zoo_rows({"a": (117_000, "x"), "b": (13_802, "y"), "c": (43_600, "z")})
    assert [row.value for row in rows.values()] == ["117e3", "13802", "43600"]
    assert rows["zoo.a"].number == 117_000
    assert rows["zoo.a"].expect == "measured"


def test_every_key_of_a_row_is_locked() -> None:
    row = published.row("A24.rtf")
    text = write({row.id: row})
    assert changes({row.id: row}, text) == {}
    other = {"value": "0.11", "unit": "ms", "lines": (60,), "conditions": "on a Mac", "why": "so", "exact": True}
    for key, value in {**other, "what": "x", "title": "x", "expect": "cannot", "origin": "derived", "to": 10}.items():
        assert changes({row.id: replace(row, **{key: value})}, text) == {row.id: (key,)}  # type: ignore[arg-type]
    source = replace(row.source, url="https://example.org")
    assert changes({row.id: replace(row, source=source)}, text) == {row.id: ("source",)}
    assert changes({row.id: replace(row, check=Check("same", ("A24.ms",)))}, text) == {row.id: ("check",)}
    assert changes({row.id: replace(row, check=None, needs="machine")}, text) == {row.id: ("needs", "check")}


def test_rows_that_come_and_go_are_noticed() -> None:
    one, two = published.row("A24.ms"), published.row("A24.rtf")
    text = write({one.id: one})
    assert changes({two.id: two}, text) == {two.id: (ADDED,), one.id: (REMOVED,)}


@pytest.mark.parametrize("name", ["A24.rtf", "A12.compatible", "A09.factor", "A29.gain", "A16.files"])
def test_any_row_that_was_changed_by_hand_is_named_with_what_to_do(name: str) -> None:
    # Whatever its verdict: also those that nothing is recomputed for.
    text = write(published.rows())
    rows = changed(name, conditions="changed")
    found = {one.row.id: one for one in audit(rows, ZOO, published.words().needs, changes(rows, text))}
    assert [one.row.id for one in found.values() if not one.expected] == [name]
    problem = found[name].problem
    assert problem.startswith(f"{name}: conditions changed since the row was checked against ")
    assert "line" in problem
    assert "python -m results.audit --lock" in problem


def test_no_row_escapes_the_lock() -> None:
    for name, row in published.rows().items():
        assert changes({name: replace(row, value="7" + row.value)}, write({name: row})) == {name: ("value",)}


def test_a_new_row_wants_to_be_checked() -> None:
    row = published.row("A24.ms")
    (found,) = audit({row.id: row}, ZOO, published.words().needs, changes({row.id: row}, ""))
    assert not found.expected
    assert found.problem.startswith("A24.ms: it is new; check it against ArtifactNet research")


def test_no_value_of_a_series_or_profile_escapes_the_lock() -> None:
    found = tables.tables()
    text = tables.write(found)
    assert tables.changes(found, text) == {}
    assert {"published/series.toml:cpu-ladder", "hardware/ryzen-7-5800x.toml"} <= set(found)
    for name, table in found.items():
        for key, value in table.items():
            other = {**found, name: {**table, key: [value]}}
            assert tables.changes(other, text) == {name: (key,)}
    (problem,) = tables.problems({"hardware/h200.toml": ("level[1].bytes",)})
    assert problem.startswith("results/hardware/h200.toml: level[1].bytes changed since")


def test_tables_and_values_that_come_and_go_are_noticed() -> None:
    text = tables.write({"a": {"x y": 1, "z": 2}, "b": {"x": 1}})
    assert tables.changes({"a": {"x y": 1, "w": 2}, "c": {"x": 1}}, text) == {
        "a": ("w", "z"),
        "c": (tables.TABLE_ADDED,),
        "b": (tables.TABLE_REMOVED,),
    }
    said = tables.problems({"c": (tables.TABLE_ADDED,)})
    assert said == [
        "results/c: table added; put it back, or check it against its sources and run: python -m results.audit --lock"
    ]


def test_the_lock_is_written_on_purpose_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.lock"
    assert command.main([], path) == 2
    assert "--lock" in capsys.readouterr().err
    assert not path.exists()
    assert command.main(["--lock"], path) == 0
    assert f"{len(published.rows())} rows locked" in capsys.readouterr().out
    assert changes(published.rows(), path.read_text("utf-8")) == {}
    beside = tmp_path / "tables.lock"
    assert tables.changes(tables.tables(), beside.read_text("utf-8")) == {}
    path.write_text(path.read_text("utf-8").replace("A24.ms ", "A24.mss "))
    beside.write_text(beside.read_text("utf-8").replace(" hop=", " hop=0"))
    assert command.main(["--lock"], path) == 0
    said = capsys.readouterr().out
    assert "A24.ms: row added\nA24.mss: row removed\n" in said
    assert "published/series.toml:cpu-ladder: hop\n" in said
    assert command.main(["--lock"], tmp_path / "none" / "rows.lock") == 2
    assert "results.audit: " in capsys.readouterr().err
