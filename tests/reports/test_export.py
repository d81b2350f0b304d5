"""A report as files: what scripts and other pages read says the same as the page."""

import csv
import json
from pathlib import Path

import pytest
from made import record, spec
from made_runs import run_file, steady, two_runtimes

from reports.export import FORMATS, Written, one_run, several_runs
from reports.kept import LIST
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
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == [LIST, "cells.csv", "processes.csv"]
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


def test_races_whose_names_come_out_the_same_keep_their_charts(tmp_path: Path) -> None:
    models = ("a b", "a-b", "A_B", "音楽", "楽音", "x" * 90 + "1", "x" * 90 + "2", "a-b--2")
    cells = {model: spec(model=model, runtime="ort-cpu") for model in models}
    records = [record(model, n, steady(1.0 + place, seed=n)) for place, model in enumerate(models) for n in range(3)]
    written = one_run(read(run_file(tmp_path / "run.sqlite", cells, records)), tmp_path / "out", ("svg", "md"))
    ladders = [path for path in written.paths if path.name.startswith("ladder")]
    assert len(ladders) == len(set(ladders)) == len(models)
    assert all(any(f">Ladder: {model}," in path.read_text("utf-8") for path in ladders) for model in models)


def test_files_of_another_run_do_not_stay_and_files_of_others_do(tmp_path: Path) -> None:
    out = tmp_path / "out"
    outside = tmp_path / "precious.csv"
    one_run(made(tmp_path / "old.sqlite"), out, ("html", "svg", "csv"))
    (out / "charts" / "mine.svg").write_text("mine")
    outside.write_text("mine")
    said = json.loads((out / LIST).read_text("utf-8"))
    (out / LIST).write_text(json.dumps(said | {"files": [*said["files"], "../precious.csv", str(outside)]}))
    cells = {"c": spec(model="other", runtime="ort-cpu")}
    new = read(run_file(tmp_path / "new.sqlite", cells, [record("c", n, steady(1.0, seed=n)) for n in range(3)]))
    written = one_run(new, out, ("html", "svg"))
    assert {path for path in out.rglob("*") if path.is_file()} == {
        *written.paths,
        out / LIST,
        out / "charts" / "mine.svg",
    }
    assert outside.read_text() == "mine"


def test_other_formats_of_the_same_run_stay(tmp_path: Path) -> None:
    run = made(tmp_path / "run.sqlite")
    one_run(run, tmp_path / "out", ("csv",))
    one_run(run, tmp_path / "out", ("json",))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {LIST, "cells.csv", "processes.csv", "report.json"}


def test_a_list_that_is_a_link_or_nonsense_deletes_nothing(tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    out.mkdir()
    away.mkdir()
    (away / "file.csv").write_text("mine")
    (out / "charts").symlink_to(away)
    (out / LIST).write_text(json.dumps({"runs": [], "files": ["charts/file.csv", 7, ""]}))
    one_run(made(tmp_path / "run.sqlite"), out, ("csv",))
    assert (away / "file.csv").read_text() == "mine"
    (out / LIST).write_text("[]")
    one_run(made(tmp_path / "other.sqlite"), out, ("csv",))
    assert (out / "cells.csv").is_file()


def test_two_runs_of_one_file_name_are_told_apart(tmp_path: Path) -> None:
    sources = [made(tmp_path / "before" / "run.sqlite", 2.0), made(tmp_path / "after" / "run.sqlite", 1.0)]
    several_runs(sources, tmp_path / "out", ("csv", "html"))
    assert {row["run"] for row in rows(tmp_path / "out" / "cells.csv")} == {"before/run", "after/run"}
    assert "after/run beside before/run" in (tmp_path / "out" / "index.html").read_text("utf-8")
