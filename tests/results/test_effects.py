"""What a sweep says of an option: nobody should turn a knob for nothing, or miss one that matters."""

import math
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from made import spec
from made_sweeps import (
    DEFAULT,
    Noise,
    disturbed,
    heavy,
    many_axes,
    medians,
    normal,
    one_at_a_time,
    skewed,
    summaries,
    sweep_cells,
)

from results.effects import FASTER, NO_EFFECT, NOT_MEASURED, SLOWER, Effect, by_axis, copies, effects
from results.summary import CellSummary
from results.sweep import Arm, Contrast, Sweep

SEEDS = 200
# Of 200 seeds in which 5 % go wrong, more than so many do in one test of a thousand.
WRONG_MOST = 20
THREE, FIVE, BACK = (f"{DEFAULT}/axis00=v0", f"{DEFAULT}/axis07=v0", f"{DEFAULT}/axis14=v0")
PLANTED = {THREE: 1.03, FIVE: 1.05, BACK: 1 / 1.05}


@cache
def simulated(noise: Noise, rounds: int) -> list[dict[str, Effect]]:
    """Effects of a sweep of 40 values and 4 copies, three of which do something, by cell; a list of seeds."""
    sweep = many_axes()
    names = [arm.contrasts[0].plus[0] for arm in sweep.arms]
    found = []
    for seed in range(SEEDS):
        times = medians(sweep, np.random.default_rng([seed, rounds]), rounds, noise, PLANTED)
        found.append(dict(zip(names, effects(sweep, summaries(times)), strict=True)))
    return found


def verdicts(runs: list[dict[str, Effect]], cell: str) -> list[str]:
    return [run[cell].verdict for run in runs]


@pytest.mark.parametrize("noise", [normal, disturbed, heavy, skewed])
@pytest.mark.parametrize("rounds", [8, 12])
def test_what_does_nothing_seems_to_do_something_in_one_sweep_of_twenty_at_most(noise: Noise, rounds: int) -> None:
    runs = simulated(noise, rounds)
    wrong = sum(any(one.told_apart for cell, one in run.items() if cell not in PLANTED) for run in runs)
    assert wrong <= WRONG_MOST


@pytest.mark.parametrize("rounds", [8, 12])
def test_a_copy_of_the_default_is_told_apart_in_one_run_of_twenty_at_most(rounds: int) -> None:
    for number in range(1, 5):
        assert verdicts(simulated(normal, rounds), f"{DEFAULT}/copy={number}").count(NO_EFFECT) >= 0.95 * SEEDS


@pytest.mark.parametrize("rounds", [8, 10, 12])
def test_three_percent_are_found_and_their_sign_is_right(rounds: int) -> None:
    assert verdicts(simulated(normal, rounds), THREE).count(SLOWER) >= 0.95 * SEEDS
    assert verdicts(simulated(normal, rounds), FIVE).count(SLOWER) >= 0.99 * SEEDS
    assert verdicts(simulated(normal, rounds), BACK).count(FASTER) >= 0.99 * SEEDS


@pytest.mark.parametrize(("noise", "rounds", "share"), [(disturbed, 8, 0.9), (disturbed, 12, 0.95), (heavy, 8, 0.95)])
def test_disturbed_processes_do_not_hide_five_percent(noise: Noise, rounds: int, share: float) -> None:
    # A mean that is not trimmed finds them in 1 sweep of 14.
    for cell, verdict in ((FIVE, SLOWER), (BACK, FASTER)):
        found = verdicts(simulated(noise, rounds), cell)
        assert found.count(verdict) >= share * SEEDS
        assert set(found) <= {verdict, NO_EFFECT}


@pytest.mark.parametrize("noise", [normal, disturbed, heavy, skewed])
@pytest.mark.parametrize("rounds", [4, 8, 12])
def test_all_intervals_of_a_sweep_hold_together(noise: Noise, rounds: int) -> None:
    missed = 0
    for run in simulated(noise, rounds):
        for cell, one in run.items():
            assert one.interval is not None
            if not one.interval.low <= PLANTED.get(cell, 1.0) <= one.interval.high:
                missed += 1
                break
    assert missed <= WRONG_MOST


@pytest.mark.parametrize("noise", [normal, heavy])
def test_an_effect_as_large_as_is_called_detectable_is_seen_four_times_in_five(noise: Noise) -> None:
    sweep = many_axes()
    known = [one.detectable for run in simulated(noise, 10) for one in run.values()]
    least = float(np.median([one for one in known if one is not None]))
    planted = {f"{DEFAULT}/axis{n:02}=v0": least for n in range(28)}
    seen = []
    for seed in range(30):
        found = effects(sweep, summaries(medians(sweep, np.random.default_rng([seed, 1]), 10, noise, planted)))
        seen += [one.told_apart for one in found if one.arm.value == "v0"]
    assert 0.7 <= np.mean(seen) <= 0.9


