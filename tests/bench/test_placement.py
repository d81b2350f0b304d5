"""Threads on processors that somebody else chose: the wrong ones make every figure of a placement a lie."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bench.placement import any_cores, place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def smt(tmp_path: Path) -> Path:
    """Four cores of two hardware threads, numbered as Linux does: 0 to 3, then their siblings 4 to 7."""
    for cpu in range(8):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "core_cpus_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    return tmp_path


def test_apart_gives_every_thread_a_core_of_its_own(smt: Path) -> None:
    assert place("apart", 4, range(8), smt) == (0, 1, 2, 3)
    assert place("apart", 2, (0, 4, 1, 5), smt) == (0, 1)


def test_together_fills_both_threads_of_a_core_before_the_next(smt: Path) -> None:
    assert place("together", 2, range(8), smt) == (0, 4)
    assert place("together", 4, range(8), smt) == (0, 1, 4, 5)
    # A core of which only one thread may be used comes last.
    assert place("together", 2, (0, 1, 5), smt) == (1, 5)


@pytest.mark.parametrize(
    ("placement", "threads", "cpus", "words"),
    [
        ("apart", 3, (0, 4, 1, 5), "3 threads cannot each have a core of their own: there are 2"),
        ("apart", 9, range(8), "do not fit 8 processors"),
        ("together", 2, (0, 1, 2, 3), "no two processors share a core"),
        ("together", 1, range(8), "one thread"),
    ],
)
def test_a_placement_that_cannot_be_had_says_why(
    placement: str, threads: int, cpus: tuple[int, ...], words: str, smt: Path
) -> None:
    found = place(placement, threads, cpus, smt)
    assert isinstance(found, str)
    assert words in found


def test_any_cores_are_cores_of_their_own_that_lie_beside_each_other(smt: Path) -> None:
    drawn = {any_cores(2, range(8), random.Random(seed), smt) for seed in range(60)}
    assert drawn == {(0, 1), (1, 2), (2, 3), (3, 0)}
    assert {any_cores(1, (1, 5, 2), random.Random(seed), smt) for seed in range(60)} == {(1,), (2,)}


def test_more_threads_than_cores_take_second_threads_and_no_more_than_there_are(smt: Path) -> None:
    assert any_cores(8, range(8), random.Random(1), smt) == tuple(range(8))
    assert any_cores(9, range(4), random.Random(1), smt) == (0, 1, 2, 3)
    for seed in range(20):
        drawn = any_cores(3, (0, 4, 1, 5), random.Random(seed), smt)
        assert len(set(drawn)) == 3
        assert set(drawn) <= {0, 4, 1, 5}
