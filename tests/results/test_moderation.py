"""Spreads from few rounds steady each other; without that, a table could not tell a factor of ten."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from results.moderation import MOST_PRIOR_DF, digamma, fit_prior, trigamma, trigamma_inverse
from results.ranking import rank


@pytest.mark.parametrize("x", [0.01, 0.5, 1.0, 2.5, 9.99, 10.0, 123.4])
def test_the_gamma_functions_agree_with_scipy(x: float) -> None:
    assert digamma(x) == pytest.approx(float(special.digamma(x)), rel=1e-10, abs=1e-12)
    assert trigamma(x) == pytest.approx(float(special.polygamma(1, x)), rel=1e-10)
    assert trigamma_inverse(trigamma(x)) == pytest.approx(x, rel=1e-6)


def test_too_few_spreads_say_nothing_about_each_other() -> None:
    assert fit_prior([0.1, 0.2], [2, 2]).df == 0
    assert fit_prior([0.1, 0.0, 0.0, 0.0], [2, 2, 2, 2]).df == 0


def test_equal_spreads_lend_each_other_strength_and_unequal_ones_do_not() -> None:
    generator = np.random.default_rng(4)
    equal = 0.01 * generator.chisquare(2, 200) / 2
    unequal = np.geomspace(1e-6, 1.0, 200) * generator.chisquare(2, 200) / 2
    strong, weak = fit_prior(list(equal), [2] * 200), fit_prior(list(unequal), [2] * 200)
    assert strong.variance == pytest.approx(0.01, rel=0.3)
    assert strong.df == MOST_PRIOR_DF
    assert weak.df < 2


def test_three_rounds_on_a_noisy_machine_tell_a_factor_of_five() -> None:
    # Once, a cell at 1,372 ms shared the first rank with one at 15 ms.
    generator = np.random.default_rng(5)
    found = 0
    for _ in range(40):
        cells = {
            str(place): {number: ms * math.exp(generator.normal(0, 0.2)) for number in range(3)}
            for place, ms in enumerate((15, 15.3, 16, 17, 17.3, 80, 700, 1372))
        }
        ranks = rank(cells)
        found += ranks["5"] > 1 and ranks["6"] > 1 and ranks["7"] > 1
    assert found >= 36


@pytest.mark.parametrize("spreads", [[0.01] * 14, [0.01] * 7 + [0.1] * 7, [0.01] * 13 + [0.3], [0.05] * 13 + [0.005]])
def test_equal_cells_are_rarely_set_apart_however_their_spreads_differ(spreads: list[float]) -> None:
    # A false winner would be shipped.
    generator = np.random.default_rng(6)
    apart = 0
    for _ in range(150):
        cells = {
            str(place): {number: math.exp(generator.normal(0, spread)) for number in range(5)}
            for place, spread in enumerate(spreads)
        }
        apart += len(set(rank(cells).values())) > 1
    assert apart <= 15
