"""The table of a run: what is not in it was not measured, and what is in it was right."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from made import dead, record, spec
from rich.console import Console

from reports import words
from reports.table import SPARED, races, tables
from results.summary import CellSummary, summarise

MS = 1_000_000


def text(cells: Sequence[CellSummary], width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(tables(cells, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def measured(levels: dict[str, float], **changes: dict[str, Any]) -> list[CellSummary]:
    """Cells named after their runtime, with these times in milliseconds; 0 is a wrong one."""
    specs = {name: spec(runtime=name, **changes.get(name, {})) for name in levels}
    records: list[Any] = []
    for name, level in levels.items():
        if level:
            wobble = [1 + 0.001 * ((7 * number) % 5) for number in range(5)]
            records += [record(name, number, [int(level * MS * wobble[number])] * 200) for number in range(5)]
        else:
            records.append(dead(name, 0, "wrong", "before timing: max abs error 3.1e+00"))
    return summarise(specs, records)


def test_the_fastest_comes_first_whatever_the_plans_order() -> None:
    lines = text(measured({"slow": 3.0, "fast": 1.0, "middle": 2.0})).splitlines()
    rows = [line.split()[:2] for line in lines if line.split()[1:2] and line.split()[1] in ("fast", "middle", "slow")]
    assert rows == [["1", "fast"], ["2", "middle"], ["3", "slow"]]


def test_every_figure_is_under_its_heading() -> None:
    shown = text(measured({"fast": 1.0}))
    for heading in ("rank", "runtime", "form", "layout", "threads", "p50", "±", "p90", "p99", "RTF ↓", "× real time ↑"):
        assert heading in shown
    for figure in ("1.00 ms", "±0.2 %", "0.100", "9.98", "100 ms", "100 MB", "1.0e-06 120 dB", "1/2"):
        assert figure in shown


def test_what_is_not_right_stands_below_with_its_reason_and_without_a_time() -> None:
    shown = text(measured({"right": 2.0, "liar": 0.0}))
    (line,) = [line for line in shown.splitlines() if "liar" in line]
    assert "WRONG" in line
    assert "max abs error" in line
    assert " ms" not in line


def test_a_race_in_which_nothing_was_right_is_there_all_the_same() -> None:
    shown = text(measured({"liar": 0.0}))
    assert "net, stereo, 2 threads" in shown
    assert "WRONG" in shown
    assert "rank" not in shown


def test_each_race_has_a_table_of_its_own() -> None:
    cells = measured({"a": 1.0, "b": 1.0}, b={"layout": "mono"})
    assert list(races(cells)) == [("net", "stereo", 2), ("net", "mono", 2)]
    shown = text(cells)
    assert shown.index("net, stereo, 2 threads") < shown.index("net, mono, 2 threads")
    assert shown.count("rank") == 2


def test_cells_that_tie_stand_in_the_order_of_their_times() -> None:
    cells = [
        CellSummary("b", spec(runtime="b"), "ok", p50_ms=2.0, rank=1),
        CellSummary("none", spec(runtime="none"), "failed", "x"),
        CellSummary("a", spec(runtime="a"), "ok", p50_ms=1.0, rank=1),
    ]
    assert [cell.cell for cell in races(cells)["net", "stereo", 2]] == ["a", "b", "none"]


def test_notes_are_shown() -> None:
    cells = [CellSummary("c", spec(), "ok", p50_ms=1.0, rank=1, notes=("asked for fp32, ran bf16",))]
    assert "note: fake raw seq: asked for fp32, ran bf16" in text(cells)


def test_names_and_reasons_with_square_brackets_are_shown_as_they_are() -> None:
    # The terminal library takes [v2] for a colour and [/x] for a mistake.
    model = {"model": "net[v2]", "options": {"path": "[bold]x[/y]"}, "changed": ["path"]}
    cells = measured({"odd": 1.0, "liar": 0.0}, odd=model, liar={"model": "net[v2]"})
    cells.append(CellSummary("r", spec(model="net[v2]"), "failed", "operator [Loop] in [/graph/loop] is not supported"))
    shown = text(cells)
    assert "net[v2], stereo, 2 threads" in shown
    assert "path=[bold]x[/y]" in shown
    assert "operator [Loop] in [/graph/loop] is not supported" in shown


@pytest.mark.parametrize("width", [70, 80, 100, 120, 170])
def test_a_narrow_terminal_loses_columns_and_not_the_answer(width: int) -> None:
    shown = text(measured({"fast": 1.0, "slow": 2.0}), width)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= width
    for word in ("rank", "runtime", "p50", "p99", "RTF", "fast", "slow", "1.00 ms"):
        assert word in shown
    assert "…" not in shown
    if width == 170:
        # Of cells that are all in the form raw, nothing stands beside it.
        assert all((name in shown) == (name != "beside raw") for name in SPARED)


def test_a_long_name_does_not_cut_figures_short() -> None:
    # "1.0…" could be 1.0 or 1.09, and milliseconds or seconds.
    options = {"graph_optimization_level": "extended", "execution_mode": "parallel"}
    long = {"options": options, "changed": list(options), "version": "2026.1.0"}
    cells = measured({"onnxruntime": 1.234}, onnxruntime=long)
    shown = text(cells, 80)
    assert "…" not in shown
    for figure in (words.milliseconds(cells[0].p50_ms), words.spread(cells[0]), words.digits(cells[0].rtf or 0)):
        assert figure in shown


def test_no_cells_are_no_table() -> None:
    assert text([]).strip() == ""
