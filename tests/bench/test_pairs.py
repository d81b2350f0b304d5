"""Which cells are measured together, and where: two sides on two cores differ by their neighbours."""

from __future__ import annotations

import base64
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from made import spec
from made_runner import Preparer, Quiet

from bench.duet import Duet, Played, Task
from bench.pairs import same_processors, together
from bench.plan import Cell, Plan
from bench.prepare import Ready
from bench.profile import profiles
from bench.run import Limits, Runner
from bench.spawn import Outcome
from results.gate_spec import Gate, Pair
from results.runfile import RunFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BASELINE, CANDIDATE = (Cell("net", "ln", "fake", "mono", 1, side=side) for side in ("baseline", "candidate"))
OTHER = Cell("other", "ln", "fake", "mono", 1)
READY = Ready(parent="answers.npz")


def test_the_two_of_a_pair_are_a_group_where_one_follows_the_other() -> None:
    pairs = [(BASELINE.id, CANDIDATE.id)]
    assert together([CANDIDATE, BASELINE, OTHER], pairs) == [[CANDIDATE, BASELINE], [OTHER]]
    assert together([CANDIDATE, OTHER, BASELINE], pairs) == [[CANDIDATE], [OTHER], [BASELINE]]
    assert together([BASELINE, CANDIDATE], []) == [[BASELINE], [CANDIDATE]]


def test_both_sides_get_the_same_processors_and_not_always_the_same_ones() -> None:
    ready = {BASELINE.id: READY, CANDIDATE.id: READY}
    seen = set()
    for seed in range(40):
        placed = same_processors([BASELINE, CANDIDATE], ready, (0, 1), str(seed))
        assert placed[BASELINE.id].cpus == placed[CANDIDATE.id].cpus
        assert placed[BASELINE.id].parent == READY.parent
        seen.add(placed[BASELINE.id].cpus)
    assert seen == {(0,), (1,)}


def test_the_side_with_fewer_threads_is_on_some_of_the_others() -> None:
    wide = replace(CANDIDATE, threads=2)
    placed = same_processors([BASELINE, wide], {BASELINE.id: READY, wide.id: READY}, (0, 1), "x")
    assert sorted(placed[wide.id].cpus) == [0, 1]
    assert set(placed[BASELINE.id].cpus) < {0, 1}


def test_a_place_that_somebody_chose_and_a_gpu_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {BASELINE.id: replace(READY, cpus=(1,)), CANDIDATE.id: READY}
    assert same_processors([BASELINE, CANDIDATE], chosen, (0, 1), "x") == chosen
    monkeypatch.setattr("bench.pairs.on_gpu", lambda _: True)
    plain = {BASELINE.id: READY, CANDIDATE.id: READY}
    assert same_processors([BASELINE, CANDIDATE], plain, (0, 1), "x") == plain


class Older(Preparer):
    """One whose baseline is served by the code in another folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def request(self, cell: Cell) -> dict[str, Any]:
        return super().request(cell) | ({"root": str(self._root)} if cell.side == "baseline" else {})


class Workers:
    """Answers every request, and writes down how it was asked."""

    def __init__(self) -> None:
        self.alone: list[dict[str, Any]] = []
        self.duets: list[tuple[Task, Task]] = []

    def spawn(self, request: dict[str, Any], environment: Any, timeout_s: float) -> Outcome:
        if request["task"] == "quality":
            return Outcome("ok", {"status": "ok", "reason": "", "quality": {"snr": 90.0}, "wrong": ""})
        self.alone.append(request)
        return self._answer(request)

    def duet(self, first: Task, second: Task, timeout_s: float) -> Duet:
        self.duets.append((first, second))
        return Played(self._answer(first.request), 1.0), Played(self._answer(second.request), 2.0)

    def _answer(self, request: dict[str, Any]) -> Outcome:
        middle = 1e6 * np.exp(0.001 * np.random.default_rng(len(self.duets)).standard_normal(40))
        wall = base64.b64encode(middle.astype("<i8").tobytes()).decode()
        facts = {"device": "cpu", "precision_ran": "fp32", "judged_as": "fp32"}
        return Outcome("ok", {"status": "ok", "reason": "", "wall_ns": wall, "cpu_ns": wall, **facts})


def measure(path: Path, workers: Workers, preparer: Preparer, **gate: Any) -> list[Any]:
    planned = Gate((Pair("net", BASELINE.id, CANDIDATE.id),), {"baseline": "b", "candidate": "c"}, **gate)
    plan = Plan("", "", "quick", {}, (BASELINE, CANDIDATE), gate=asdict(planned))
    specs = {cell.id: spec(runtime="fake", layout="mono") for cell in plan.cells}
    with RunFile.create(path, {"status": "running"}, specs) as run:
        runner = Runner(plan, profiles()["quick"], run, 7, workers.spawn, Limits(60.0, 1 << 30), Quiet(), workers.duet)
        runner.measure(preparer, {cell.id: READY for cell in plan.cells})  # type: ignore[arg-type]
        return list(run.records())


def test_a_gate_measures_its_pairs_in_turns(tmp_path: Path) -> None:
    workers = Workers()
    records = measure(tmp_path / "run.sqlite", workers, Preparer())
    assert workers.alone == []
    assert len(records) == 2 * len(workers.duets) > 20
    for first, second in workers.duets:
        assert first.request["affinity"] == second.request["affinity"]
        assert {first.request["cell"], second.request["cell"]} == {BASELINE.id, CANDIDATE.id}
    starts = [first.request["cell"] for first, _ in workers.duets]
    assert set(starts) == {BASELINE.id, CANDIDATE.id}, "a coin decides who goes first"
    # Each record has the time of its own process, and one of each cell was judged.
    for (first, _), both in zip(workers.duets, zip(records[::2], records[1::2], strict=True), strict=True):
        took = {record.cell: record.facts["took_s"] for record in both}
        assert took[first.request["cell"]] == 1.0
        assert sorted(took.values()) == [1.0, 2.0]
    assert [record.cell for record in records if "quality" in record.facts] in (
        [BASELINE.id, CANDIDATE.id],
        [CANDIDATE.id, BASELINE.id],
    )


def test_what_cannot_take_turns_is_measured_one_after_the_other(tmp_path: Path) -> None:
    old, apart = Workers(), Workers()
    measure(tmp_path / "old.sqlite", old, Older(tmp_path))
    measure(tmp_path / "apart.sqlite", apart, Preparer(), apart=True)
    for workers in (old, apart):
        assert workers.duets == []
        assert len(workers.alone) > 20
        for first, second in zip(workers.alone[::2], workers.alone[1::2], strict=True):
            assert first["affinity"] == second["affinity"]


def test_a_gpu_is_looked_at_before_turns_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.run.on_gpu", lambda _: True)
    workers = Workers()
    measure(tmp_path / "run.sqlite", workers, Preparer())
    assert [request["cell"] for request in workers.alone].count(BASELINE.id) == 1
    assert all(request["look"] for request in workers.alone)
    assert len(workers.duets) > 5
