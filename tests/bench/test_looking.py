"""Which process of a run looks at its GPU: one for every cell of a GPU, and never at the cost of the cell's time."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made import PHASES_NS, spec
from made_runner import Preparer, Quiet
from made_runs import FACTS

from bench.plan import Cell, Plan
from bench.prepare import Ready
from bench.profile import Profile
from bench.run import Limits, Runner
from bench.spawn import Outcome
from results.runfile import RunFile
from results.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROUNDS = 4
PROFILE = Profile("plain", "", 60.0, 0.1, ROUNDS, ROUNDS, 0.01, 60.0, race=False, race_margin=0.0)
GPU, OTHER_GPU, CPU = (Cell("net", "raw", runtime, "mono", 2) for runtime in ("quick-gpu", "slow-gpu", "cpu"))
SEEN = {"clocks": {"host_p50_ns": 2e5, "device_p50_ns": 1e5}}


class Workers:
    """Stands for real processes: answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.looks: Outcome | None = None  # instead of an answer, where it is asked to look
        self.plain: Outcome | None = None  # instead of an answer, where it is not
        self.stopped_after: int | None = None  # processes; the next one is interrupted by Ctrl-C

    def __call__(self, request: dict[str, Any], environment: Mapping[str, str], timeout_s: float) -> Outcome:
        if len(self.asked) == self.stopped_after:
            raise KeyboardInterrupt
        self.asked.append(request)
        if request["task"] == "quality":
            return Outcome("ok", {"status": "ok", "quality": {"snr_db": 90.0}, "wrong": ""})
        told = self.looks if request.get("look") else self.plain
        return told or answered(**({"look": SEEN} if request.get("look") and "gpu" in request["runtime"] else {}))

    def looked_at(self, cell: Cell) -> list[bool]:
        """For every process of a cell, whether it was asked to look."""
        measured = [request for request in self.asked if request["task"] == "measure"]
        return [bool(request.get("look")) for request in measured if request["runtime"] == cell.runtime]


def answered(**body: Any) -> Outcome:
    wall = base64.b64encode(np.full(50, 200_000, "<i8").tobytes()).decode()
    facts = {"phases_ns": PHASES_NS, "device": "cuda:0", "precision_ran": "fp32", "judged_as": "fp32"}
    return Outcome("ok", {"status": "ok", "reason": "", "wall_ns": wall, "cpu_ns": wall, **facts, **body})


def died(reason: str = "it crashed with SIGSEGV") -> Outcome:
    return Outcome("failed", {}, reason)


@pytest.fixture(autouse=True)
def _gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.run.on_gpu", lambda runtime: runtime.endswith("gpu"))


@pytest.fixture
def workers() -> Workers:
    return Workers()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "run.sqlite"
    RunFile.create(found, FACTS, {cell.id: spec(runtime=cell.runtime, layout="mono") for cell in CELLS}).close()
    return found


CELLS = (GPU, OTHER_GPU, CPU)


def measure(path: Path, workers: Workers, cells: tuple[Cell, ...] = CELLS, *, parent: str = "") -> dict[str, Any]:
    """Measure, or go on; the summaries of all cells, by cell."""
    plan = Plan("", "", "plain", {}, cells)
    with RunFile.resume(path) as run:
        runner = Runner(plan, PROFILE, run, 7, workers, Limits(60.0, 1 << 30), Quiet())
        runner.measure(Preparer(), {cell.id: Ready(parent=parent) for cell in cells})  # type: ignore[arg-type]
        return {item.cell: item for item in summarise(run.cells(), run.records())}


def looks(path: Path, cell: Cell) -> list[Any]:
    """What the records of a cell hold of looking, by round."""
    with RunFile.read(path) as run:
        return [record.facts.get("look") for record in run.records() if record.cell == cell.id]