def test_what_a_round_did_to_all_cells_is_no_noise() -> None:
    sweep, calm, rough = many_axes(), 0.0, 0.5
    found = [
        effects(sweep, summaries(medians(sweep, np.random.default_rng(5), ratios=PLANTED, drift=drift)))
        for drift in (calm, rough)
    ]
    for one, other in zip(*found, strict=True):
        assert (one.ratio, one.verdict) == (pytest.approx(other.ratio), other.verdict)


def test_a_disturbed_default_in_every_round_moves_nothing() -> None:
    # Everything is compared with it: were it not for its copies, all options at once would seem faster.
    sweep = many_axes()
    times = medians(sweep, np.random.default_rng(7), rounds=8)
    for number in range(8):
        times[(DEFAULT, *sweep.copies)[number % 5]][number] *= 3
    found = [one for one in effects(sweep, summaries(times)) if one.arm.kind == "value"]
    assert {one.verdict for one in found} == {NO_EFFECT}
    assert all(abs((one.ratio or 0) - 1) < 0.02 for one in found)


def test_a_copy_is_compared_with_the_others_and_not_with_itself() -> None:
    sweep = one_at_a_time({"a": ["x"]}, copies=2)
    flat = {name: dict.fromkeys(range(5), 1e6) for name in sweep_cells(sweep)}
    flat[f"{DEFAULT}/copy=2"] = dict.fromkeys(range(5), 1.5e6)
    found = {one.arm.value: one.ratio for one in effects(sweep, summaries(flat))}
    # Beside the first copy stand 1 and 1.5, beside the second two of 1; beside x their median.
    assert found == {
        "x": pytest.approx(1.0),
        "1": pytest.approx(1 / math.sqrt(1.5)),
        "2": pytest.approx(1.5),
    }


def test_an_effect_is_the_factor_that_was_put_in() -> None:
    sweep = one_at_a_time({"a": ["x", "y"], "b": ["z"]}, copies=1)
    ratios = {f"{DEFAULT}/a=x": 0.5, f"{DEFAULT}/a=y": 2.0}
    times = medians(sweep, np.random.default_rng(1), ratios=ratios, noise=lambda _, shape: np.zeros(shape))
    found = {one.arm.value: one for one in effects(sweep, summaries(times))}
    assert found["x"].ratio == pytest.approx(0.5)
    assert found["y"].ratio == pytest.approx(2.0)
    assert (found["x"].verdict, found["y"].verdict) == (FASTER, SLOWER)
    assert found["z"].negligible
    assert found["x"].size == pytest.approx(found["y"].size)


def test_missing_rounds_are_left_out_and_counted() -> None:
    sweep = many_axes()
    times = medians(sweep, np.random.default_rng(3), rounds=12, ratios=PLANTED)
    for number in range(9, 12):
        del times[FIVE][number]
    # The default and all but one of its copies are not there in one round: the copy stands for them.
    for name in (DEFAULT, *sweep.copies[1:]):
        del times[name][0]
    found = {one.arm.contrasts[0].plus[0]: one for one in effects(sweep, summaries(times))}
    assert (found[FIVE].rounds, found[THREE].rounds) == (9, 12)
    assert (found[FIVE].verdict, found[BACK].verdict) == (SLOWER, FASTER)
    assert found[f"{DEFAULT}/copy=2"].rounds == 11


def statuses(times: Mapping[str, Mapping[int, float]], **bad: tuple[str, str]) -> dict[str, CellSummary]:
    cells = summaries(times)
    for name, (status, reason) in bad.items():
        cell = f"{DEFAULT}/{name.replace('_', '=')}"
        cells[cell] = CellSummary(cell, spec(), status, reason)
    return cells


def test_a_cell_without_a_time_has_no_effect_and_says_why() -> None:
    sweep = one_at_a_time({"a": ["x", "y"], "b": ["w", "z"]}, copies=2)
    times = medians(sweep, np.random.default_rng(4))
    times[f"{DEFAULT}/b=w"] = {0: 2e7, 1: 2e7}
    cells = statuses(times, a_x=("wrong", "off by 3"))
    del cells[f"{DEFAULT}/b=z"]
    found = {one.arm.value: one for one in effects(sweep, cells)}
    assert found["x"] == Effect(sweep.arms[0], NOT_MEASURED, reason="wrong: off by 3")
    assert "both sides: 2;" in found["w"].reason
    assert "no cell of this run" in found["z"].reason
    assert found["y"].verdict == NO_EFFECT
    assert {found[value].verdict for value in "xwz"} == {NOT_MEASURED}


def test_a_sweep_whose_default_failed_says_so_of_everything() -> None:
    sweep = one_at_a_time({"a": ["x"]}, copies=1)
    cells = summaries(medians(sweep, np.random.default_rng(4)))
    for name in (DEFAULT, *sweep.copies):
        cells[name] = CellSummary(name, spec(), "failed", "it crashed")
    assert [one.reason for one in effects(sweep, cells)] == ["failed: it crashed"] * 2


