"""What one process left behind: every figure is computed from this."""

from __future__ import annotations

import numpy as np

from results.record import STATUSES, Record
from results.summary import GRAVITY


def test_settled_samples_leave_the_warm_up_out() -> None:
    samples = np.array([9, 9, 1, 2], np.int64)
    assert Record("c", 0, "ok", "", "", {}, samples, samples, 2).settled_ns.tolist() == [1, 2]
    assert Record("c", 0, "ok", "", "", {}, samples, samples).settled_ns.tolist() == [9, 9, 1, 2]


def test_a_process_without_an_answer_has_no_samples() -> None:
    one, other = (Record("c", number, "failed", "it crashed", "") for number in range(2))
    assert one.wall_ns.dtype == one.cpu_ns.dtype == np.int64
    assert one.settled_ns.size == 0
    assert one.facts == {}
    # Shared, one record's samples could turn up in another.
    assert one.wall_ns is not other.wall_ns


def test_every_ending_has_its_gravity() -> None:
    # One that is not listed would count as ok.
    assert {"ok", *GRAVITY} == set(STATUSES)
