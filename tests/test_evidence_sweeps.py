"""The committed sweep of options, and TVM tuned: their pages say what the runs say."""

from __future__ import annotations

import re

from support import ROOT

from reports import effects
from reports.words import milliseconds
from results.runfile import RunFile
from results.summary import CellSummary, summarise

EVIDENCE = ROOT / "results" / "evidence"


def read(name: str) -> tuple[dict[str, object], list[CellSummary]]:
    with RunFile.read(EVIDENCE / f"{name}.sqlite") as run:
        return run.facts(), summarise(run.cells(), list(run.records()))


def on_page(page: str, marker: str) -> str:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    found = re.search(f"<!-- {marker} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert found is not None, marker
    return found[1].strip()


def test_the_page_on_sweeps_says_what_the_sweep_of_options_found() -> None:
    (view,) = effects.views(*read("options"))
    assert on_page("sweeps", "options") == effects.markdown(view).strip()


def test_the_sweep_of_options_asked_every_axis_and_its_copies_were_alike() -> None:
    (view,) = effects.views(*read("options"))
    assert len({effect.arm.axis for effect in view.effects if effect.arm.kind == "value"}) >= 28
    copies = [effect for effect in view.effects if effect.arm.kind == "copy"]
    assert len(copies) >= 5
    assert all(effect.verdict == "no effect seen" for effect in copies)


def test_the_page_on_tvm_has_the_times_of_its_run() -> None:
    _, cells = read("tvm")
    page = on_page("runtimes", "tvm")
    trials = {cell.spec["options"]["trials"]: cell for cell in cells}
    assert {0, 64, 256} <= trials.keys()
    for number, cell in trials.items():
        assert cell.status == "ok", cell.reason
        assert f"| {number} | {milliseconds(cell.p50_ms)} |" in page