def grid() -> Sweep:
    """Two values each of three axes, every combination: four contrasts an arm; and a copy."""

    def name(a: int, b: int, c: int) -> str:
        return f"{DEFAULT}/a={a}/b={b}/c={c}" if (a, b, c) != (0, 0, 0) else DEFAULT

    others = [(p, q) for p in (0, 1) for q in (0, 1)]
    arms = (
        Arm("a", "1", "value", tuple(Contrast((name(1, p, q),), (name(0, p, q),)) for p, q in others)),
        Arm("b", "1", "value", tuple(Contrast((name(p, 1, q),), (name(p, 0, q),)) for p, q in others)),
        Arm("c", "1", "value", tuple(Contrast((name(p, q, 1),), (name(p, q, 0),)) for p, q in others)),
        Arm("copy", "1", "copy", (Contrast((f"{DEFAULT}/copy=1",), (DEFAULT,)),)),
    )
    return Sweep("grid", DEFAULT, (f"{DEFAULT}/copy=1",), arms)


def grid_ratios(factor: float) -> dict[str, float]:
    """Axis a does so much in every combination, the others nothing."""
    return {cell: factor for cell in sweep_cells(grid()) if "a=1" in cell}


@pytest.mark.parametrize(("noise", "share"), [(normal, 0.95), (disturbed, 0.75)])
def test_a_grid_finds_an_axis_over_all_combinations(noise: Noise, share: float) -> None:
    seen, wrong = 0, 0
    for seed in range(SEEDS):
        times = medians(grid(), np.random.default_rng(seed), 10, noise, grid_ratios(1.03))
        found = effects(grid(), summaries(times))
        assert {one.contrasts for one in found[:3]} == {4}
        seen += found[0].verdict == SLOWER
        wrong += any(one.told_apart for one in found[1:])
    assert seen >= share * SEEDS
    assert wrong <= WRONG_MOST


def test_combinations_that_cannot_be_measured_drop_out_and_are_counted() -> None:
    times = medians(grid(), np.random.default_rng(2), ratios=grid_ratios(1.2))
    cells = summaries(times)
    gone = f"{DEFAULT}/a=1/b=1/c=1"
    cells[gone] = CellSummary(gone, spec(), "failed", "it crashed")
    (first, *_) = effects(grid(), cells)
    assert (first.contrasts, first.verdict) == (3, SLOWER)
    assert first.ratio == pytest.approx(1.2, abs=0.02)
    assert first.reason == "without 1 of 4 comparisons: failed: it crashed"


def test_two_values_together_are_set_beside_what_each_does_alone() -> None:
    both, one, other = (f"{DEFAULT}/{name}" for name in ("a=x/b=y", "a=x", "b=y"))
    pair = Arm("a × b", "x × y", "pair", (Contrast((both, DEFAULT), (one, other)),))
    plain = one_at_a_time({"a": ["x"], "b": ["y"]}, copies=3)
    sweep = Sweep("pairs", DEFAULT, plain.copies, (*plain.arms, pair))
    for together, verdict in ((1.2 * 1.1, NO_EFFECT), (1.5, SLOWER), (1.0, FASTER)):
        ratios = {one: 1.2, other: 1.1, both: together}
        found = effects(sweep, summaries(medians(sweep, np.random.default_rng(8), 12, ratios=ratios)))
        assert found[-1].verdict == verdict
        assert found[-1].ratio == pytest.approx(together / 1.32, rel=0.02)


def test_axes_come_in_the_order_of_what_they_do() -> None:
    ratios = {f"{DEFAULT}/axis03=v0": 1.3, f"{DEFAULT}/axis03=v1": 0.9, f"{DEFAULT}/axis20=v0": 0.5}
    sweep = many_axes()
    found = effects(sweep, summaries(medians(sweep, np.random.default_rng(9), ratios=ratios)))
    axes = by_axis(found)
    assert len(axes) == 28
    assert [axis.axis for axis in axes if axis.told_apart] == ["axis20", "axis03"]
    assert [one.arm.value for one in axes[1].told_apart] == ["v0", "v1"]
    assert [one.arm.value for one in axes[1].measured] == ["v1", "v0"]
    assert axes[1].hidden is None
    assert axes[2].hidden == max(one.hidden or 0 for one in axes[2].effects)
    assert len(copies(found)) == 4


def test_more_questions_make_every_answer_wider() -> None:
    # Who asks forty times and believes every answer is misled twice.
    few, many = one_at_a_time({"axis00": ["v0", "v1"]}, copies=4), many_axes()
    times = medians(many, np.random.default_rng(10))
    widths = []
    for sweep in (few, many):
        interval = effects(sweep, summaries(times))[0].interval
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[0] < widths[1]


def test_no_arms_are_no_effects_and_nonsense_is_refused() -> None:
    empty = Sweep("one-at-a-time", DEFAULT, (), ())
    assert effects(empty, {}) == []
    with pytest.raises(ValueError, match="confidence is 95"):
        effects(empty, {}, 95)
