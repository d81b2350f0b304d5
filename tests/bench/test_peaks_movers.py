"""Bandwidth is a promise, too: every byte that is counted must have been moved."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bench.peaks import movers
from bench.peaks.crew import Crew, Work, aligned, function
from bench.peaks.jit import Compiler, loop_of
from bench.peaks.jobs import Clock, Movement, thread_bytes
from bench.peaks.kernels import arm_features, machine

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 96 << 10
COMPILER = Compiler()
MOVERS = {mover.kind: mover for mover in movers.movers(COMPILER.features() | arm_features())}
ADDRESSES = {kind: COMPILER.address(mover.ir) for kind, mover in MOVERS.items()}
TIMED, FILL = COMPILER.address(movers.timed(), "timed"), COMPILER.address(movers.fill())


@pytest.fixture
def crew() -> Iterator[Crew]:
    made = Crew(TIMED, FILL, (0, 0), [SIZE, SIZE])
    yield made
    made.close()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", MOVERS)
def test_every_kind_moves_what_it_counts(kind: str, threads: int, crew: Crew) -> None:
    job = Movement(MOVERS[kind], threads, ADDRESSES[kind], "L2", SIZE)
    seconds, wrong = job.run(crew, 3 * job.unit)
    assert wrong == ""
    assert seconds > 0
    streams = {"read": 1, "write": 1, "copy": 2, "add": 3}[kind]
    assert job.rate(3 * job.unit, 1.0) == threads * 3 * (SIZE // streams // 1024 * 1024) * streams


def test_a_copy_and_a_sum_reach_every_word(crew: Crew) -> None:
    for kind, words, right in (
        ("copy", SIZE // 8, np.arange(SIZE // 8)),
        ("add", SIZE // 12, 2 * np.arange(SIZE // 12) + SIZE // 12),
        ("write", SIZE // 4, np.full(SIZE // 4, 0x01020304)),
    ):
        job = Movement(MOVERS[kind], 1, ADDRESSES[kind], "L2", SIZE)
        job.run(crew, job.unit)
        assert np.array_equal(crew.memory[0].b[:words], right), kind


@pytest.mark.parametrize(("kind", "instead"), [("copy", "read"), ("add", "copy"), ("write", "copy"), ("read", "write")])
def test_a_kernel_that_does_something_else_is_caught(kind: str, instead: str, crew: Crew) -> None:
    job = Movement(MOVERS[kind], 1, ADDRESSES[instead], "L2", SIZE)
    assert job.run(crew, job.unit)[1]


def test_half_a_pass_is_caught(crew: Crew) -> None:
    job = Movement(MOVERS["read"], 1, ADDRESSES["read"], "L2", SIZE)
    work = job.work(2 * job.unit)
    crew.run(1, Work(work.kernel, work.bytes, 2 * job.unit - 1, work.warm))
    assert "the sum of what it read" in job.wrong(crew.memory[0], work)


@pytest.mark.parametrize(
    ("kind", "loads", "stores"), [("read", 16, 0), ("write", 0, 16), ("copy", 16, 16), ("add", 32, 16)]
)
@pytest.mark.skipif(machine() != "x86_64", reason="reads the assembly of x86-64")
def test_the_loop_touches_memory_as_often_as_it_says(kind: str, loads: int, stores: int) -> None:
    found = [
        line for line in loop_of(COMPILER.assembly(MOVERS[kind].ir)) if "(%" in line and not line.startswith("lea")
    ]
    # In this notation what is written stands last.
    written = [line for line in found if line.rstrip().endswith(")")]
    assert (len(found) - len(written), len(written)) == (loads, stores)


@pytest.mark.parametrize("isa", [isa for isa, _, _ in movers.WIDTHS])
def test_every_width_can_be_compiled(isa: str) -> None:
    triple, cpu = ("aarch64-unknown-linux-gnu", "neoverse-v1") if isa == "neon" else ("x86_64-unknown-linux-gnu", "")
    for mover in movers.movers({isa}):
        assert mover.step_bytes == 16 * mover.bits // 8
        assert "kernel" in COMPILER.assembly(mover.ir, triple, cpu or "sapphirerapids")


def test_a_processor_with_no_known_vectors_has_no_movers() -> None:
    assert movers.movers({"v"}) == ()


def test_the_clock_counts_additions_that_wait_for_each_other(crew: Crew) -> None:
    # 64 per round, all on one register; the flags of an addition must not end the loop.
    job = Clock(2, COMPILER.address(movers.clock(machine())), aligned(np.ones(1, np.int64).tobytes()))
    assert job.run(crew, 1000)[1] == ""
    # Not of both threads together: they have a core each.
    assert job.rate(1000, 1.0) == 64_000


def test_nobody_starts_before_everybody_is_there(crew: Crew) -> None:
    timed, gate = function(TIMED), aligned(bytes(8)).view(np.int64)
    out, times = aligned(bytes(1 << 14)), aligned(bytes(256)).view(np.int64)
    memory, rounds = crew.memory[0], MOVERS["read"].step_bytes

    def come(which: int) -> None:
        to = times.ctypes.data + 64 * which
        addresses = (ADDRESSES["read"], out.ctypes.data, memory.a.ctypes.data, memory.b.ctypes.data)
        timed(*addresses, rounds, 1, 0, gate.ctypes.data, 2, to, time.CLOCK_MONOTONIC)

    first = threading.Thread(target=come, args=(0,))
    first.start()
    time.sleep(0.05)
    assert gate[0] == 1
    assert times[0] == 0, "it looked at the clock although the other was missing"
    came = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    come(1)
    first.join()
    assert times[0] * 10**9 + times[1] >= came


def test_a_thread_gets_memory_for_the_largest_set_it_takes_part_in() -> None:
    sets = {1: [("L1", 100), ("memory", 4000)], 4: [("L1", 100), ("memory", 1000)]}
    assert thread_bytes(sets) == [4000, 1000, 1000, 1000]
    assert thread_bytes({2: []}) == [4096, 4096]
