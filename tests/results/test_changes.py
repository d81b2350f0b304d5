"""Changes of level in a series: none where there is none, and each where it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from results.changes import PART_LEAST, changes


def series(seed: int, count: int = 50, spread: float = 0.02) -> list[float]:
    return (10.0 * np.exp(np.random.default_rng(seed).normal(0, spread, count))).tolist()


def test_a_hundred_flat_series_have_one_false_change_at_most() -> None:
    assert sum(len(changes(series(seed))) for seed in range(100)) <= 1


def test_flat_series_with_outliers_have_none() -> None:
    found = 0
    for seed in range(30):
        values = np.array(series(seed))
        values[np.random.default_rng(seed).choice(50, 5, replace=False)] *= 1.8
        found += len(changes(values.tolist()))
    assert found <= 1


@pytest.mark.parametrize("at", [12, 25, 41])
def test_a_change_is_found_where_it_is(at: int) -> None:
    close = 0
    for seed in range(20):
        values = np.array(series(seed))
        values[at:] *= 1.06
        found = changes(values.tolist())
        there = len(found) == 1 and abs(found[0].at - at) <= 2
        close += there
        if there:
            assert found[0].ratio == pytest.approx(1.06, abs=0.04)
    assert close >= 18


def test_two_changes_are_two() -> None:
    values = np.array(series(5, 60))
    values[20:40] *= 1.2
    found = changes(values.tolist())
    assert [abs(one.at - place) <= 1 for one, place in zip(found, (20, 40), strict=True)] == [True, True]
    assert [one.ratio > 1 for one in found] == [True, False]


def test_the_same_series_always_has_the_same_changes() -> None:
    values = [*series(1, 20), *(value * 1.1 for value in series(2, 20))]
    assert changes(values) == changes(values)


def test_too_few_figures_have_none() -> None:
    assert changes([]) == []
    assert changes([1.0] * (2 * PART_LEAST - 1)) == []
    assert changes([1.0] * 30) == []


def test_what_is_no_figure_is_refused() -> None:
    for bad in (0.0, -1.0, math.nan, math.inf):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match="not positive and finite"):
            changes([1.0, bad, 1.0])
