"""Pages say what committed runs say: their tables are made of the run files, to the letter."""

from __future__ import annotations

import re

import pytest
from support import ROOT

from reports import forms, work
from reports.answer import answer
from results.floors import Floors
from results.runfile import RunFile
from results.summary import CellSummary, summarise

EVIDENCE = ROOT / "results" / "evidence"


def cells(name: str) -> list[CellSummary]:
    with RunFile.read(EVIDENCE / f"{name}.sqlite") as run:
        return summarise(run.cells(), list(run.records()))


def on_page(marker: str) -> str:
    page = (ROOT / "docs" / "forms.md").read_text("utf-8")
    found = re.search(f"<!-- {marker} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found is not None, marker
    return found[1].strip()


@pytest.mark.parametrize("name", ["forms", "inversion"])
def test_the_table_on_the_page_is_that_of_the_run(name: str) -> None:
    made = forms.markdown(cells(name)) if name == "forms" else work.markdown(work.work_rows(cells(name)))
    assert on_page(name) == made.strip()


def test_the_best_rewrite_is_faster_than_the_published_one_beyond_doubt() -> None:
    rows = [row for race in forms.form_rows(cells("forms")).values() for row in race]
    best = [row for row in rows if row.cell.spec["runtime"] == "ort-cpu" and "ln_last" in row.cell.spec["form"]]
    assert len({row.cell.spec["model"] for row in best}) == 2
    timed = [row for row in best if row.interval is not None]
    assert all(row.interval.high < 1 for row in timed if row.interval is not None)


def test_both_inversions_show() -> None:
    lines = [line for line in work.inversions(work.work_rows(cells("inversion"))) if line.startswith("ort-cpu")]
    assert any("lite_4s has 0.52 × the parameters of teacher" in line for line in lines)
    assert any("fast_4s has 0.15 × the parameters of teacher" in line for line in lines)


def test_every_network_of_the_zoo_has_a_row_on_every_runtime() -> None:
    found = cells("zoo")
    assert {cell.spec["runtime"] for cell in found} == {"ort-cpu", "openvino", "tract", "tvm"}
    assert len({cell.spec["model"] for cell in found}) == len(found) / 4 == 29
    assert all(cell.status == "ok" or cell.reason for cell in found)
    assert all(cell.status == "ok" for cell in found if cell.spec["runtime"] == "ort-cpu")


def test_what_the_page_on_gpus_quotes_is_what_the_run_says() -> None:
    with RunFile.read(EVIDENCE / "gpu.sqlite") as run:
        facts, found = run.facts(), summarise(run.cells(), list(run.records()))
    said = list(answer(found, Floors(facts)))
    page = (ROOT / "docs" / "gpu.md").read_text("utf-8")
    quoted = page.partition("ends so")[2].split("```")[1].strip("\n").splitlines()
    assert len(quoted) > 5
    assert [line for line in quoted if line not in said] == []


def test_run_files_name_no_folder_of_the_machine_they_came_from() -> None:
    for path in EVIDENCE.rglob("*.*"):
        assert not re.search(rb"/(root|home|tmp|Users)/", path.read_bytes()), path.name
