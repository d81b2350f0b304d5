"""Two workers in turns: one that fails must not take the other along, and only one may compute at a time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

import pytest
from support import fake_request

from bench import duet as module
from bench.duet import Duet, Task, duet, knows_turns
from bench.spawn import ROOT, Worker


def task(**options: Any) -> Task:
    request, environment = fake_request(process_s=0.3, latency_us=3000.0, **options)
    return Task({**request, "samples_most": 10_000, "samples_least": 3}, environment)


def play(first: Task, second: Task, timeout_s: float = 60.0) -> Duet:
    return duet(first, second, timeout_s)


def test_both_are_measured_and_waiting_is_nobodys_time() -> None:
    begin = time.monotonic()
    both = play(task(), task(seed=2))
    wall_s = time.monotonic() - begin
    for played in both:
        body = played.outcome.body
        assert body["status"] == "ok", body
        # 0.3 s in turns of 30 ms.
        assert 5 <= len(body["turns"]) <= 14
        assert body["turns"][0] == 0
        assert body["threads_used"] == 1
        assert body["parallelism"] < 1.1
        assert body["exit"] == 0
    assert sum(played.took_s for played in both) < wall_s + 0.1


def test_while_one_computes_the_other_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads that wait busily for work would compete with the other one.
    workers: list[Worker] = []
    states: list[set[str]] = []

    class Watched(Worker):
        def __enter__(self) -> Self:
            workers.append(self)
            super().__enter__()
            return self

        def turn(self) -> None:
            others = [worker for worker in workers if worker is not self]
            super().turn()
            # A third of the turn later, when the other has surely got its signal.
            time.sleep(0.01)
            states.append({state for worker in others for state in _states(worker._process.pid)})

    monkeypatch.setattr(module, "Worker", Watched)
    play(task(), task(seed=2))
    assert len(states) > 10
    # The last turns are those of one that is left; and on a busy machine, a signal may take its time.
    assert sum(seen == {"T"} for seen in states) > len(states) / 2, states


def _states(process: int) -> set[str]:
    """Of every thread of a process."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        return {(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads}
    except OSError:
        return set()


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("mode", "status"), [("wrong", "wrong"), ("raise", "failed"), ("unsupported", "failed"), ("late-wrong", "wrong")]
)
def test_one_that_gives_no_right_answer_leaves_the_other_alone(mode: str, status: str, place: int) -> None:
    tasks = [task(), task(mode=mode)] if place else [task(mode=mode), task()]
    both = play(tasks[0], tasks[1])
    assert both[place].outcome.body["status"] == status
    other = both[1 - place].outcome.body
    assert other["status"] == "ok", other
    assert len(other["wall_ns"]) > 100


@pytest.mark.parametrize("mode", ["crash", "exit"])
def test_one_that_dies_is_named_and_the_other_goes_on(mode: str) -> None:
    both = play(task(mode=mode), task())
    assert both[0].outcome.status == "failed"
    assert "SIGSEGV" in both[0].outcome.reason or "status 3" in both[0].outcome.reason
    assert both[1].outcome.body["status"] == "ok"


def test_a_hang_is_blamed_on_the_one_that_hangs() -> None:
    begin = time.monotonic()
    both = play(task(), task(mode="hang"), timeout_s=5.0)
    assert both[1].outcome.status == "timeout"
    assert "5 s" in both[1].outcome.reason
    assert both[0].outcome.body["status"] == "ok"
    assert time.monotonic() - begin < 30


def test_one_that_is_killed_while_it_is_stopped_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Doomed(Worker):
        turns = 0

        def turn(self) -> None:
            Doomed.turns += 1
            if Doomed.turns == 5:
                self._process.kill()
            super().turn()

    monkeypatch.setattr(module, "Worker", Doomed)
    both = play(task(), task(seed=2))
    assert both[0].outcome.status == "failed"
    assert "SIGKILL" in both[0].outcome.reason
    assert both[1].outcome.body["status"] == "ok"


def test_code_of_a_commit_before_there_were_turns_is_not_asked_to_take_them(tmp_path: Path) -> None:
    assert knows_turns({})
    assert knows_turns({"root": str(ROOT)})
    assert not knows_turns({"root": str(tmp_path)})
