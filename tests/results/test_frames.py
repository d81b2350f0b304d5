"""Frames: every figure of a run for those who compute on, with its origin and no sample lost or mixed up."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made import dead, record, spec
from made_runs import run_file, steady, two_runtimes

from results.frames import cells_frame, processes_frame, samples_frame
from results.runfile import RunFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    cells = two_runtimes()
    cells["quick"]["work"] = {"flops": 1000, "weight_bytes": 1, "activation_bytes": 2, "io_bytes": 3}
    records = [record("quick", n, steady(2, 10 + n, seed=n), warmup=n) for n in range(3)]
    return run_file(tmp_path / "run.sqlite", cells, [*records, dead("slow", 0, "timeout", "it hung")])


def test_a_cell_is_a_row_and_nothing_stands_for_what_was_not_measured(path: Path) -> None:
    with RunFile.read(path) as run:
        frame = cells_frame(run).set_index("cell")
    assert list(frame["status"]) == ["ok", "timeout", "unavailable"]
    quick, slow = frame.loc["quick"], frame.loc["slow"]
    assert quick["p50_low_ms"] < quick["p50_ms"] < quick["p50_high_ms"]
    assert np.isnan(slow["p50_ms"])
    assert slow["reason"] == "it hung"


def test_measured_and_counted_are_told_apart(path: Path) -> None:
    with RunFile.read(path) as run:
        frame = cells_frame(run).set_index("cell")
    assert frame.loc["quick", "origin"] == "measured"
    assert pd.isna(frame.loc["slow", "origin"])
    assert frame.loc["quick", "work_origin"] == "derived: counted from the graph"
    assert frame.loc["quick", "flops"] == 1000


def test_samples_stay_with_their_process_and_in_their_order(path: Path) -> None:
    with RunFile.read(path) as run:
        frame = samples_frame(run)
        records = [one for one in run.records() if one.wall_ns.size]
    assert len(frame) == sum(one.wall_ns.size for one in records)
    for one in records:
        mine = frame[(frame["cell"] == one.cell) & (frame["round"] == one.round)]
        assert list(mine["wall_ns"]) == list(one.wall_ns)
        assert list(mine["call"]) == list(range(one.wall_ns.size))
        assert mine["warmup"].sum() == one.warmup
    assert set(frame["origin"]) == {"measured"}
    assert set(frame["host"]) == {"0123456789ab"}


def test_a_process_that_died_is_a_row_too(path: Path) -> None:
    with RunFile.read(path) as run:
        frame = processes_frame(run)
    # In the order of rounds.
    assert list(frame["status"]) == ["ok", "timeout", "ok", "ok"]
    assert frame["p50_ns"].isna().tolist() == [False, True, False, False]


def test_a_run_without_processes_gives_frames_without_rows(tmp_path: Path) -> None:
    with RunFile.read(run_file(tmp_path / "run.sqlite", {"c": spec()})) as run:
        samples, cells = samples_frame(run), cells_frame(run)
        assert processes_frame(run).empty
    assert samples.empty
    assert {"cell", "round", "wall_ns", "origin"} <= set(samples.columns)
    assert list(cells["status"]) == ["timeout"]