def test_one_process_of_every_gpu_cell_looks_and_none_of_a_processors(path: Path, workers: Workers) -> None:
    # Looking takes seconds, and what it would see is the same every time.
    found = measure(path, workers)
    assert workers.looked_at(GPU) == workers.looked_at(OTHER_GPU) == [True, False, False, False]
    assert workers.looked_at(CPU) == [False] * ROUNDS
    assert [found[cell.id].status for cell in CELLS] == ["ok"] * 3
    assert found[GPU.id].gpu_call.device_ms == pytest.approx(0.1)
    assert found[CPU.id].gpu_call is None


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (died(), "it crashed with SIGSEGV"),
        (Outcome("timeout", {}, "no answer within 60 s"), "no answer within 60 s"),
        (Outcome("ok", {"status": "failed", "kind": "EngineError", "reason": "the GPU is lost"}), "the GPU is lost"),
    ],
    ids=["a crash", "a hang", "an error"],
)
def test_a_process_that_does_not_survive_being_looked_at_is_measured_again(
    path: Path, workers: Workers, end: Outcome, reason: str
) -> None:
    # A recorder that crashes in some driver must not take the cell's time along.
    workers.looks = end
    found = measure(path, workers, (GPU,))[GPU.id]
    assert workers.looked_at(GPU) == [True, *[False] * ROUNDS]
    assert (found.status, found.processes) == ("ok", ROUNDS)
    assert found.p50_ms == pytest.approx(0.2)
    said = f"nobody can say what the GPU does: a process that was looked at did not survive it ({reason})"
    assert looks(path, GPU) == [{"notes": [said]}, None, None, None]
    assert found.gpu_call.notes == (said,)


def test_a_cell_that_dies_unlooked_at_as_well_has_its_own_reason(path: Path, workers: Workers) -> None:
    workers.looks, workers.plain = died("it crashed with SIGABRT"), died("it crashed with SIGSEGV")
    found = measure(path, workers, (GPU,))[GPU.id]
    assert (found.status, found.reason, found.processes) == ("failed", "it crashed with SIGSEGV", 1)
    assert workers.looked_at(GPU) == [True, False]


@pytest.mark.parametrize(
    "end",
    [
        answered(status="failed", reason="a CUDA graph was asked for and none was launched", look=SEEN),
        answered(status="wrong", reason="before timing: output 'y'"),
        Outcome("ok", {"status": "unavailable", "reason": "onnxruntime fell back to the CPU"}),
    ],
    ids=["a broken promise", "a wrong answer", "a missing library"],
)
def test_an_answer_is_an_answer_though_it_was_looked_at(path: Path, workers: Workers, end: Outcome) -> None:
    # Asked again without looking, a broken promise would go unnoticed.
    workers.looks = end
    found = measure(path, workers, (GPU,))[GPU.id]
    assert workers.looked_at(GPU) == [True]
    assert (found.status, found.reason) == (end.body["status"], end.body["reason"])


def test_a_run_that_goes_on_does_not_look_again(path: Path, workers: Workers) -> None:
    workers.stopped_after = 5
    with pytest.raises(KeyboardInterrupt):
        measure(path, workers)
    before = [cell for cell in CELLS if looks(path, cell)]
    assert len(before) == 3
    again = Workers()
    found = measure(path, again)
    assert again.asked
    assert not [request for request in again.asked if request.get("look")]
    assert [found[cell.id].processes for cell in CELLS] == [ROUNDS] * 3


def test_neither_does_it_where_looking_once_was_deadly(path: Path, workers: Workers) -> None:
    workers.looks = died()
    workers.stopped_after = 3
    with pytest.raises(KeyboardInterrupt):
        measure(path, workers, (GPU,))
    again = Workers()
    measure(path, again, (GPU,))
    assert True not in again.looked_at(GPU)


def test_a_run_that_was_stopped_while_it_looked_looks_when_it_goes_on(path: Path, workers: Workers) -> None:
    workers.stopped_after = 0
    with pytest.raises(KeyboardInterrupt):
        measure(path, workers, (GPU,))
    again = Workers()
    measure(path, again, (GPU,))
    assert again.looked_at(GPU) == [True, False, False, False]


def test_where_there_was_nothing_to_see_nobody_looks_twice(path: Path, workers: Workers) -> None:
    # Another package's runtime may be on a GPU and tell nothing of it.
    workers.looks = answered()
    found = measure(path, workers, (GPU,))[GPU.id]
    assert workers.looked_at(GPU) == [True, False, False, False]
    assert (found.status, found.processes, found.gpu_call) == ("ok", ROUNDS, None)


@pytest.mark.parametrize("deadly", [False, True])
def test_quality_is_judged_once_whether_looking_was_survived_or_not(
    path: Path, workers: Workers, *, deadly: bool
) -> None:
    workers.looks = died() if deadly else None
    found = measure(path, workers, (GPU,), parent="raw.npz")[GPU.id]
    assert [request["task"] for request in workers.asked].count("quality") == 1
    assert found.quality == {"snr_db": 90.0}
    assert sum("answers_to" in request for request in workers.asked) == 1 + deadly
