"""Who computed with how many threads: without it, the runtime that ignores its budget wins."""

import hashlib
import threading
import time
from pathlib import Path

import pytest

from bench import threads
from bench.threads import parallelism, thread_cpu_ns, threads_used

MS = 1_000_000


def test_a_thread_counts_from_a_tenth_of_the_time_on() -> None:
    after = {1: 100 * MS, 2: 10 * MS, 3: 9 * MS, 4: 0}
    assert threads_used({}, after, 100 * MS) == 2


def test_what_a_thread_did_before_does_not_count() -> None:
    # Loading is often parallel where running is not.
    before = {1: 500 * MS, 2: 700 * MS}
    assert threads_used(before, {1: 600 * MS, 2: 701 * MS}, 100 * MS) == 1


def test_a_thread_that_is_new_counts_from_nothing() -> None:
    assert threads_used({1: 5 * MS}, {1: 105 * MS, 9: 50 * MS}, 100 * MS) == 2


def test_threads_that_ended_meanwhile_do_not_make_it_negative() -> None:
    assert threads_used({1: 5 * MS, 2: 400 * MS}, {1: 105 * MS}, 100 * MS) == 1
    assert parallelism({1: 5 * MS, 2: 400 * MS}, {1: 105 * MS}, 100 * MS) == pytest.approx(1.0)


def test_parallelism_is_processors_kept_busy() -> None:
    # Eight threads that take turns on one processor are one processor's worth.
    after = dict.fromkeys(range(8), 25 * MS)
    assert parallelism({}, after, 100 * MS) == pytest.approx(2.0)
    assert threads_used({}, after, 100 * MS) == 8


@pytest.mark.parametrize(("after", "wall_ns"), [({}, 100 * MS), ({1: MS}, 0), ({1: MS}, -1)])
def test_unknown_is_unknown_and_not_zero(after: dict[int, int], wall_ns: int) -> None:
    # Zero threads would read as a budget kept.
    assert threads_used({}, after, wall_ns) is None
    assert parallelism({}, after, wall_ns) is None


def test_a_system_without_such_books_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(threads, "TASKS", tmp_path / "missing")
    assert thread_cpu_ns() == {}


def test_where_the_scheduler_keeps_no_books_ticks_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A thread's name may hold blanks and brackets; its times come after the last one.
    (tmp_path / "17").mkdir()
    fields = ["R", *("0" for _ in range(10)), "150", "50", *("0" for _ in range(30))]
    (tmp_path / "17" / "stat").write_text("17 (a) b (c) " + " ".join(fields))
    monkeypatch.setattr(threads, "TASKS", tmp_path)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
    assert thread_cpu_ns() == {17: 2_000_000_000}


def test_a_thread_that_ends_while_it_is_looked_at_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    monkeypatch.setattr(threads, "TASKS", tmp_path)
    assert thread_cpu_ns() == {}


def test_a_busy_thread_is_seen_and_an_idle_one_is_not() -> None:
    if not thread_cpu_ns():
        pytest.skip("this system does not say what threads did")
    stop, idents = threading.Event(), dict[str, int]()

    def busy() -> None:
        idents["busy"] = threading.get_native_id()
        block = bytes(1 << 20)
        while not stop.is_set():
            hashlib.sha256(block).digest()

    def idle() -> None:
        idents["idle"] = threading.get_native_id()
        stop.wait()

    workers = [threading.Thread(target=target) for target in (busy, idle)]
    before = thread_cpu_ns()
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 10
    after = thread_cpu_ns()
    # Until it had 20 ms of processor, however crowded the machine is.
    while after.get(idents.get("busy", 0), 0) < 20 * MS and time.monotonic() < deadline:
        time.sleep(0.005)
        after = thread_cpu_ns()
    stop.set()
    for worker in workers:
        worker.join()
    spent = {name: after[ident] - before.get(ident, 0) for name, ident in idents.items()}
    assert spent["busy"] >= 20 * MS
    assert spent["idle"] < spent["busy"] / 2
