"""The claim that our kernels are as fast as C stands on this comparison: it must be able to say no."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click
import pytest

from bench.peaks import movers
from bench.peaks.against_c import ARITHMETIC_LIMIT, OURS, THEIRS, Pair, Row, compile_c, make_pairs, markdown, rows
from bench.peaks.crew import Crew, function
from bench.peaks.jit import Compiler
from bench.peaks.jobs import Movement, thread_bytes
from bench.peaks.kernels import machine

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 48 << 10


def pair(ours: list[float], theirs: list[float], size: int = 4096, kind: int = 0) -> Pair:
    mover = movers.movers({"sse2"})[kind]
    jobs = {side: Movement(mover, 1, 0, "L1", size) for side in (OURS, THEIRS)}
    return Pair(dict(jobs), 1, {OURS: ours, THEIRS: theirs})


def test_each_side_has_its_best_working_set_and_pairs_are_compared_in_turn() -> None:
    (row,) = rows([pair([10.0, 8.0], [9.0, 9.0]), pair([5.0, 11.0], [10.0, 4.0], size=8192)])
    assert (row.ours_per_s, row.c_per_s) == (11.0, 10.0)
    assert row.best_ratio == pytest.approx(1.1)
    # Of the set that is best for C: the middle of 0.5 and 2.75, on logs.
    assert row.median_ratio == pytest.approx((0.5 * 2.75) ** 0.5)


@pytest.mark.parametrize("ratio", [0.94, 1.06])
def test_too_far_apart_is_outside_whoever_is_faster(ratio: float) -> None:
    # If ours is much faster, the C kernel is no measure of anything.
    row = Row("fp32, fma", 1, ratio, 1.0, ratio, ratio, 10, ARITHMETIC_LIMIT)
    assert not row.within
    assert "**outside**" in markdown([row])
    assert Row("fp32, fma", 1, 1.0, 1.0, 1.04, 1.0, 10, ARITHMETIC_LIMIT).within


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_the_c_kernels_do_the_same_work(tmp_path: Path) -> None:
    compiler = Compiler()
    theirs = compile_c(tmp_path, "gcc")
    sets = {1: [("L1", SIZE)]}
    crew = Crew(compiler.address(movers.timed(), "timed"), compiler.address(movers.fill()), (0,), thread_bytes(sets))
    pairs = make_pairs(compiler, theirs, sets)
    if machine() in ("x86_64", "aarch64"):
        assert {one.jobs[OURS].name for one in pairs} >= {"read of L1", "write of L1", "copy of L1", "add of L1"}
        assert any(one.jobs[OURS].name.startswith("fp32") for one in pairs)
    for one in pairs:
        for side, timed in ((OURS, None), (THEIRS, function(theirs["c_timed"]))):
            job = one.jobs[side]
            assert job.run(crew, 3 * job.unit, timed)[1] == "", f"{job.name}, {side}"
    crew.close()


def test_no_compiler_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="--cc"):
        compile_c(tmp_path, "no-such-compiler")
