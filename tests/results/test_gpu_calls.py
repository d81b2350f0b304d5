"""What a GPU did is read from run files that anybody can write: a false figure must not become a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made import record, spec
from made_runs import run_file

from results.errors import RunFileError
from results.gpu_calls import gpu_call, held_back
from results.runfile import RunFile
from results.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path


def look(**changes: Any) -> dict[str, Any]:
    """What a process notes of ten calls of 83 kernels in one CUDA graph."""
    counts: dict[str, Any] = {
        "averaged_over": 10,
        "kernels": 83.0,
        "kernel_ns": 535_572.4,
        "busy_ns": 553_533.5,
        "copies": {
            "to device": {"count": 1.0, "bytes": 196_992.0},
            "from device": {"count": 1.0, "bytes": 196_992.0},
            "on device": {"count": 0.0, "bytes": 0.0},
            "other": {"count": 0.0, "bytes": 0.0},
        },
        "memsets": 0.0,
        "launches": 0.0,
        "graph_launches": 1.0,
        "synchronisations": 1.0,
        "calls": {"cudaGraphLaunch": 1.0},
        "by_kernel": [{"name": "conv", "count": 9.0, "ns": 142_000.0}, {"name": "norm", "count": 9.0, "ns": 82_200.0}],
        "kinds_of_kernels": 15,
        "dropped": 0,
    }
    clocks = {"calls": 200, "host_p50_ns": 664_498.0, "device_p50_ns": 619_104.0}
    return {"clocks": clocks, "counts": counts | changes}


def test_what_was_noted_comes_back_in_milliseconds() -> None:
    found = gpu_call(look())
    assert found.host_ms == pytest.approx(0.664498)
    assert found.device_ms == pytest.approx(0.619104)
    assert found.counted is not None
    assert found.counted.busy_ms == pytest.approx(0.5535335)
    assert found.counted.copies_to == (1.0, 196_992.0)
    assert [kernel.name for kernel in found.counted.longest] == ["conv", "norm"]


def test_what_nobody_could_see_stays_unknown_and_says_why() -> None:
    found = gpu_call({"notes": ["CUPTI is not installed"]})
    assert found.device_ms is None
    assert found.counted is None
    assert found.notes == ("CUPTI is not installed",)


@pytest.mark.parametrize("value", [None, "83", -1.0, float("nan"), float("inf"), True, []])
@pytest.mark.parametrize("key", ["kernels", "busy_ns", "graph_launches", "dropped", "kinds_of_kernels"])
def test_a_figure_that_is_none_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        gpu_call(look(**{key: value}))


@pytest.mark.parametrize(
    "damaged",
    [
        {"notes": "text"},
        {"notes": [1]},
        {"clocks": "text"},
        {"counts": [1]},
        {"clocks": {"host_p50_ns": 1.0}},
        look(by_kernel="conv"),
        look(by_kernel=["conv"]),
        look(copies={"to device": 3}),
    ],
)
def test_something_else_than_was_noted_is_refused(damaged: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="GPU did"):
        gpu_call(damaged)


def test_each_reason_that_held_clocks_back_is_named_once() -> None:
    seen = [{"clocks_held_back_by": ["power limit"]}, {}, {"clocks_held_back_by": ["power limit", "too hot"]}]
    assert held_back(seen) == ["power limit", "too hot"]


@pytest.mark.parametrize(
    "facts",
    [
        {"gpu": {"clocks_held_back_by": 5}},
        {"gpu": {"clocks_held_back_by": ["power limit", 5]}},
        {"gpu": {"sm_clock_hz": 5}},
        {"gpu": {"sm_clock_hz": [1.0]}},
        {"gpu": {"power_w": [1.0, "2"]}},
        {"look": look(kernels="many")},
        {"engine_facts": [1]},
    ],
)
def test_a_run_file_with_such_damage_is_refused_with_a_sentence(tmp_path: Path, facts: dict[str, Any]) -> None:
    path = run_file(tmp_path / "one.sqlite", {"a": spec()}, [record("a", **facts)])
    with RunFile.read(path) as run, pytest.raises(RunFileError, match="round 0 of cell 'a'"):
        list(run.records())


@pytest.mark.parametrize("gpus", [5, ["H100"], {"name": "H100"}])
def test_gpus_that_are_no_list_of_tables_are_refused(tmp_path: Path, gpus: object) -> None:
    path = run_file(tmp_path / "one.sqlite", {"a": spec()}, gpus=gpus)
    with RunFile.read(path) as run, pytest.raises(RunFileError, match="gpus"):
        run.facts()


def test_nodes_that_are_not_on_the_gpu_are_told_beside_the_time(tmp_path: Path) -> None:
    told = {"elsewhere": "some nodes have no kernel for the GPU", "nodes": {"TensorrtExecutionProvider": 3, "CPU": 1}}
    path = run_file(tmp_path / "one.sqlite", {"a": spec()}, [record("a", engine_facts=told)])
    with RunFile.read(path) as run:
        [cell] = summarise(run.cells(), run.records())
    assert "some nodes have no kernel for the GPU" in cell.notes
    assert "nodes by provider: TensorrtExecutionProvider 3, CPU 1" in cell.notes
