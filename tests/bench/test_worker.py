"""A worker can fail in every way; each must become a reason, and never take the parent along."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import fake_request

from bench.spawn import Outcome, spawn


def measure(*, threads: int = 1, layout: str = "mono", timeout_s: float = 60.0, **options: Any) -> Outcome:
    """Measure the null model on the fake engine in a real worker."""
    request, environment = fake_request(threads=threads, layout=layout, **options)
    return spawn(request, environment, timeout_s)


def test_a_right_answer_brings_samples_phases_and_facts() -> None:
    body = measure().body
    assert body["status"] == "ok", body
    assert set(body["phases_ns"]) == {"start", "import", "load", "first_call"}
    assert all(value >= 0 for value in body["phases_ns"].values())
    assert body["error"]["max_abs"] == 0
    assert body["rss_peak_bytes"] > 1 << 20
    assert body["threads_used"] == 1
    assert body["precision_ran"] == "fp32"


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("wrong", "before timing: output 'y' of null/raw, channel 0, input 0: max abs error"),
        ("stale", "before timing"),
        ("shared", "before timing"),
        ("late-wrong", "while being timed"),
        ("late-stale", "while being timed"),
    ],
)
def test_an_answer_that_is_not_right_has_no_time(mode: str, reason: str) -> None:
    # A user would choose the engine that is fast because it does not compute.
    body = measure(mode=mode).body
    assert body["status"] == "wrong"
    assert reason in body["reason"]


def test_lower_precision_than_was_asked_for_is_wrong_and_is_named() -> None:
    body = measure(mode="bf16").body
    assert body["status"] == "wrong"
    assert body["precision_ran"] == "bf16"
    assert "(fp32)" in body["reason"]


def test_the_same_arithmetic_is_right_where_it_was_asked_for() -> None:
    body = measure(mode="bf16", precision="bf16").body
    assert body["status"] == "ok", body


def test_printing_cannot_corrupt_the_reply() -> None:
    outcome = measure(mode="garbage")
    assert outcome.body["status"] == "ok"
    assert "raw bytes" in outcome.tail


def test_a_crash_is_named_by_its_signal() -> None:
    outcome = measure(mode="crash")
    assert outcome.status == "failed"
    assert "SIGSEGV" in outcome.reason


def test_an_exit_is_named_by_its_status() -> None:
    outcome = measure(mode="exit")
    assert outcome.status == "failed"
    assert "status 3" in outcome.reason


def test_an_exception_is_the_reason() -> None:
    body = measure(mode="raise").body
    assert body["status"] == "failed"
    assert "told to raise" in body["reason"]


def test_a_model_that_is_refused_says_so() -> None:
    body = measure(mode="unsupported").body
    assert (body["status"], body["kind"]) == ("failed", "UnsupportedError")


def test_a_hang_ends_at_the_timeout() -> None:
    begin = time.monotonic()
    outcome = measure(mode="hang", timeout_s=2.0)
    assert outcome.status == "timeout"
    assert "2 s" in outcome.reason
    assert time.monotonic() - begin < 30


def test_memory_past_the_limit_is_refused_and_named() -> None:
    body = measure(mode="allocate").body
    assert body["status"] == "failed"
    assert "memory" in body["reason"]


def test_more_threads_than_the_budget_void_the_time() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one processor cannot show two busy threads")
    for _ in range(4):
        # Beside other programs the extra threads may get no processor, and then take none from anybody.
        body = measure(mode="greedy", latency_us=3000.0).body
        if body["parallelism"] > 1.2:
            break
    else:
        pytest.skip("other programs left the extra threads no processor")
    assert body["status"] == "failed", body
    assert "budget is 1" in body["reason"]


def test_a_worker_killed_from_outside_is_a_reason_not_a_crash() -> None:
    cell_worker: list[Outcome] = []
    import threading

    thread = threading.Thread(target=lambda: cell_worker.append(measure(mode="ok", latency_us=200_000.0)))
    thread.start()
    victim = _wait_for_worker()
    subprocess.run(["kill", "-SEGV", str(victim)], check=True)
    thread.join(timeout=60)
    assert cell_worker[0].status == "failed"
    assert "SIGSEGV" in cell_worker[0].reason


def _wait_for_worker() -> int:
    """The pid of our measuring worker: it has loaded the fake adapter."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for task in Path("/proc").glob("[0-9]*"):
            try:
                words = (task / "cmdline").read_bytes().split(b"\0")
                parent = (task / "stat").read_text().rpartition(")")[2].split()[1]
                ran_s = time.clock_gettime(time.CLOCK_BOOTTIME) - _started_s(task)
            except (OSError, IndexError):
                continue
            if b"bench.worker" in words and int(parent) == os.getpid() and ran_s > 1.5:
                return int(task.name)
        time.sleep(0.05)
    raise AssertionError("no worker was seen")


def _started_s(task: Path) -> float:
    ticks = int((task / "stat").read_text().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_an_unknown_task_is_an_answer() -> None:
    outcome = spawn({"task": "nonsense"}, {}, 30.0)
    assert outcome.body["status"] == "failed"
