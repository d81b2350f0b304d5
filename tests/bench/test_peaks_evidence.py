"""What is committed about this project's machine: within its limits, and told in the docs as it is."""

from __future__ import annotations

import json

import pytest
from support import ROOT

from bench.peaks.against_c import ARITHMETIC_LIMIT, BANDWIDTH_LIMIT, Row, markdown
from results.peaks import Peaks

EVIDENCE = ROOT / "results" / "evidence" / "peaks"
PAGE = (ROOT / "docs" / "peaks.md").read_text()


def test_our_kernels_and_those_in_c_agree() -> None:
    document = json.loads((EVIDENCE / "against_c.json").read_text())
    found = [Row(**row) for row in document["rows"]]
    limits = {row.what.partition(",")[0]: row.limit for row in found}
    assert {limits[level] for level in ("L1", "L2", "L3", "memory")} == {BANDWIDTH_LIMIT}
    assert {limits[precision] for precision in ("fp32", "fp64", "int8")} == {ARITHMETIC_LIMIT}
    assert {row.threads for row in found} == {1, document["host"]["cpus_usable"]}
    assert all(row.best_ratio == pytest.approx(row.ours_per_s / row.c_per_s) for row in found)
    assert [row.what for row in found if not row.within] == []
    # A ratio of bests of a few repeats would be luck.
    assert all(row.repeats >= 50 for row in found)
    table = markdown(found)
    assert (EVIDENCE / "against_c.md").read_text() == table
    assert table in PAGE


def test_the_page_quotes_the_figures_as_they_were_measured() -> None:
    peaks = Peaks.from_json(json.loads((EVIDENCE / "host.json").read_text()))
    rows: dict[str, dict[int, float]] = {}
    for row in peaks.arithmetic:
        rows.setdefault(f"| {row.precision} | `{row.isa}` |", {})[row.threads] = row.flops_per_s / 1e9
    for way in peaks.bandwidth:
        rows.setdefault(f"| {way.level} | {way.kind} |", {})[way.threads] = way.bytes_per_s / 1e9
    assert len(rows) > 20
    for begin, rates in rows.items():
        assert f"{begin} {rates[1]:.1f} | {rates[2]:.1f} |" in PAGE, begin
