"""``rtfloor report`` as a user types it."""

import json
from pathlib import Path

import pytest
from made import dead, record, spec
from made_runs import run_file, steady, two_runtimes
from support import Cli

from bench.cli.report import default_name


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs where the command looks for them."""
    folder = tmp_path / "results" / "runs"
    for name, ms in (("20260101-000000-before", 2.0), ("20260102-000000-after", 1.0)):
        records = [record("quick", n, steady(ms, seed=n)) for n in range(4)]
        run_file(folder / f"{name}.sqlite", two_runtimes(), records)
    return folder


def test_the_newest_run_is_reported_and_the_page_is_named(cli: Cli, runs: Path, tmp_path: Path) -> None:
    done = cli("report", "--format", "html", "--format", "csv")
    assert done.returncode == 0, done.stderr
    page = Path("results") / "reports" / "20260102-000000-after" / "index.html"
    assert str(page) in done.stdout.splitlines()[0]
    assert (tmp_path / page).is_file()
    assert not list((tmp_path / page).parent.rglob("*.png"))


def test_scripts_get_a_list_of_files(cli: Cli, runs: Path, tmp_path: Path) -> None:
    done = cli("report", "latest", "--json", "--out", "page", "--format", "md", "--samples")
    found = json.loads(done.stdout)
    assert found == {"folder": "page", "files": ["page/report.md", "page/samples.csv"]}
    assert all((tmp_path / path).is_file() for path in found["files"])


def test_two_runs_are_laid_beside_each_other(cli: Cli, runs: Path, tmp_path: Path) -> None:
    done = cli("report", "20260101-000000-before", "20260102-000000-after", "--format", "html", "--out", "page")
    assert done.returncode == 0, done.stderr
    assert "1 faster" in (tmp_path / "page" / "index.html").read_text("utf-8")


def test_a_page_that_was_written_before_is_replaced(cli: Cli, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("old")
    assert cli("report", "--format", "html", "--out", "page").returncode == 0
    assert "<main>" in (tmp_path / "page" / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nothing-of-that-name"], "there is no run 'nothing-of-that-name'"),
        (["latest", "latest"], "named twice"),
        (["latest", "copy.sqlite"], "are the same run"),
        (["latest", "failed.sqlite"], "cannot be compared"),
        (["negative.sqlite"], "go backwards"),
        (["latest", "other.sqlite"], "no cell in common: models"),
        (["latest", "20260101-000000-before", "--samples"], "samples of several are never put together"),
        (["latest", "--out", "taken"], "'taken' is a file"),
        (["latest", "--out", "taken/page"], "the report cannot be written to taken/page"),
        (["text.sqlite"], "is it an rtfloor run file?"),
    ],
)
def test_a_mistake_is_one_sentence_and_no_traceback(
    cli: Cli, runs: Path, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    run_file(tmp_path / "other.sqlite", {"c": spec(model="another")}, [record("c")])
    (tmp_path / "text.sqlite").write_text("this is no database, but it is long enough to look like one" * 9)
    (tmp_path / "copy.sqlite").write_bytes((runs / "20260102-000000-after.sqlite").read_bytes())
    run_file(tmp_path / "failed.sqlite", two_runtimes(), [dead("quick", 0, "failed", "boom")])
    run_file(tmp_path / "negative.sqlite", two_runtimes(), [record("quick", 0, [-5] * 50)])
    (tmp_path / "taken").write_text("a file where a folder should be")
    done = cli("report", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "results" / "reports").exists(), "a folder of nothing is left behind"


def test_without_a_run_it_says_how_to_make_one(cli: Cli) -> None:
    done = cli("report")
    assert done.returncode == 2
    assert "rtfloor run cpu" in done.stderr


def test_show_says_what_is_wrong_with_a_run_file_too(cli: Cli, tmp_path: Path) -> None:
    run_file(tmp_path / "odd.sqlite", two_runtimes(), [record("quick", 0, [0] * 50)])
    done = cli("show", "odd.sqlite")
    assert done.returncode == 2
    assert "odd.sqlite cannot be read" in done.stderr
    assert "took no time at all" in done.stderr


def test_no_two_sets_of_runs_share_a_folder(tmp_path: Path) -> None:
    def name(*runs: str) -> str:
        return default_name([tmp_path / f"{run}.sqlite" for run in runs])

    assert name("a") == "a"
    assert name("a", "b") == "b-beside-a"
    names = {name("a", "b", "c"), name("a", "x", "c"), name("a", "c"), name("x/a", "a"), name("a", "x/a")}
    assert len(names) == 5
    long = [f"{'x' * 100}{number}" for number in range(4)]
    assert name(*long) != name(long[0], long[2], long[1], long[3])
    assert len(name(*long)) < 200
