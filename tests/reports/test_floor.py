"""Floor charts: a wrong gap tells somebody to stop too early, or to go on for ever."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from made import record, spec
from rich.console import Console

from reports.answer import floor_sentence
from reports.charts import canvas
from reports.charts.floor import description, floor_chart
from reports.document import floor_entry
from reports.floor import Bar, FloorView, Line, as_lines, markdown, run_views, table
from results.floor import Graph, Launch, lines
from results.floors import BELOW, Floors
from results.peaks import Arithmetic, Bandwidth, Level, Peaks
from results.summary import CellSummary, summarise

if TYPE_CHECKING:
    from pathlib import Path

HOST = Peaks(
    "host",
    "A machine",
    "cpu",
    2,
    (Level("L1", 1 << 20, private=True), Level("memory", None, private=False)),
    (Arithmetic("fp32", "simd", 2, 1e9), Arithmetic("bf16", "dot", 2, 4e9)),
    (Bandwidth("L1", "read", 2, 1e12), Bandwidth("memory", "read", 2, 1e10)),
)
# A million operations: 1 ms in fp32, 0.25 ms in bf16, for one channel.
NODES = [["n", "Conv", 500_000, 1_000_000, 400, 400, False, 0], ["t", "Transpose", 0, 0, 0, 4_000_000_000, True, None]]
TABLE: dict[str, Any] = {
    "columns": ["name", "operator", "multiply_adds", "flops", "weight_bytes", "activation_bytes", "moves", "group"],
    "nodes": NODES,
    "group_columns": [],
    "groups": [[500_000, 1_000_000, 400, 400]],
    "weight_bytes": {"32": 400},
    "io_bytes": 80,
    "unknown": {},
}
FACTS: dict[str, Any] = {"peaks": {"cpu": HOST.to_json(), "reasons": {}}, "graphs": {"abc": TABLE}}


def cells(*found: tuple[str, str, float]) -> list[CellSummary]:
    """Name, precision that ran, milliseconds."""
    specs = {
        name: spec(runtime=name, layout="mono", model_sha256="abc", precision="fp32", work=None) for name, _, _ in found
    }
    records = [record(name, 0, [int(ms * 1e6)] * 20, precision_ran=precision) for name, precision, ms in found]
    return summarise(specs, records)


def one_view(*found: tuple[str, str, float]) -> FloorView:
    (view,) = run_views(cells(*found), Floors(FACTS), "here")
    return view


def test_every_bar_is_compared_with_the_floor_of_its_own_precision() -> None:
    view = one_view(("a", "fp32", 2.0), ("b", "bf16", 1.0))
    gaps = {bar.label.split()[0]: bar.gap for bar in view.bars}
    assert gaps == {"a": pytest.approx(2.0), "b": pytest.approx(4.0)}
    assert [bar.label.split()[0] for bar in view.bars] == ["b", "a"]
    assert view.answer().startswith(
        "b raw bf16: 1.00 ms (measured) is 4.00 × the floor of 0.250 ms (bf16, derived from measured peaks)"
    )


def test_lines_of_every_precision_are_in_the_table() -> None:
    view = one_view(("a", "fp32", 2.0), ("b", "bf16", 1.0))
    floors = {line.precision: line.seconds for line in view.table if line.kind == "floor"}
    assert floors == {"fp32": pytest.approx(1e-3), "bf16": pytest.approx(0.25e-3)}
    kinds = [line.kind for line in view.lines]
    assert kinds == ["floor", "ideal", "none"]
    # 4 GB at 10 GB/s, half as wide in bf16: what a transpose of that size would cost on its own.
    assert view.lines[2].seconds == pytest.approx(0.2 + 0.25e-3, rel=0.01)


def test_what_has_no_floor_is_left_out_and_no_gap_is_made_up() -> None:
    assert run_views(cells(("a", "fp32", 2.0)), Floors({}), "here") == []
    assert Bar("x", 1.0, "published").gap is None


def test_a_wish_is_never_the_best() -> None:
    view = FloorView(
        "m",
        None,
        (Bar("real", 2.0, "published", "fp32", 1.0), Bar("wished", 1.5, "published", "fp32", 1.0, estimate=True)),
        (),
    )
    assert view.best is not None
    assert view.best.label == "real"


def test_formulas_say_how_a_floor_came_about() -> None:
    graph = Graph.from_table(TABLE, "fp32")
    assert graph is not None
    found = lines(graph, HOST, "fp32", 2)
    assert found is not None
    floor, ideal, none = as_lines(found, "A machine")
    assert floor.formula == "0.001 GFLOP / 1 GFLOP/s (simd, A machine)"
    assert ideal.formula.startswith("1 group, ")
    assert none.kind == "none"
    singly, graph = as_lines(found, "A GPU", launch=Launch(5e-6, 4e-6))[-2:]
    assert (singly.kind, singly.basis, singly.seconds) == ("launch", "measured peaks", 5e-6)
    assert (graph.kind, graph.basis, graph.seconds) == ("graph", "measured peaks", 4e-6)
    assert singly.formula == "1 kernel, one for each group of ideal fusion, each launched by itself"
    assert [line.kind for line in as_lines(found, "A GPU", launch=Launch(5e-6, None))][-1] == "launch"


def drawn(view: FloorView, path: Path) -> str:
    canvas.svg(floor_chart(view), path)
    return path.read_text("utf-8")


def test_the_chart_says_times_gaps_origins_and_lines(tmp_path: Path) -> None:
    text = drawn(one_view(("a", "fp32", 2.0), ("b", "bf16", 1.0)), tmp_path / "a.svg")
    for said in (
        "1.00 ms",
        "4.00 × floor",
        "2.00 × floor in fp32",
        "floor, bf16: 0.250 ms",
        "ideal fusion",
        "no fusion",
    ):
        assert said in text
    assert "Filled: measured" in text
    assert "ublished" not in text


def test_published_times_and_estimates_are_told_apart(tmp_path: Path) -> None:
    line = Line("floor", 1.0, "fp32", 8, "a datasheet", "arithmetic")
    bars = (Bar("theirs", 12.0, "published", "fp32", 1.0), Bar("wished", 9.0, "published", "fp32", 1.0, estimate=True))
    text = drawn(FloorView("A chip", 0.5, bars, (line,)), tmp_path / "a.svg")
    assert "Hatched: published, outlined: an estimate" in text
    assert "Lines: derived from a datasheet" in text
    assert "p50 per 500 ms of audio" in text


def test_a_chart_without_bars_shows_its_lines(tmp_path: Path) -> None:
    line = Line("floor", 1.0, "fp32", 8, "a datasheet", "arithmetic")
    text = drawn(FloorView("A chip", None, (), (line,)), tmp_path / "a.svg")
    assert "floor, fp32: 1000 ms" in text


def test_the_words_for_those_who_cannot_see_it() -> None:
    text = description(one_view(("a", "fp32", 2.0)))
    assert "a raw 2.00 ms, measured" in text
    assert "no fusion 401 ms" in text


def test_the_answer_says_how_far_or_why_not() -> None:
    (cell,) = cells(("a", "fp32", 2.0))
    said = floor_sentence(cell, Floors(FACTS))
    assert said.startswith("2.00 × the floor of 1.00 ms, which is arithmetic in fp32 on 2 threads; with ideal fusion")
    assert floor_sentence(cell, Floors({})).startswith("no floor: the peaks of the machine were not measured")


def test_a_time_below_its_floor_is_an_alarm_and_no_record() -> None:
    (cell,) = cells(("a", "fp32", 0.5))
    assert BELOW in floor_sentence(cell, Floors(FACTS))
    assert floor_entry(cell, Floors(FACTS))["floor"] is None
    assert BELOW in str(floor_entry(cell, Floors(FACTS))["floor_unknown"])
    assert BELOW in one_view(("a", "fp32", 0.5)).answer()


def test_table_and_markdown_say_the_same() -> None:
    view = one_view(("a", "fp32", 2.0), ("b", "bf16", 1.0))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table(view))
    for text in (console.export_text(), markdown(view)):
        assert "4.00 ×" in text
        assert "1.00 ms" in text
        assert "GFLOP/s (dot, A machine)" in text
    assert json.loads(json.dumps(view.to_json(), allow_nan=False))["bars"][0]["gap"] == pytest.approx(4.0)
