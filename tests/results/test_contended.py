"""Calls during which somebody else had the processors: they are found, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
from made import record

from results.contended import calls
from results.record import Record


def process(number: int, contended: float, *, threads: float = 1.0, scatter: float = 0.003, **facts: Any) -> Record:
    """One process whose calls take 10 ms of work; contended ones wait for a third of their time."""
    generator = np.random.default_rng(number)
    work = 1e7 * np.exp(0.003 * generator.standard_normal(200))
    waiting = generator.random(200) < contended
    wall = work * np.where(waiting, 1.5, 1.0)
    cpu = work * threads * np.exp(scatter * generator.standard_normal(200))
    made = record("c", number, wall.astype(int).tolist(), **facts)
    return Record("c", number, "ok", "", "", made.facts, made.wall_ns, cpu.astype(np.int64), 0)


def test_contended_calls_are_left_out_and_the_others_kept() -> None:
    found = calls([process(number, 0.3) for number in range(10)])
    for number, own in enumerate(found):
        truth = process(number, 0.3).wall_ns < 1.25e7
        assert (own.kept == truth).mean() > 0.99
        assert own.quiet_ns is not None
        assert np.median(own.quiet_ns) < 1.02e7


def test_a_quiet_machine_keeps_nearly_all() -> None:
    assert min(own.share for own in calls([process(number, 0.0) for number in range(10)])) > 0.95


def test_a_process_that_was_disturbed_throughout_is_seen_by_the_others() -> None:
    found = calls([process(0, 1.0), *(process(number, 0.0) for number in range(1, 8))])
    assert found[0].share == 0.0
    assert found[0].quiet_ns is None


def test_threads_that_scatter_by_themselves_are_not_contended() -> None:
    found = calls([process(number, 0.0, threads=1.8, scatter=0.06) for number in range(8)])
    assert min(own.share for own in found) > 0.75


def test_a_gpu_is_waited_for_and_nothing_is_left_out() -> None:
    found = calls([process(number, 0.5, device="cuda:0") for number in range(4)])
    assert all(own.share == 1.0 for own in found)


def test_no_processes_no_calls() -> None:
    assert calls([]) == []
