"""Where the time of a call goes, in words and tables: the answer is first and says what could be spared."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from made import record
from made_runs import source, two_runtimes
from rich.console import Console

from reports import nodes as report
from reports.page.nodes import nodes_section
from results.nodes import NodeBound, NodeTime, NodeTimes

if TYPE_CHECKING:
    from pathlib import Path

NODES = (
    NodeTime("conv", "Conv", 60e3, 1.0, ("conv",), "jit"),
    NodeTime("turn", "Transpose", 20e3, 1.0, ("turn",)),
    NodeTime("in|out", "Loop", 4e3, 3.0),
)
COSTS = (
    NodeBound("conv", "Conv", 1000, 30e-6, 24e-6, moves=False),
    NodeBound("turn", "Transpose", 0, 5e-6, 0.0, moves=True),
    NodeBound("relu", "Relu", 10, 5e-6, 1e-6, moves=False),
)
TIMES = NodeTimes("ort-cpu", "1.2.3", 50, 100e3, NODES, ("A note.",), 100e3)


def text(times: NodeTimes = TIMES, costs: tuple[NodeBound, ...] = (), width: int = 150) -> str:
    console = Console(width=width, file=StringIO(), record=True)
    console.print(report.table("net/raw", times, costs))
    return console.export_text()


def test_the_answer_names_what_computes_nothing() -> None:
    assert report.answer(TIMES) == [
        "on ort-cpu 20.0 % of a call goes into Transpose, which computes nothing",
        "most of the rest goes into Conv: 60.0 %",
    ]
    assert report.answer(TIMES, COSTS) == [
        "on ort-cpu 20.0 % of a call goes into Transpose, which computes nothing and could take none of it",
        "most of the rest goes into Conv: 60.0 %, 2.50 times the least it could take",
    ]


def test_several_moving_operators_are_added_up() -> None:
    more = NodeTimes("tract", "1", 5, 100e3, (*NODES, NodeTime("cat", "Concat", 5e3)))
    assert report.answer(more)[0] == (
        "on tract 25.0 % of a call goes into nodes that compute nothing: Transpose 20.0 %, Concat 5.0 %"
    )


def test_nothing_to_spare_is_said_as_well() -> None:
    assert report.answer(NodeTimes("tract", "1", 5, 100e3, NODES[:1]))[0].startswith("on tract less than 1 % of a call")


def test_without_bounds_there_are_times_and_shares_alone() -> None:
    shown = text()
    assert "could take" not in shown
    assert "60.0 %" in shown
    assert "16.0 % of a call is outside any node" in shown
    assert "in|out × 3" in shown
    assert "note: A note." in shown


def test_with_bounds_the_table_says_what_each_could_take() -> None:
    shown = text(costs=COSTS)
    [line] = [line for line in shown.splitlines() if line.split()[:2] == ["Transpose", "1"]]
    assert line.split() == ["Transpose", "1", "20.0", "%", "20.0", "µs", "5.00", "µs", "4.00", "0"]
    assert "1 node of the model is fused or folded away: no node claims it (relu)" in shown


def test_an_engine_that_does_not_tell_is_not_accused() -> None:
    silent = NodeTimes("tvm", "1", 5, 100e3, (NodeTime("conv2d", "conv2d", 60e3),))
    shown = text(silent, COSTS)
    assert "could take" not in shown
    assert "does not tell which nodes of the model" in shown


def test_a_profile_that_slowed_its_nodes_down_warns() -> None:
    slowed = NodeTimes("torch", "1", 5, 100e3, NODES, (), 42e3)
    assert "nodes alone took 2.00 times as long as a plain call" in " ".join(report.remarks(slowed, ()))
    assert not report.remarks(NodeTimes("torch", "1", 5, 100e3, NODES, (), 80e3), ())


def test_a_page_has_the_answer_first_and_whole_rows() -> None:
    page = report.markdown("net/raw", TIMES, COSTS)
    lines = page.splitlines()
    assert lines[0] == "### net/raw on ort-cpu 1.2.3"
    assert lines[2] == f"- {report.answer(TIMES, COSTS)[0]}"
    rows = [line for line in lines if line.startswith("|")]
    assert "| in\\|out × 3 |" in page
    assert {line.replace("\\|", "").count("|") for line in rows} == {8, 9}


def test_scripts_get_what_people_see() -> None:
    found = report.as_json(TIMES, COSTS)
    assert found["gone"] == ["relu"]
    assert found["operators"][0]["operator"] == "Conv"
    assert found["nodes"][1]["ideal_ns"] == 0.0
    assert found["times"]["origin"] == "measured"


@pytest.mark.parametrize(
    "broken",
    [
        "no profiler",
        {"nodes": "?"},
        {"reason": "no profiler"},
        TIMES.to_json() | {"call_ns": "long"},
        TIMES.to_json() | {"plain_ns": float("nan")},
        TIMES.to_json() | {"runtime": 3},
        TIMES.to_json() | {"signals": 1.5},
    ],
)
def test_what_cannot_be_read_of_one_cell_costs_no_other(tmp_path: Path, broken: Any) -> None:
    kept = {"quick": TIMES.to_json(), "slow": broken}
    run = source(tmp_path / "run.sqlite", two_runtimes(), [record("quick"), record("slow")], node_times=kept)
    said = nodes_section(run).body
    assert "Not known: slow: " in said
    assert "no profiler" in said or "profile again: rtfloor nodes" in said
    assert "Nodes of quick" in said
