"""Every interval and verdict rests on these functions: a wrong digit here is a wrong "faster" everywhere."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special, stats

from results.student import beta_cdf, beta_quantile, binomial_interval, t_quantile

SHAPES = [0.1, 0.5, 1.0, 2.3, 9.99, 10.0, 37.0, 368.0, 4e3, 1.2e5, 1e6]
PROBABILITIES = [1e-12, 1e-6, 0.001, 0.0125, 0.025, 0.3, 0.5, 0.7, 0.975, 0.999, 1.0 - 1e-9]


@pytest.mark.parametrize("a", SHAPES)
def test_incomplete_beta_and_its_inverse_agree_with_scipy(a: float) -> None:
    # From one exceedance to a million samples: both ends of what a Woodruff interval asks for.
    for b, p in itertools.product(SHAPES, PROBABILITIES):
        x = float(special.betaincinv(a, b, p))
        if x > 1e-290:
            assert math.isclose(beta_quantile(p, a, b), x, rel_tol=1e-9), (a, b, p)
            assert math.isclose(beta_cdf(x, a, b), float(special.betainc(a, b, x)), rel_tol=1e-9), (a, b, p)


@pytest.mark.parametrize("df", [0.5, 1.0, 1.5, 2.0, 3.0, 4.7, 7.0, 10.0, 29.0, 100.0, 1e3, 1e4, 2e5, 1e6])
def test_t_quantile_agrees_with_scipy(df: float) -> None:
    # Halves of 5 % and of Bonferroni's fractions, whole and fractional degrees of freedom (Welch).
    grid = [1e-9, 1e-5, 0.00026, 0.005, 0.025, 0.1, 0.4, 0.499, 0.500001, 0.6, 0.9, 0.975, 0.995, 0.9999, 1.0 - 1e-9]
    for p in grid:
        assert math.isclose(t_quantile(p, df), float(stats.t.ppf(p, df)), rel_tol=1e-9), (df, p)


def test_t_quantile_is_symmetric_and_nought_in_the_middle() -> None:
    assert t_quantile(0.5, 3.0) == 0.0
    assert t_quantile(0.975, 3.0) == -t_quantile(1.0 - 0.975, 3.0)


def test_beta_quantile_and_cdf_undo_each_other_at_the_ends() -> None:
    assert beta_quantile(0.0, 2.0, 3.0) == beta_cdf(0.0, 2.0, 3.0) == 0.0
    assert beta_quantile(1.0, 2.0, 3.0) == beta_cdf(1.0, 2.0, 3.0) == 1.0
    # Below the smallest float there is nothing to return but nought.
    assert beta_quantile(1e-12, 0.01, 1.0) == 0.0


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (364, 368), (118_800, 120_000), (1, 3)])
def test_binomial_interval_is_clopper_and_pearson(successes: int, trials: int) -> None:
    exact = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert np.allclose(binomial_interval(successes, trials, 0.95), (exact.low, exact.high), rtol=1e-9, atol=0.0)


def test_effective_sample_sizes_need_not_be_whole() -> None:
    # Rounding them would make the interval jump as samples come in.
    low, high = binomial_interval(364.5, 368.2)
    assert binomial_interval(364, 368)[0] < low < 364.5 / 368.2 < high < 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: t_quantile(0.0, 3.0),
        lambda: t_quantile(1.0, 3.0),
        lambda: t_quantile(0.9, 0.0),
        lambda: beta_cdf(-0.1, 1.0, 1.0),
        lambda: beta_cdf(0.5, 0.0, 1.0),
        lambda: beta_quantile(1.1, 1.0, 1.0),
        lambda: beta_quantile(math.nan, 1.0, 1.0),
        lambda: binomial_interval(4, 3),
        lambda: binomial_interval(0, 0),
        lambda: binomial_interval(1, 3, 95.0),
    ],
)
def test_values_out_of_range_are_refused_not_guessed(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|need"):
        call()
