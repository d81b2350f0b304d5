"""Turns of a sitting: a figure from a moment that does not represent the GPU would be taken for its peak."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from bench.peaks_cuda.sitting import MOST_ITERATIONS, Sitting, calibrate, hold
from runtimes.gpu.driver import CudaError

if TYPE_CHECKING:
    from collections.abc import Callable


class Steady:
    """Something that takes so many seconds per iteration, from the first call on or only later."""

    work = 100.0

    def __init__(self, name: str, log: list[str], each_s: float = 1e-6) -> None:
        self.name, self.log, self.each_s = name, log, each_s
        self.counts: list[int] = []

    def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
        self.log.append(self.name)
        self.counts.append(iterations)
        if meanwhile is not None:
            meanwhile()
        return iterations * self.each_s

    def wrong(self, iterations: int) -> str:
        return ""

    def clock_hz(self, seconds: float) -> float | None:
        return 2e9


def sit(*probes: Steady, repeats: int = 5, meanwhile: Callable[[], None] | None = None) -> Sitting:
    builders = {probe.name: (lambda probe=probe: probe) for probe in probes}
    return hold(builders, random.Random(3), repeats=repeats, target_s=6e-3, warm_up_s=0.1, meanwhile=meanwhile)


def test_probes_take_turns_in_changing_order() -> None:
    # A slow moment must not fall on all repeats of one kernel.
    log: list[str] = []
    probes = [Steady(name, log) for name in "abcd"]
    sitting = sit(*probes, repeats=6)
    rounds = ["".join(log[-24:][index : index + 4]) for index in range(0, 24, 4)]
    assert all(sorted(each) == list("abcd") for each in rounds)
    assert len(set(rounds)) > 1
    assert all(len(rates) == 6 for rates in sitting.rates.values())
    assert sitting.rates["a"][0] == pytest.approx(100 / 1e-6)
    assert sitting.clocks_hz["a"] == [2e9] * 6


def test_a_gpu_is_woken_before_anything_counts() -> None:
    log: list[str] = []
    first = Steady("a", log)
    sit(first, Steady("b", log))
    busy_s = sum(first.counts[:-6]) * first.each_s
    assert busy_s >= 0.1


def test_a_clock_that_rises_does_not_make_repeats_short() -> None:
    class Rising(Steady):
        def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
            # Measured it is ten times as fast as while it was calibrated.
            seconds = super().run(iterations, meanwhile)
            return seconds if len(self.counts) < 40 else seconds / 10

    probe = Rising("a", [], 1e-5)
    sit(probe, repeats=40)
    assert probe.counts[-1] * probe.each_s / 10 > 3e-3


def test_short_things_are_repeated_until_they_can_be_timed() -> None:
    count, _ = calibrate(Steady("a", [], 1e-9), 6e-3)
    assert count == pytest.approx(6_000_000, rel=0.01)
    count, _ = calibrate(Steady("a", [], 1.0), 6e-3)
    assert count == 1


def test_a_clock_that_stands_still_gives_no_rate_and_keeps_nobody() -> None:
    probe = Steady("a", [], 0.0)
    sitting = sit(probe)
    assert sitting.rates == {}
    assert max(probe.counts) <= MOST_ITERATIONS
    assert sitting.notes == ["a was not measured: the GPU's clock stood still."]


def test_the_watch_looks_once_at_each_probe() -> None:
    looks: list[int] = []
    sit(Steady("a", []), Steady("b", []), meanwhile=lambda: looks.append(1))
    assert len(looks) == 2


@pytest.mark.parametrize(("code", "fatal"), [(2, False), (700, True), (719, True), (218, False)])
def test_an_error_in_the_middle_takes_its_own_figures_away(code: int, fatal: bool) -> None:  # noqa: FBT001
    class Failing(Steady):
        def run(self, iterations: int, meanwhile: Callable[[], None] | None = None) -> float:
            if len(self.counts) > 8:
                raise CudaError("cuLaunchKernel", code, "CUDA_ERROR")
            return super().run(iterations, meanwhile)

    sitting = sit(Steady("a", []), Failing("b", []), repeats=20)
    assert "b" not in sitting.rates
    assert sitting.notes[0].startswith("b was not measured")
    assert sitting.broken == ("b" if fatal else "")
    # What a broken context still answers is worth nothing; a fresh process does it again.
    assert sitting.left == (["a"] if fatal else [])
    assert ("a" in sitting.rates) == (not fatal)
