"""What a search says: a winner that is shown with another's code, or without its ties, misleads whoever pastes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made import record, spec
from made_runs import run_file, steady

from reports import tuned
from reports.charts.every import SECTIONS
from reports.document import document_of
from reports.export import markdown
from reports.page.page import page
from reports.source import Source, read
from results.tuned import of_run

if TYPE_CHECKING:
    from pathlib import Path

CODE = "import engine\nMODEL = 'net.onnx'\n<b>"
PLAN = {"title": "search", "goal": {"objective": "p50"}}


def snippet(cell: str) -> dict[str, Any]:
    return {
        "cell": cell,
        "python": CODE,
        "settings": {"engine.threads": "2"},
        "environment": {"ENGINE": "1"},
        "model_command": "rtfloor models surgery net --form ln -o net-ln.onnx",
        "file": "run-best.py",
    }


def searched(path: Path, best: str = "fast", **facts: Any) -> Source:
    cells = {name: spec(runtime=name) for name in ("fast", "twin", "slow", "wrong")}
    records = []
    for number in range(4):
        # As far apart as two equal processes are.
        wobble = 0.02 * (number % 2)
        for name, level in (("fast", 5.0 + wobble), ("twin", 5.03 - wobble), ("slow", 8.0)):
            wall = steady(level, seed=number * 7 + len(name))
            records.append(record(name, number, wall, took_s=1.0, quality={"snr_db": 90.0}))
    records.append(record("wrong", 0, steady(1.0), status="wrong", reason="its answers are off", took_s=1.0))
    return read(run_file(path, cells, records, plan=PLAN, snippet=snippet(best), **facts))


def lines(source: Source) -> str:
    outcome = of_run(source.facts, source.cells, source.records)
    assert outcome is not None
    return "\n".join(tuned.sentences(outcome, source.cells, source.facts))


def test_a_search_is_told_with_ties_certainty_cost_and_code(tmp_path: Path) -> None:
    text = lines(searched(tmp_path / "run.sqlite"))
    assert "best at p50: fast 1 raw seq, 5.0" in text
    assert "cannot be told apart from it" in text
    assert "sure that none of the 3 cells is better by more than 2 %" in text
    assert "13 processes (4 → 3 cells in 4 rounds)" in text
    assert "engine.threads = 2" in text


def test_code_of_another_cell_is_not_shown_as_the_winners(tmp_path: Path) -> None:
    # A search that went on may have found a better one after its code was written.
    source = searched(tmp_path / "run.sqlite", best="slow")
    assert "engine.threads" not in lines(source)
    assert "import engine" not in markdown(source, {})
    assert "import engine" not in page(source, {name: [] for name in SECTIONS})
    assert document_of("x", source.facts, source.cells, source.records)["search"]["snippet"] is None


def test_the_page_shows_the_code_as_text(tmp_path: Path) -> None:
    source = searched(tmp_path / "run.sqlite")
    made = page(source, {name: [] for name in SECTIONS})
    assert "What the search found" in made
    assert "&lt;b&gt;" in made
    assert "```python" in markdown(source, {})


def test_a_run_that_is_no_search_says_nothing_of_one(tmp_path: Path) -> None:
    source = read(run_file(tmp_path / "run.sqlite", {"a": spec()}, [record("a")]))
    assert of_run(source.facts, source.cells, source.records) is None
    assert document_of("x", source.facts, source.cells, source.records)["search"] is None
    assert "What the search found" not in page(source, {name: [] for name in SECTIONS})


@pytest.mark.parametrize(
    ("quality", "words"),
    [({"snr_db": 20.0}, "the search found nothing"), (None, "before the quality of any candidate was judged")],
)
def test_a_search_without_a_winner_says_why(quality: dict[str, float] | None, words: str, tmp_path: Path) -> None:
    known = {} if quality is None else {"quality": quality}
    records = [record("a", number, steady(5.0), **known) for number in range(3)]
    plan = {"title": "search", "goal": {"objective": "p50", "snr_db": 60.0}}
    source = read(run_file(tmp_path / "run.sqlite", {"a": spec()}, records, plan=plan))
    assert words in lines(source)
