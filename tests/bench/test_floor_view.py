"""Floor charts of machines that are not here: what the pages say of them is what the data says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from made import record, spec
from support import ROOT

from bench.cli.floor import floor
from bench.errors import UserError
from bench.floor_view import Measured, Wanted, is_this, machine_view
from results.floors import Floors
from results.hardware import hardware
from results.peaks import Peaks
from results.runfile import RunFile
from results.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path

PAGE = " ".join((ROOT / "docs" / "floor.md").read_text("utf-8").split())


def test_published_times_stand_over_the_floor_of_the_chip() -> None:
    view = machine_view(hardware("ryzen-7-5800x"), Wanted(), None)
    # The ladder is published as real-time factors; its end as a time.
    assert [bar.origin for bar in view.bars] == ["derived"] * 5 + ["published", "derived"]
    best = view.best
    assert best is not None
    assert best.gap is not None
    assert best.seconds == pytest.approx(11.9e-3)
    # The published figures of this model, over 8 cores at boost clock.
    assert f"{best.gap:.1f} times the floor" in PAGE
    base = best.gap * hardware("ryzen-7-5800x").facts["base_fp32_flops_per_s"] / 1203.2e9
    assert f"and {base:.1f} times at base clock" in PAGE
    assert {(line.precision, line.threads) for line in view.table} == {("fp32", 8), ("fp32", 1)}


def test_gpu_steps_are_compared_at_their_own_precision_and_the_processor_is_not() -> None:
    view = machine_view(hardware("rtx-3060"), Wanted(), None)
    gaps = {bar.label: bar.gap for bar in view.bars}
    assert gaps["CPU, 4‖4 threads"] is None
    floors = {line.precision: line.seconds for line in view.table if line.kind == "floor"}
    assert floors["fp32"] > floors["fp16"]
    best = view.best
    assert best is not None
    assert best.gap is not None
    assert f"1.44 ms is {best.gap:.0f} times the floor" in PAGE
    assert any(line.kind == "launch" for line in view.lines)


def test_calls_that_stay_on_the_gpu_do_not_stand_over_lines_with_the_bus() -> None:
    with RunFile.read(ROOT / "results" / "evidence" / "gpu.sqlite") as run:
        facts, cells = run.facts(), summarise(run.cells(), list(run.records()))
    floors = Floors(facts)
    here = replace(floors.peaks["gpu"], facts={"matches": ["H100 80GB HBM3"]})
    view = machine_view(here, Wanted(model="rt48", signal="stereo"), Measured(cells, floors, "a host", "a run"))
    assert any("ort-cuda" in bar.label for bar in view.bars)
    assert not any("device" in bar.label.split() for bar in view.bars)


def test_another_model_has_lines_and_no_published_bars() -> None:
    view = machine_view(hardware("ryzen-7-5800x"), Wanted(model="fast16", threads=(4,)), None)
    assert view.bars == ()
    assert {line.threads for line in view.lines} == {4}


def measured(host: str, peaks: Peaks | None = None) -> Measured:
    cells = summarise(
        {"c": spec(model="rt48", layout="par", runtime="ort-cpu")}, [record("c", 0, [int(12e6)] * 20, device="cpu")]
    )
    return Measured(cells, Floors({}, peaks), host, "here")


def test_measured_times_join_only_on_that_very_hardware() -> None:
    ryzen, gpu = hardware("ryzen-7-5800x"), hardware("rtx-3060")
    assert is_this(ryzen, measured("AMD Ryzen 7 5800X 8-Core Processor"))
    assert not is_this(ryzen, measured("AMD Ryzen 7 5800X3D 8-Core Processor"))
    assert not is_this(ryzen, measured("AMD EPYC"))
    called = {"NVIDIA GeForce RTX 3060": True, "NVIDIA GeForce RTX 3060 Ti": False}
    for title, same in called.items():
        there = Peaks("gpu", title, "gpu", 28, ())
        assert is_this(gpu, measured("a processor", there)) is same
    view = machine_view(ryzen, Wanted(), measured("AMD Ryzen 7 5800X 8-Core Processor", ryzen))
    assert [bar.origin for bar in view.bars].count("measured") == 1


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(model="nothing"), "models list"),
        (Wanted(precisions=("fp4",)), "there are fp64"),
        (Wanted(threads=(64,)), "runs 16 threads at once"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(wanted: Wanted, said: str) -> None:
    with pytest.raises(UserError, match=said):
        machine_view(hardware("ryzen-7-5800x"), wanted, None)


def test_a_profile_without_arithmetic_says_so() -> None:
    with pytest.raises(UserError, match="known: none"):
        machine_view(Peaks("bare", "Bare", "cpu", 1, ()), Wanted(), None)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(floor, arguments)


@pytest.mark.parametrize("kind", ["png", "svg", "md", "json"])
def test_every_kind_of_file_is_written(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "deep" / f"floor.{kind}"
    found = run("--hardware", "rtx-3060", "--results", str(tmp_path), "--out", str(out))
    assert found.exit_code == 0, found.output
    assert f"written: {out}" in found.output.replace("\n", " ")
    assert out.stat().st_size > 1000
    if kind == "json":
        (view,) = json.loads(out.read_text("utf-8"))
        assert view["bars"][-1]["origin"] == "published"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "x.gif"), "must end in one of"),
        (("--audio-seconds", "1"), "name it with --model"),
        (("--hardware", "nothing"), "ryzen-7-5800x"),
        (("--hardware", "rtx-3060", "nosuchrun"), "there is no run"),
    ],
)
def test_mistakes_are_told_with_the_next_step(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    found = run(*arguments, "--results", str(tmp_path))
    assert found.exception is not None
    assert said in str(found.exception)
