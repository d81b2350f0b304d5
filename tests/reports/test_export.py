"""A report as files: what scripts and other pages read says the same as the page."""

import csv
import json
from pathlib import Path

import pytest
from made import record, spec
from made_runs import run_file, steady, two_runtimes

from reports.export import FORMATS, Written, one_run, several_runs
from reports.source import Source, read

EVIL = "a | b\n<script>alert(1)</script>"


def made(path: Path, ms: float = 2.0) -> Source:
    records = [
        record(name, n, steady(ms * (1 + place), seed=n), warmup=5)
        for place, name in enumerate(("quick", "slow"))
        for n in range(4)
    ]
    return read(run_file(path, two_runtimes(), records))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("export")
    return one_run(made(folder / "run.sqlite"), folder / "out", samples=True)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_page_comes_first_and_every_file_is_there(whole: Written) -> None:
    assert whole.paths[0].name == "index.html"
    assert {path.suffix.removeprefix(".") for path in whole.paths} == set(FORMATS)
    assert all(path.stat().st_size for path in whole.paths)
    drawn = {path.stem for path in whole.paths if path.parent.name == "charts"}
    assert {"ladder-net-stereo-2", "tails-net-stereo-2", "samples-net-stereo-2", "phases-net-stereo-2"} <= drawn


def test_the_document_is_that_of_every_other_verb_with_more(whole: Written) -> None:
    found = json.loads((whole.folder / "report.json").read_text("utf-8"))
    assert [cell["cell"] for cell in found["cells"]] == ["quick", "slow", "gone"]
    quick = found["report"]["cells"]["quick"]
    assert quick["budgets"]["live performance"] == {"most_ms": 10.0, "p50": "met", "p99": "met", "origin": "published"}
    first = found["cells"][0]
    assert first["floor"] is None
    assert "peaks" in first["floor_unknown"]
    assert found["report"]["cells"]["gone"]["budgets"] is None


def test_tables_carry_the_origin_of_their_figures(whole: Written) -> None:
    cells = rows(whole.folder / "cells.csv")
    assert [(row["cell"], row["origin"]) for row in cells] == [
        ("quick", "measured"),
        ("slow", "measured"),
        ("gone", ""),
    ]
    assert float(cells[0]["p50_low_ms"]) <= float(cells[0]["p50_ms"]) <= float(cells[0]["p50_high_ms"])
    assert {row["host"] for row in cells} == {"0123456789ab"}
    assert len(rows(whole.folder / "processes.csv")) == 8


def test_every_timed_call_is_there_when_asked_for(whole: Written) -> None:
    samples = rows(whole.folder / "samples.csv")
    assert len(samples) == 8 * 200
    assert sum(row["warmup"] == "True" for row in samples) == 8 * 5


def test_markdown_links_to_charts_that_exist(whole: Written) -> None:
    text = (whole.folder / "report.md").read_text("utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert links
    assert all((whole.folder / link).is_file() for link in links)
    assert text.index("## The answer") < text.index("## Ladder") < text.index("## Distance from the floor")
    assert "rtfloor run cpu" in text


def test_only_what_was_asked_for_is_written(tmp_path: Path) -> None:
    written = one_run(made(tmp_path / "run.sqlite"), tmp_path / "out", ("csv",))
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["cells.csv", "processes.csv"]
    assert len(written.paths) == 2


def test_a_table_in_markdown_survives_what_a_run_file_says(tmp_path: Path) -> None:
    cells = {"c": spec(model="net", status="failed", reason=EVIL)}
    one_run(read(run_file(tmp_path / "run.sqlite", cells)), tmp_path / "out", ("md",))
    text = (tmp_path / "out" / "report.md").read_text("utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| net")]
    assert "a \\| b &lt;script>" in line


def test_several_runs_are_written_beside_each_other(tmp_path: Path) -> None:
    sources = [made(tmp_path / "before.sqlite", 2.0), made(tmp_path / "after.sqlite", 1.0)]
    several_runs(sources, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert [run["run"] for run in found["runs"]] == [str(source.path) for source in sources]
    assert [pair["verdict"] for pair in found["comparison"]["pairs"]] == ["faster", "faster", None]
    assert found["comparison"]["pairs"][0]["origin"] == "derived"
    assert len(rows(tmp_path / "out" / "cells.csv")) == 6
    assert {row["run"] for row in rows(tmp_path / "out" / "comparison.csv")} == {"after"}
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "after beside before: of 2 cells 2 faster" in page
    assert "of 2 cells 2 faster" in (tmp_path / "out" / "report.md").read_text("utf-8")
    assert (tmp_path / "out" / "charts" / "ratios-after-beside-before.svg").is_file()
