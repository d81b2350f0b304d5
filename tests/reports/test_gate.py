"""A gate in words and in the files that others read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from made import dead, record, spec
from made_runs import source

from reports import gate as gates
from reports.charts.every import charts
from reports.charts.gate import gate_chart
from reports.document import document_of
from reports.export import markdown
from reports.gate_formats import action_benchmark, junit, pytest_benchmark
from reports.page.page import page
from results.gate import Gated, of_run

if TYPE_CHECKING:
    from pathlib import Path

    from reports.source import Source
    from results.record import Record

OBJECTIVES = {"p50": 0.02, "memory": 0.05}


def plan(*titles: str) -> dict[str, Any]:
    pairs = [{"title": title, "baseline": f"{title}/b", "candidate": f"{title}/c"} for title in titles]
    says = {"baseline": "old.onnx", "candidate": "new|<b>.onnx"}
    return {"title": "gate", "gate": {"pairs": pairs, "says": says, "objectives": OBJECTIVES}}


def processes(title: str, change: float, count: int = 30) -> list[Record]:
    generator = np.random.default_rng(len(title))
    return [
        record(
            f"{title}/{side}",
            number,
            [int(1e7 * factor * np.exp(0.004 * generator.standard_normal()))] * 40,
            took_s=1.5,
        )
        for number in range(count)
        for side, factor in (("b", 1.0), ("c", 1.0 + change))
        for middle in [1e7 * np.exp(0.004 * generator.standard_normal())]
    ]


@pytest.fixture
def made(tmp_path: Path) -> Source:
    titles = ("same", "slower", "broken")
    cells = {f"{title}/{side}": spec() for title in titles for side in "bc"}
    records = [*processes("same", 0.0), *processes("slower", 0.08), dead("broken/c", 0, "wrong", "off by \x01 1")]
    return source(tmp_path / "gate.sqlite", cells, records, plan=plan(*titles))


def outcome(of: Source) -> Gated:
    found = of_run(of.facts, of.cells, of.records)
    assert found is not None
    return found


def test_a_person_sees_verdict_change_interval_and_what_would_have_been_seen(made: Source) -> None:
    lines = list(gates.sentences(outcome(made)))
    assert lines[0] == "gate: WRONG — new|<b>.onnx beside old.onnx"
    text = "\n".join(lines)
    assert re.search(r"regressed: slower, p50 \+[78]\.\d+ %", text)
    assert "pass: same, p50" in text
    assert "would have been seen" in text
    assert "wrong: broken, p50; the candidate gave no right answer" in text
    assert "at most 1 in 100 gates" in text


def test_junit_counts_failures_and_is_well_formed(made: Source) -> None:
    suite = ET.fromstring(junit(outcome(made), made.records))
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "6",
        "failures": "3",
        "errors": "0",
    }
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == [f"{title} {name}" for title in ("same", "slower", "broken") for name in OBJECTIVES]
    assert float(str(next(suite.iter("testcase")).get("time"))) == pytest.approx(90.0)


def test_what_others_read_is_json_with_their_keys(made: Source) -> None:
    entries = json.loads(action_benchmark(outcome(made)))
    assert {(entry["name"], entry["unit"]) for entry in entries} >= {("slower p50", "ms"), ("slower memory", "MB")}
    found = json.loads(pytest_benchmark(outcome(made), "candidate", made.facts, made.records))
    assert [one["name"] for one in found["benchmarks"]] == ["same", "slower"]
    stats = found["benchmarks"][1]["stats"]
    assert stats["rounds"] == 30
    assert stats["min"] <= stats["q1"] <= stats["median"] <= stats["q3"] <= stats["max"]
    assert stats["median"] == pytest.approx(0.0108, rel=0.01)


def test_page_markdown_and_document_have_the_verdict(made: Source) -> None:
    drawn = charts(made, ())
    text = page(made, drawn)
    assert "gate: WRONG" in text
    assert "new|&lt;b&gt;.onnx" in text
    assert "<b>.onnx" not in text
    said = markdown(made, drawn)
    assert "### rtfloor gate: wrong" in said
    assert "new\\|<b>" in said or "new|<b>" in said
    found = document_of("x", made.facts, made.cells, made.records)["gate"]
    assert (found["verdict"], found["exit_code"]) == ("wrong", 1)
    assert found["checks"][2]["views"]["all"]["pairs"] >= 10
    json.dumps(found, allow_nan=False)


def test_the_chart_has_a_row_per_comparison(made: Source) -> None:
    chart = gate_chart(outcome(made))
    assert chart is not None
    assert [row[0] for row in chart.rows].count("regressed") == 1
    axes = chart.figure.axes[0]
    assert len(axes.get_yticks()) == 6


def test_a_gate_that_was_stopped_has_no_verdict(tmp_path: Path) -> None:
    cells = {f"same/{side}": spec() for side in "bc"}
    stopped = source(tmp_path / "g.sqlite", cells, processes("same", 0.0), plan=plan("same"), status="interrupted")
    assert of_run(stopped.facts, stopped.cells, stopped.records) is None
    assert document_of("x", stopped.facts, stopped.cells, stopped.records)["gate"] is None
