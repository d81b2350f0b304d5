"""What a reader is told of the GPU: where the time goes, and whether one call for both signals beats two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made import spec
from support import ROOT

from reports import duel, gpu, work
from reports.answer import answer
from reports.charts.every import SECTIONS
from reports.floor import as_lines, run_views
from reports.page.page import page
from reports.source import Source, read
from results.floor import launch
from results.frames import frame_of_cells
from results.gpu_calls import Counted, GpuCall, KernelTime
from results.peaks import Call
from results.summary import CellSummary

EVIDENCE = ROOT / "results" / "evidence" / "gpu.sqlite"


@pytest.fixture(scope="module")
def source() -> Source:
    return read(EVIDENCE)


def counted(**changes: Any) -> Counted:
    whole: dict[str, Any] = {
        "kernels": 83.0,
        "kernel_ms": 0.5,
        "busy_ms": 0.55,
        "launches": 0.0,
        "graph_launches": 1.0,
        "waits": 1.0,
        "copies_to": (1.0, 1000.0),
        "copies_from": (1.0, 1000.0),
        "copies_on": (0.0, 0.0),
        "longest": (KernelTime("conv", 9.0, 0.25),),
        "kinds": 15,
        "dropped": 0,
    }
    return Counted(**(whole | changes))


def on_gpu(layout: str, p50_ms: float, **changes: Any) -> CellSummary:
    """A right cell of a GPU with five rounds around its median."""
    medians = {number: p50_ms * 1e6 * (1 + 0.001 * (number % 3)) for number in range(5)}
    told = spec(layout=layout, runtime="ort-cuda")
    return CellSummary(layout, told, "ok", p50_ms=p50_ms, device="cuda:0", medians_ns=medians, **changes)


def test_a_sentence_says_how_long_the_gpu_works_and_how_its_kernels_are_started() -> None:
    cell = on_gpu("batch2", 1.0, gpu_call=GpuCall(counted=counted()))
    assert gpu.sentence(cell) == "the GPU is at work for 0.550 ms of it (55%): 83 kernels, 1 CUDA graph"
    singly = on_gpu("seq", 1.0, gpu_call=GpuCall(counted=counted(launches=83.0, graph_launches=0.0)))
    assert gpu.sentence(singly).endswith("83 kernels, 83 launched one by one")


def test_a_gpu_that_was_busier_when_recorded_than_a_call_takes_is_not_given_a_share_of_it() -> None:
    cell = on_gpu("batch2", 0.5, gpu_call=GpuCall(counted=counted()))
    assert "all the time (0.550 ms in calls that were recorded)" in gpu.sentence(cell)
    assert "%" not in gpu.sentence(cell)


def test_lost_records_are_never_passed_over() -> None:
    cell = on_gpu("batch2", 1.0, gpu_call=GpuCall(counted=counted(dropped=7)))
    assert "7 records were lost" in gpu.sentence(cell)


def test_where_nobody_looked_nothing_is_said() -> None:
    assert gpu.sentence(on_gpu("batch2", 1.0)) == ""
    assert gpu.markdown([on_gpu("batch2", 1.0)]) == ""


def test_one_call_after_the_other_has_no_time_by_the_gpus_clock(source: Source) -> None:
    # The clock is read at both ends of one call, so that it would show half. This run still noted it.
    found = {cell.spec["layout"]: cell.gpu_call for cell in source.cells if cell.gpu_call is not None}
    assert found["seq"] is not None
    assert found["seq"].device_ms is None
    assert found["seq"].counted is not None
    assert found["batch2"] is not None
    assert found["batch2"].device_ms is not None


def test_pairs_that_differ_in_the_layout_alone_are_compared_with_the_better_of_two_side_by_side() -> None:
    cells = [on_gpu("batch2", 0.8), on_gpu("streams", 1.0), on_gpu("par", 1.2), on_gpu("seq", 0.1)]
    [found] = duel.duels(cells)
    assert found.apart.spec["layout"] == "streams"
    assert found.ratio == pytest.approx(0.8, rel=1e-3)
    assert found.interval is not None
    [text] = duel.sentences(cells)
    assert "in 1 pair that" in text
    assert text.endswith("faster in 1 (1 beyond doubt), slower in none")


def test_a_pair_with_other_options_or_another_form_is_no_pair() -> None:
    other = on_gpu("streams", 1.0)
    other = replace(other, spec={**other.spec, "form": "ln"})
    assert duel.duels([on_gpu("batch2", 0.8), other]) == []
    changed = on_gpu("streams", 1.0)
    changed = replace(changed, spec={**changed.spec, "options": {"cuda_graph": True}, "changed": ["cuda_graph"]})
    assert duel.duels([on_gpu("batch2", 0.8), changed]) == []


def test_processors_have_no_such_duel() -> None:
    cells = [replace(on_gpu(layout, 1.0), device="cpu") for layout in ("batch2", "par")]
    assert duel.duels(cells) == []
    assert list(duel.sentences(cells)) == []


def test_a_slower_single_call_is_told_as_such() -> None:
    [text] = duel.sentences([on_gpu("batch2", 1.3), on_gpu("streams", 1.0)])
    assert text.endswith("faster in none, slower in 1 (1 beyond doubt)")


def test_a_clear_loss_is_never_counted_among_the_wins() -> None:
    loss = [on_gpu("batch2", 1.3), on_gpu("streams", 1.0)]
    win = [
        replace(cell, spec={**cell.spec, "form": "ln"}, medians_ns={0: cell.p50_ms * 1e6 if cell.p50_ms else 0.0})
        for cell in (on_gpu("batch2", 0.9), on_gpu("streams", 1.0))
    ]
    [text] = duel.sentences([*loss, *win])
    assert text.endswith("faster in 1 (0 beyond doubt), slower in 1 (1 beyond doubt)")


# From the run on a GPU that is committed.


def test_the_answer_of_the_committed_run_says_what_the_gpu_does(source: Source) -> None:
    said = "\n".join(answer(source.cells, source.floors))
    assert "the GPU is at work for 0.554 ms of it (85%): 83 kernels, 1 CUDA graph" in said
    assert "in fp32 on the whole GPU" in said
    assert "in 5 pairs that differ in nothing else: faster in 5 (0 beyond doubt), slower in none" in said


def test_device_to_device_is_a_race_of_its_own_whose_floor_has_no_bus(source: Source) -> None:
    kinds = {race[1] for race in source.races}
    assert kinds == {"stereo", "stereo, device to device", "mono"}
    device = [cell for cell in source.cells if cell.race[1].endswith("device to device")]
    assert device
    limits = {lines.limit for cell in device if (lines := source.floors.of(cell)) is not None}
    assert "PCIe" not in limits


def test_the_floor_chart_of_a_gpu_has_launch_lines_and_what_was_published_of_another_one(source: Source) -> None:
    views = {view.title: view for view in run_views(source.cells, source.floors, "here")}
    view = views["NVIDIA H100 80GB HBM3: rt48, stereo"]
    assert {line.kind for line in view.lines} == {"floor", "ideal", "none", "launch", "graph"}
    published = [bar for bar in view.bars if bar.origin != "measured"]
    assert any("TensorRT" in bar.label and "RTX 3060" in bar.label for bar in published)
    # Another machine's times say nothing about this one's floor.
    assert all(bar.floor_s is None for bar in published)
    assert view.best is not None
    assert view.best.origin == "measured"


def test_launching_as_one_graph_costs_less_than_one_by_one(source: Source) -> None:
    peaks = source.floors.peaks["gpu"]
    found = launch(peaks, 36)
    assert found is not None
    assert found.singly_s == pytest.approx(36 * (peaks.call_s("launch") or 0))
    assert found.graph_s is not None
    assert 0 < found.graph_s < (found.singly_s or 0)
    assert launch(peaks, 0) is None
    assert launch(replace(peaks, device="cpu"), 36) is None
    half = launch(replace(peaks, calls=(Call("launch", None, 4e-6),)), 2)
    assert half is not None
    assert half.graph_s is None


def test_a_processors_lines_have_no_launches(source: Source) -> None:
    cell = next(cell for cell in source.cells if cell.spec["runtime"] == "ort-cpu")
    lines = source.floors.of(cell)
    assert lines is not None
    assert {line.kind for line in as_lines(lines, "a processor")} == {"floor", "ideal", "none"}


def test_the_page_has_a_section_on_the_gpu_only_where_one_was_looked_at(source: Source) -> None:
    charts: dict[str, list[Any]] = {name: [] for name in SECTIONS}
    made = page(source, charts)
    assert "What the GPU does in a call" in made
    assert "NVIDIA H100 80GB HBM3" in made
    other = read(ROOT / "results" / "evidence" / "cpu.sqlite")
    assert "What the GPU does in a call" not in page(other, charts)


def test_what_nvml_saw_is_told_with_its_range(source: Source) -> None:
    told = dict(gpu.watched(source.records))
    assert told["sm clock"] == "1980 MHz"
    assert told["clocks held back by"] == "nothing"
    line = gpu.described({"name": "H100", "memory_bytes": 80 << 30, "driver": "580", "temperature_c": 39.0})
    assert line == "H100, 80 GiB, driver 580, 39 °C"
    hot = gpu.described({"name": "H100", "clocks_held_back_by": ["power limit"]})
    assert hot.endswith("its clocks are held back: power limit")


def test_a_table_for_those_who_compute_on_has_what_the_gpu_does(source: Source) -> None:
    frame = frame_of_cells(source.cells, source.facts, "gpu").set_index("cell")
    best = frame.loc["rt48/ln/ort-cuda/batch2/16/cuda_graph=true"]
    assert best["gpu_kernels"] == 83
    assert best["gpu_graph_launches"] == 1
    assert best["gpu_copied_bytes"] == 2 * 196_992
    assert best["gpu_busy_ms"] < best["p50_ms"]
    assert frame.loc["rt48/ln/ort-cpu/par/16", ["gpu_kernels", "gpu_clock_ms"]].isna().all()


def test_calls_without_transfers_never_stand_for_a_model_beside_calls_with_them(source: Source) -> None:
    device = [cell for cell in source.cells if cell.race[1].endswith("device to device")]
    slower = [replace(cell, p50_ms=1.0) for cell in device]
    assert device
    assert work.work_rows(slower) == []
    kept = {row.cell.cell for row in work.work_rows(source.cells)}
    assert not kept & {cell.cell for cell in device}
