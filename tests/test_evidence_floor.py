"""No committed measurement is below its floor: one that were would make every floor we draw a guess."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from support import ROOT

from reports import words
from results.floors import Floors
from results.peaks import Peaks
from results.runfile import RunFile
from results.summary import CellSummary, summarise

if TYPE_CHECKING:
    from pathlib import Path

EVIDENCE = ROOT / "results" / "evidence"
RUNS = sorted(EVIDENCE.glob("*.sqlite"))
PEAKS = EVIDENCE / "peaks" / "host.json"
# Below it there is nothing but the call itself.
CALLS_NOTHING = "null"


def floors_of(run: RunFile) -> Floors:
    """The run's own peaks; for older runs those measured later on the very same machine."""
    facts = run.facts()
    later = Peaks.from_json(json.loads(PEAKS.read_text("utf-8")))
    if later.fingerprint != facts["host"]["fingerprint"]:
        return Floors(facts)
    return Floors(facts, later)


def wants_floor(path: Path) -> bool:
    """Whether the run measured the machine's peaks; ``--no-floor`` leaves them out."""
    with RunFile.read(path) as run:
        return bool(run.facts().get("floor", True))


def test_most_committed_runs_know_the_peaks_of_their_machine() -> None:
    assert sum(map(wants_floor, RUNS)) > len(RUNS) / 2


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_no_sample_is_below_the_floor_of_its_precision(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not wants_floor(path):
        pytest.skip("measured with --no-floor")
    with RunFile.read(path) as run:
        floors, records = floors_of(run), list(run.records())
        cells = summarise(run.cells(), records)
    fastest_s: dict[str, float] = {}
    for record in records:
        if record.status == "ok" and record.wall_ns.size:
            fastest_s[record.cell] = min(fastest_s.get(record.cell, 1e9), float(record.wall_ns.min()) / 1e9)
    gaps: list[tuple[float, CellSummary]] = []
    for cell in cells:
        if cell.status != "ok" or cell.cell not in fastest_s:
            continue
        lines = floors.of(cell)
        assert lines is not None, f"{cell.cell}: {floors.why_not(cell)}"
        assert lines.floor_s <= fastest_s[cell.cell], f"{cell.cell} is below its floor: {lines}"
        if lines.ideal_s is not None and lines.none_s is not None:
            assert lines.floor_s <= lines.ideal_s <= lines.none_s
        gaps.append((lines.gap(fastest_s[cell.cell]), cell))
    assert gaps
    with capsys.disabled():
        closest, cell = min((gap for gap in gaps if gap[1].spec["model"] != CALLS_NOTHING), key=lambda gap: gap[0])
        said = f"{len(gaps)} cells, the closest to its floor is {cell.cell} at {words.digits(closest)} ×"
        sys.stdout.write(f"\n{path.stem}: {said}\n")
