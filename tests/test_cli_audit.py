"""``rtfloor audit`` as a person meets it, and the page that explains it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner
from support import ROOT

from bench.cli import cli as rtfloor
from bench.cli.flags import PlanFlags
from results import published
from results.audit import CONTRADICTS, audit
from results.published.printed import Interval

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result
    from support import Cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(rtfloor, ["audit", *arguments])


def test_the_whole_audit_passes_and_ends_with_its_sum() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert re.fullmatch(
        r"\d+ rows: \d+ agree, 9 contradict \(all known and explained\), \d+ we measure ourselves, "
        r"\d+ cannot be recomputed here",
        lines[-1],
    )
    for row in published.rows().values():
        assert f" {row.id} " in result.output
    for source in published.words().sources.values():
        assert source.title in lines
    assert any(line.startswith("    CONTRADICTS  A29.gain") and "13.19 to 13.66×" in line for line in lines)


def test_the_sum_counts_every_row_once() -> None:
    document = json.loads(run("--json").output)
    assert document["ok"] is True
    assert document["problems"] == []
    assert sum(document["counts"].values()) == len(document["rows"]) > 370
    first = document["rows"][0]
    assert set(first) == {"row", "verdict", "shown", "changed", "expected"}
    assert {"id", "value", "unit", "source", "lines", "conditions"} <= set(first["row"])
    assert first["row"]["source"] in document["sources"]


def test_contradictions_alone() -> None:
    output = run("--contradictions").output
    assert "CONTRADICTS" not in output
    assert "A29.gain says 18×; recomputed: RTF 0.416 / RTF 0.031 = 13.19 to 13.66×" in output
    assert "agrees " not in output
    rows = json.loads(run("--contradictions", "--json").output)["rows"]
    assert {row["verdict"] for row in rows} == {"contradicts"}


def test_one_claim_or_one_row() -> None:
    assert [row["row"]["id"] for row in json.loads(run("--only", "A29.gain", "--json").output)["rows"]] == ["A29.gain"]
    both = json.loads(run("--only", "D08", "--only", "A29.gain", "--json").output)["rows"]
    assert {row["row"]["claim"] for row in both} == {"D08", "A29"}
    assert run("--only", "A29.gain").output.splitlines()[-1].startswith("1 row: 0 agree, 1 contradict")


def test_an_unknown_figure_is_refused_with_its_neighbours(cli: Cli) -> None:
    result = cli("audit", "--only", "A29.gian")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "no published figure 'A29.gian'; near to it: A29.gain" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("artifactnet", 'value = "18.5"', 'value = "18.4"', ["A24.ms: value changed", "line 59"]),
        ("artifactnet", 'value = "30", unit = "%"', 'value = "90", unit = "%"', ["A12.compatible: value changed"]),
        ("artifactnet", "RTX 3060, p50", "RTX 4090, p50", ["A31.batch_ms: conditions changed"]),
        ("audiosep", '"~9.1"', '"~9.3"', ["D06.chunks: value changed"]),
        ("audiosep", "line = 218", "line = 219", ["D10.first: lines changed"]),
        ("others", '  { id = "cpu"', '  # { id = "cpu"', ["X03.cpu", "is here no more"]),
        ("vocabulary", "part 5 (2/3)", "part 6", ["A01.chunks: source changed"]),
        ("series", 'rtf = "A28.ort_par"', 'rtf = "A28.ort_tuned"', ["series.toml:cpu-ladder: steps[3].rtf changed"]),
        ("series", 'precision = "fp16"', 'precision = "fp32"', ["series.toml:gpu-steps: steps[3].precision changed"]),
        ("series", "hop = 512", "hop = 256", ["series.toml:cpu-ladder: hop changed"]),
        ("../hardware/rtx-3060", "per_clock_and_core = ", "per_clock_and_core = 1", ["hardware/rtx-3060.toml: arith"]),
        ("../hardware/h200", "bytes = ", "bytes = 1", ["hardware/h200.toml: level[1].bytes changed"]),
    ],
)
def test_a_figure_that_is_changed_by_hand_ends_with_1(
    file: str, before: str, after: str, words: list[str], tmp_path: Path, cli: Cli
) -> None:
    # On a copy of the package, which is found before ours.
    ignored = shutil.ignore_patterns("__pycache__", "evidence", "runs")
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=ignored)
    path = tmp_path / "results" / "published" / f"{file}.toml"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")
    environment = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    result = cli("audit", "--contradictions", env=environment)
    assert result.returncode == 1, (result.stdout, result.stderr)
    assert "not as expected:" in result.stdout
    assert "python -m results.audit --lock" in result.stdout
    for word in words:
        assert word in result.stdout
    # A program that reads JSON must not be told that all is well.
    document = json.loads(cli("audit", "--contradictions", "--json", env=environment).stdout)
    assert document["ok"] is False
    assert any(words[0] in problem for problem in document["problems"])
    assert sum(document["counts"].values()) > 300 > len(document["rows"])


@pytest.mark.parametrize(
    ("file", "before", "after", "words"),
    [
        ("published/series", "sample_rate = 44100", "sample_rate = 0", "[cpu-ladder]"),
        ("published/series", 'rtf = "A28.tract_seq"', 'rtf = "A28.nothing"', "A28.nothing"),
        ("published/series", 'hardware = "ryzen-7-5800x"', 'hardware = "ryzen-9"', "no profile 'ryzen-9'"),
        ("hardware/h200", "cores = 132", "cores = 0", "hardware/h200.toml"),
        ("hardware/h200", "[facts]", "[fa", "hardware/h200.toml is no TOML"),
    ],
)
def test_a_series_or_profile_that_is_broken_ends_with_2(
    file: str, before: str, after: str, words: str, tmp_path: Path, cli: Cli
) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "evidence", "runs")
    shutil.copytree(ROOT / "results", tmp_path / "results", ignore=ignored)
    path = tmp_path / "results" / f"{file}.toml"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")
    result = cli("audit", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"})
    assert result.returncode == 2, (result.stdout, result.stderr)
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_every_command_that_measures_a_figure_is_one_that_rtfloor_knows() -> None:
    commands = {row.command for row in published.rows().values() if row.command}
    assert len(commands) > 15
    for text in sorted(commands):
        program, *arguments = shlex.split(text)
        if program == "python":
            assert arguments[:2] == ["-m", "pytest"]
            assert (ROOT / arguments[2]).exists(), text
            continue
        assert program == "rtfloor", text
        context = click.Context(rtfloor, info_name="rtfloor")
        name, command, rest = rtfloor.resolve_command(context, arguments)
        assert command is not None, text
        assert name is not None
        made = command.make_context(name, list(rest), parent=context)
        if name == "run":
            flags = {key: made.params[key] for key in made.params.keys() & PlanFlags.__dataclass_fields__.keys()}
            assert PlanFlags(**flags).plan().cells, text


def test_the_page_lists_the_contradictions_as_the_audit_finds_them() -> None:
    from bench.cli.audit import zoo_facts
    from reports.audit import contradictions_table

    findings = audit(published.rows(), zoo_facts()[0], published.words().needs, {})
    page = (ROOT / "docs" / "published.md").read_text("utf-8")
    assert contradictions_table(findings) in page
    assert sum(found.verdict == CONTRADICTS for found in findings) == len(
        re.findall(r"^\| `[A-DHX]\d\d\.", page, re.MULTILINE)
    )


def test_the_page_lists_every_unit_of_rounding_as_it_is_read() -> None:
    from results.published.printed import interval

    page = (ROOT / "docs" / "published.md").read_text("utf-8")
    table = re.findall(r"^\| `([^`]+)` \| [^|]* \| ([\d,.]+) to ([\d,.]+) \|$", page, re.MULTILINE)
    assert len(table) == 4
    for text, low, high in table:
        said = Interval(*(interval(end.replace(",", ""), exact=True).low for end in (low, high)))
        assert interval(text) == said


def test_a_page_or_chart_shows_where_a_series_comes_from() -> None:
    for name in published.series_names():
        for step in published.series(name):
            assert step.cited.startswith("ArtifactNet research, part 5")
