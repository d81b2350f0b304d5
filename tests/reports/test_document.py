"""The document that scripts read: every key is there, and every number is one that JSON has."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import dead, record, spec
from support import ROOT

from reports.document import cell_entry, document, finite
from results.floors import Floors
from results.record import Record
from results.runfile import RunFile
from results.summary import CellSummary

REQUIRED = (
    *("cell", "model", "form", "runtime", "version", "layout", "threads", "options", "status", "reason"),
    *("p50_ms", "p50_ci_ms", "p90_ms", "p99_ms", "p99_ci_ms", "rtf", "x_realtime", "audio_s", "cold_ms"),
    *("rss_peak_mb", "max_abs_error", "snr_db", "threads_used", "samples", "processes", "rank"),
)
FACTS: dict[str, Any] = {
    "status": "finished",
    "created": "2026-01-02T03:04:05+00:00",
    "command": "rtfloor run mine.toml",
    "plan": {"title": "mine"},
    "profile": {"name": "quick"},
    "warnings": ["a warning"],
    "host": {"cpu": "x"},
}


def made(
    folder: Path, cells: dict[str, dict[str, Any]], records: list[Record], facts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The document of a hand-made run, after a trip through JSON without NaN or infinity."""
    path = folder / "run.sqlite"
    with RunFile.create(path, FACTS if facts is None else facts, cells) as run:
        for name, given in cells.items():
            if given["status"]:
                run.set_cell(name, given["status"], given["reason"])
        for one in records:
            run.add(one)
    with RunFile.read(path) as run:
        found: dict[str, Any] = json.loads(json.dumps(document(run), allow_nan=False))
    assert found["run"] == str(path)
    return found


def noisy(cell: str, rounds: int = 5) -> list[Record]:
    rng = np.random.default_rng(1)
    return [
        record(cell, number, (1e6 * np.exp(0.05 * rng.standard_normal(1000))).astype(int).tolist())
        for number in range(rounds)
    ]


def every_kind() -> tuple[dict[str, dict[str, Any]], list[Record]]:
    """A cell of every ending."""
    cells = {
        "ok": spec(),
        "wrong": spec(),
        "died": spec(),
        "hung": spec(),
        "never": spec(),
        "away": spec(status="unavailable", reason="not installed", version=None, audio_s=None, audio=None),
    }
    records = [
        *noisy("ok"),
        record("wrong", status="wrong", reason="off by one", error={"max_abs": math.nan, "snr_db": -math.inf}),
        dead("died", 0, "failed", "it crashed with SIGSEGV"),
        dead("hung", 0, "timeout", "no answer within 5 s"),
    ]
    return cells, records


def test_every_key_is_in_every_cell_whatever_came_of_it(tmp_path: Path) -> None:
    cells = made(tmp_path, *every_kind())["cells"]
    assert [cell["cell"] for cell in cells] == ["ok", "wrong", "died", "hung", "never", "away"]
    assert [cell["status"] for cell in cells] == ["ok", "wrong", "failed", "timeout", "timeout", "unavailable"]
    for cell in cells:
        assert set(REQUIRED) <= set(cell)
        assert set(cell) == set(cells[0])


def test_keys_of_a_cell_are_those_in_the_manual(tmp_path: Path) -> None:
    (cell, *_) = made(tmp_path, *every_kind())["cells"]
    section = (ROOT / "docs" / "json.md").read_text("utf-8").partition("### A cell")[2].partition("\n### ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert set(cell) == {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_keys_of_the_document_are_those_in_the_manual(tmp_path: Path) -> None:
    found = made(tmp_path, *every_kind())
    text = (ROOT / "docs" / "json.md").read_text("utf-8").partition("## `run --json`")[2].partition("\n### A cell")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    assert set(found) == {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_a_cell_that_is_not_ok_has_null_and_never_zero(tmp_path: Path) -> None:
    # Zero milliseconds would win every comparison a script makes.
    for cell in made(tmp_path, *every_kind())["cells"][1:]:
        assert cell["reason"]
        for key in ("p50_ms", "p50_ci_ms", "p90_ms", "p99_ms", "p99_ci_ms", "rtf", "x_realtime", "cold_ms", "rank"):
            assert cell[key] is None, (cell["cell"], key)
        assert (cell["samples"], cell["process_p50_ms"], cell["phases_ms"]) == (0, {}, {})


def test_an_ok_cell_says_everything(tmp_path: Path) -> None:
    (cell, *_) = made(tmp_path, *every_kind())["cells"]
    assert all(cell[key] is not None for key in REQUIRED if key != "reason")
    assert cell["reason"] is None
    assert cell["options"] == {"precision": "fp32", "spread": 0.01}
    assert (cell["processes"], cell["samples"], cell["rank"]) == (5, 5000, 1)
    assert cell["p50_ci_ms"][0] < cell["p50_ms"] < cell["p50_ci_ms"][1]
    assert cell["rtf"] == pytest.approx(cell["p50_ms"] / 1e3 / cell["audio_s"])
    assert list(cell["process_p50_ms"]) == ["0", "1", "2", "3", "4"]
    assert cell["cold_ms"] == pytest.approx(sum(cell["phases_ms"].values()))


def test_the_run_and_the_machine_are_described(tmp_path: Path) -> None:
    found = made(tmp_path, *every_kind())
    assert (found["status"], found["title"], found["profile"]) == ("finished", "mine", "quick")
    assert (found["command"], found["created"]) == ("rtfloor run mine.toml", "2026-01-02T03:04:05+00:00")
    assert found["warnings"] == ["a warning"]
    assert found["noise"]["processes"] == 6
    assert found["noise"]["sentence"]


def test_numbers_that_json_has_not_are_null_wherever_they_are(tmp_path: Path) -> None:
    # One NaN makes the whole document unreadable to strict readers.
    found = made(tmp_path, *every_kind(), facts={**FACTS, "host": {"frequency": math.inf}})
    assert found["cells"][1]["max_abs_error"] is None
    assert found["cells"][1]["snr_db"] is None
    assert found["host"]["frequency"] is None


def test_a_run_that_has_only_begun_can_be_shown(tmp_path: Path) -> None:
    found = made(tmp_path, {"c": spec()}, [], facts={})
    assert found["status"] is None
    assert found["warnings"] == []
    assert found["cells"][0]["status"] == "timeout"


def test_finite_keeps_what_is_fine() -> None:
    value = {"a": [1, 2.5, None, True, "x", {"b": (math.inf, -math.inf, math.nan, 0.0)}], 3: Path("p")}
    assert finite(value) == {"a": [1, 2.5, None, True, "x", {"b": [None, None, None, 0.0]}], "3": "p"}


def test_numpy_numbers_become_numbers() -> None:
    entry = cell_entry(CellSummary("c", spec(), "ok", p50_ms=np.float64(1.5), p99_ms=np.float64(np.nan)), Floors({}))
    assert json.loads(json.dumps(entry, allow_nan=False))["p50_ms"] == 1.5
    assert entry["p99_ms"] is None
