"""What is said of a sweep: which options matter, by how much, and never more than was measured."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made import spec
from made_runs import source, two_runtimes
from made_sweeps import DEFAULT, disturbed, many_axes, medians, one_at_a_time, summaries, sweep_run
from rich.console import Console

from bench.cli.show import show
from reports.charts.effects import ROWS_MOST, effects_chart
from reports.charts.every import charts
from reports.document import document_of
from reports.effects import HEAD, View, entry, label, markdown, sentences, table, verdict, views
from reports.export import one_run
from reports.page.page import page
from reports.source import Source, read
from results.effects import NO_EFFECT, NOT_MEASURED, SLOWER, Effect, effects
from results.intervals import Interval
from results.summary import CellSummary
from results.sweep import Arm, Contrast, Sweep

SLOW, QUICK, GONE = f"{DEFAULT}/axis00=v0", f"{DEFAULT}/axis05=v0", f"{DEFAULT}/axis09=v1"
RATIOS = {SLOW: 1.94, QUICK: 0.9}
EVIL = "<img src=x> | [bold]"


def swept() -> Sweep:
    return replace(many_axes(), left_out=(("axis03", "huge", f"it is refused: {EVIL}"),))


def viewed(sweep: Sweep, cells: dict[str, CellSummary]) -> View:
    return View(sweep, cells.get(sweep.default), tuple(effects(sweep, cells)))


def planted(**ratios: float) -> View:
    """A view of three axes, of which ``a=x`` and the like do so much."""
    sweep = one_at_a_time({"a": ["x", "y"], "b": ["z"], "c": ["w"]}, copies=3)
    found = {f"{DEFAULT}/{name.replace('_', '=')}": value for name, value in ratios.items()}
    return viewed(sweep, summaries(medians(sweep, np.random.default_rng(2), ratios=found)))


def run_path(folder: Path) -> Path:
    sweep = swept()
    times = medians(sweep, np.random.default_rng(1), 10, disturbed, RATIOS)
    options = {"options": {"axis00": False, "axis05": 8}}
    return sweep_run(
        folder / "run.sqlite", [sweep], times, {GONE: f"it crashed: {EVIL}"}, dict.fromkeys(times, options)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return read(run_path(tmp_path_factory.mktemp("sweep")))


@pytest.fixture(scope="module")
def view(run: Source) -> View:
    (found,) = views(run.facts, run.cells)
    return found


def test_the_first_sentence_names_what_matters_the_largest_first(view: View) -> None:
    first, second, check, *rest = sentences(view)
    assert first.startswith("of 28 axes, 2 mattered on this machine: axis00=v0 1.9")
    assert first.index("axis00=v0") < first.index("axis05=v0")
    assert "× the time (" in first
    assert second.startswith("26 cannot be told from nothing: what could hide is ±")
    assert check.startswith("check: 5 identical cells differed by ")
    assert rest[0].startswith("not measured: axis09=v1 (failed: it crashed")
    assert rest[1].startswith("not tried: axis03=huge (it is refused")


def test_what_could_hide_is_never_less_than_what_an_interval_allows(view: View) -> None:
    quiet = [one for one in view.effects if one.verdict == NO_EFFECT and one.arm.kind == "value"]
    largest = max(max(one.interval.high - 1, 1 - one.interval.low) for one in quiet if one.interval is not None)
    assert f"what could hide is ±{largest * 100:.1f} % at most" in sentences(view)[1]


def test_where_nothing_matters_it_says_so() -> None:
    first, second, _ = sentences(planted())
    assert first == "of 3 axes, none was seen to matter on this machine"
    assert second.startswith("3 cannot be told")


def test_an_axis_whose_values_go_both_ways_names_both() -> None:
    first = sentences(planted(a_x=1.3, a_y=0.8))[0]
    assert "a=x 1.3" in first
    assert " and a=y 0.8" in first
    assert "1 mattered" in first


def test_a_copy_that_is_told_apart_is_an_alarm() -> None:
    # Who sees equal cells differ must not believe that others do.
    view = planted(copy_2=1.2)
    assert any(
        line.startswith("the check failed: copy 2 differs from the default in nothing") for line in sentences(view)
    )
    assert "none was told apart" not in " ".join(sentences(view))


def test_a_sweep_of_which_nothing_was_measured_says_why() -> None:
    sweep = one_at_a_time({"a": ["x"]}, copies=1)
    cells = {DEFAULT: CellSummary(DEFAULT, spec(), "unavailable", "it is not installed")}
    found = viewed(sweep, cells)
    assert sentences(found) == [
        "no axis has an effect that was measured",
        f"not measured: a=x ({DEFAULT}/a=x is no cell of this run)",
    ]
    assert effects_chart(found) is None
    assert json.dumps(entry(found), allow_nan=False)
    assert "not measured" in markdown(found)


def test_two_values_that_act_on_each_other_are_told_as_such() -> None:
    both = f"{DEFAULT}/a=x/b=y"
    pair = Arm("a × b", "x × y", "pair", (Contrast((both, DEFAULT), (f"{DEFAULT}/a=x", f"{DEFAULT}/b=y")),))
    plain = one_at_a_time({"a": ["x"], "b": ["y"]}, copies=3)
    sweep = Sweep("pairs", DEFAULT, plain.copies, (*plain.arms, pair))
    nothing, something = "none was seen to do more or less together", "1 act on each other: a=x × b=y 1."
    for factor, said in ((1.0, nothing), (1.5, something)):
        times = medians(sweep, np.random.default_rng(5), 12, ratios={both: factor})
        found = viewed(sweep, summaries(times))
        assert any(said in line for line in sentences(found))
        assert sentences(found)[0].startswith("of 2 axes, none")
    assert "a=x × b=y" in {label(one) for one in found.effects}
    chart = effects_chart(found)
    assert chart is not None


def effect(**changes: Any) -> Effect:
    arm = Arm("a", "x", "value", ())
    return Effect(**{"arm": arm, "verdict": SLOWER, "ratio": 1.005, "interval": Interval(1.002, 1.008), **changes})


def test_verdicts_say_what_limits_them() -> None:
    assert verdict(effect()) == "slower, by less than 1 %"
    assert verdict(effect(interval=Interval(1.002, 1.018))) == "slower"
    assert verdict(effect(verdict=NO_EFFECT, interval=Interval(0.98, 1.012))) == "no effect seen beyond ±2.0 %"
    gone = effect(verdict=NOT_MEASURED, ratio=None, interval=None, reason="failed: it\ncrashed")
    assert verdict(gone) == "not measured: failed: it crashed"
    part = effect(reason="without 1 of 4 comparisons: failed: x")
    assert verdict(part).endswith("(without 1 of 4 comparisons: failed: x)")


def test_tables_have_every_value_and_every_reason(view: View) -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(table(view))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    lines = [line for line in markdown(view).splitlines() if line.startswith(("| axis", "| copy"))]
    assert len(lines) == 1 + 40 + 4 + 1
    assert lines[1].startswith("| axis00 | v0 | false | 1.9")
    assert [line.split(" | ")[0] for line in lines[-5:]] == ["| copy"] * 4 + ["| axis03"]
    assert all(line.count(" | ") == len(HEAD) - 1 for line in lines)
    for text in ("axis00", "false", "it is refused: <img src=x> | [bold]", "failed: it crashed", "beyond ±"):
        assert text in shown
    assert "<img" not in markdown(view)


def test_json_has_every_figure_with_its_kind_and_no_number_that_json_lacks(run: Source) -> None:
    document = document_of(str(run.path), run.facts, run.cells, run.records)
    (found,) = json.loads(json.dumps(document, allow_nan=False))["sweeps"]
    assert (found["kind"], found["default"], found["confidence"]) == ("one-at-a-time", DEFAULT, 0.95)
    first = found["effects"][0]
    assert first["verdict"] == "slower"
    assert first["ratio_low"] < first["ratio"] < first["ratio_high"]
    assert (first["default_value"], first["rounds"], first["largest_hidden_share"]) == ("false", 10, None)
    assert found["axes"][0]["told_apart"] == ["v0"]
    assert found["axes"][0]["matters"] is True
    assert found["left_out"] == [{"axis": "axis03", "value": "huge", "reason": f"it is refused: {EVIL}"}]
    (gone,) = [one for one in found["effects"] if one["verdict"] == "not measured"]
    assert [gone[key] for key in ("ratio", "ratio_low", "ratio_high", "detectable_ratio", "within_one_percent")] == [
        None
    ] * 5
    assert found["copies_ratio_low"] <= 1 <= found["copies_ratio_high"]


def test_the_chart_shows_what_matters_apart_and_names_every_row(view: View) -> None:
    chart = effects_chart(view)
    assert chart is not None
    above, below = chart.figure.axes
    assert [name.get_text() for name in above.get_yticklabels()] == ["axis05=v0", "axis00=v0"]
    assert len(below.get_yticklabels()) == 37 + 4
    low, high = above.get_xlim()
    assert low < 0.9
    assert high > 1.94
    # Nobody should have to look twice whether left is faster.
    assert "left is faster" in above.get_xlabel()
    assert below.get_xlim()[0] < 1 < below.get_xlim()[1] < 1.2
    assert "2 mattered" in chart.description
    assert all(len(row) == len(chart.columns) for row in chart.rows)


def test_one_restless_value_does_not_hide_the_others_from_sight() -> None:
    sweep = many_axes()
    times = medians(sweep, np.random.default_rng(3))
    noise = np.random.default_rng(4).standard_normal(10)
    times[SLOW] = {number: median * float(np.exp(0.5 * noise[number])) for number, median in times[SLOW].items()}
    chart = effects_chart(viewed(sweep, summaries(times)))
    assert chart is not None
    assert chart.figure.axes[-1].get_xlim()[1] < 1.1
    assert any(row[:2] == ["axis00", "v0"] and "beyond ±" in row[5] for row in chart.rows)


def test_a_chart_of_hundreds_of_values_shows_the_largest_and_says_so() -> None:
    sweep = one_at_a_time({f"axis{n}": ["v"] for n in range(100)}, copies=4)
    ratios = {f"{DEFAULT}/axis{n}=v": 1.0 + 0.1 * (n + 1) for n in range(70)}
    chart = effects_chart(viewed(sweep, summaries(medians(sweep, np.random.default_rng(6), ratios=ratios))))
    assert chart is not None
    assert len(chart.rows) == 104
    drawn = sum(len(axes.get_yticklabels()) for axes in chart.figure.axes)
    assert drawn == ROWS_MOST + 4
    assert f"Of 104 effects the {drawn} largest" in chart.note


def test_the_page_and_the_files_have_the_sweep(run: Source, tmp_path: Path) -> None:
    written = one_run(run, tmp_path / "out", ("html", "md", "csv", "json", "svg"))
    text = (written.folder / "index.html").read_text("utf-8")
    assert text.index('id="answer"') < text.index('id="effects"') < text.index('id="ladder"')
    assert "of 28 axes, 2 mattered on this machine" in text
    assert "<img src=x>" not in text
    report = (written.folder / "report.md").read_text("utf-8")
    assert report.index("## What matters") < report.index("## Ladder")
    assert "](charts/effects-net-raw-fake-1-seq-2-threads.svg)" in report
    assert (written.folder / "charts" / "effects-net-raw-fake-1-seq-2-threads.svg").is_file()
    with (written.folder / "effects.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 44
    assert (rows[0]["axis"], rows[0]["value"], rows[0]["verdict"], rows[0]["origin"]) == (
        "axis00",
        "v0",
        "slower",
        "derived",
    )
    assert 1.8 < float(rows[0]["ratio_low"]) < 1.94 < float(rows[0]["ratio_high"]) < 2.1


def test_several_sweeps_of_one_run_are_judged_apart(tmp_path: Path) -> None:
    one, other = one_at_a_time({"a": ["x"]}, copies=2), many_axes()
    times = medians(other, np.random.default_rng(1)) | medians(one, np.random.default_rng(2))
    made = read(sweep_run(tmp_path / "run.sqlite", [one, other], times))
    few, many = views(made.facts, made.cells)
    assert len(few.effects) == 3
    assert len(many.effects) == 44
    drawn = charts(made, ())
    assert len(drawn["effects"]) == len({chart.name for chart in drawn["effects"]}) == 2
    text = page(made, drawn)
    assert "of 1 axis, none was seen" in text
    assert "of 28 axes, none was seen" in text


def test_a_run_that_was_no_sweep_has_none(tmp_path: Path) -> None:
    made = source(tmp_path / "run.sqlite", two_runtimes())
    assert views(made.facts, made.cells) == []
    drawn = charts(made, ())
    assert drawn["effects"] == []
    assert 'id="effects"' not in page(made, drawn)
    assert document_of("x", made.facts, made.cells, made.records)["sweeps"] == []
    written = one_run(made, tmp_path / "out", ("csv", "md"))
    assert "effects.csv" not in {path.name for path in written.paths}


def test_show_ends_a_run_with_what_its_sweep_found_and_has_it_all_on_request(tmp_path: Path) -> None:
    path = run_path(tmp_path)
    shown = CliRunner().invoke(show, [str(path)])
    assert shown.exit_code == 0, shown.output
    assert "  of 28 axes, 2 mattered on this machine: axis00=v0 1.9" in shown.output
    assert "--view effects" in shown.output
    whole = CliRunner().invoke(show, [str(path), "--view", "effects"])
    assert whole.exit_code == 0, whole.output
    assert whole.output.count("no effect seen beyond") == 37 + 4
    plain = tmp_path / "plain.sqlite"
    source(plain, two_runtimes())
    assert "is no sweep; 'rtfloor run" in CliRunner().invoke(show, [str(plain), "--view", "effects"]).output
