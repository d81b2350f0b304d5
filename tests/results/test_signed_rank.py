"""The promise of a gate: how often it cries wolf does not depend on what the noise looks like."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from results.signed_rank import allowed, distribution, looks, pairs_least, shift, walsh

scipy_stats = pytest.importorskip("scipy.stats")

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
# What a machine may do to two equal processes: nothing, a lot, to one in five, half of the time, in one direction more
# and more, or so that pairs look alike for minutes.
MACHINES: dict[str, Draw] = {
    "normal": lambda g, n: g.normal(0, 0.01, n),
    "cauchy": lambda g, n: 0.01 * g.standard_cauchy(n),
    "bursts": lambda g, n: np.where(g.random(n) < 0.2, np.log(1.8), 0.0) * g.choice([-1, 1], n) + g.normal(0, 0.003, n),
    "two states": lambda g, n: g.choice([-0.6, 0.6], n) + g.normal(0, 1e-4, n),
    "drift": lambda g, n: np.linspace(0.001, 0.3, n) * g.choice([-1, 1], n),
    "ties": lambda g, n: g.choice([-0.01, 0.0, 0.01], n),
    "nothing at all": lambda g, n: np.zeros(n),
}


def test_the_distribution_is_that_of_all_signs() -> None:
    for pairs in range(1, 9):
        counted = np.zeros(pairs * (pairs + 1) // 2 + 1)
        for signs in itertools.product([0, 1], repeat=pairs):
            counted[sum(rank for rank, sign in enumerate(signs, 1) if sign)] += 1
        assert np.allclose(distribution(pairs), counted / 2**pairs, atol=1e-15)
    assert distribution(200).sum() == pytest.approx(1.0)


def test_what_is_allowed_agrees_with_scipy() -> None:
    generator = np.random.default_rng(1)
    for pairs in (8, 11, 19):
        for _ in range(40):
            values = generator.normal(0.4, 1.0, pairs)
            p = scipy_stats.wilcoxon(values, alternative="greater", method="exact").pvalue
            for error in (0.05, 0.01, 0.004):
                found = shift(values.tolist(), error)
                assert (found is not None and found.low > 0) == (p <= error + 1e-12)


def test_the_interval_holds_the_true_shift_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    missed = 0
    for _ in range(4000):
        found = shift((0.02 + generator.normal(0, 0.01, 15)).tolist(), 0.025)
        assert found is not None
        assert found.low <= found.estimate <= found.high
        missed += not found.low <= 0.02 <= found.high
    assert missed / 4000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    assert missed / 4000 >= 0.03  # and it is no wider than it must be


def test_averages_are_of_all_pairs() -> None:
    assert walsh([0.0, 1.0, 4.0]).tolist() == [0.0, 0.5, 1.0, 2.0, 2.5, 4.0]


def test_so_few_pairs_prove_nothing() -> None:
    assert allowed(4, 0.05) is None
    assert shift([1.0] * 4, 0.05) is None
    assert allowed(5, 0.05) == 0
    found = shift([1.0, 2.0, 3.0, 4.0, 5.0], 0.05)
    assert found is not None
    assert (found.low, found.high) == (1.0, 5.0)


def test_looks_spend_what_they_may_and_no_more() -> None:
    for error in (0.025, 0.005, 0.0005):
        planned = looks(error, 60)
        assert sum(look.error for look in planned) == pytest.approx(error)
        counts = [look.pairs for look in planned]
        assert counts == sorted(set(counts))
        assert counts[0] == pairs_least(error)
        assert counts[-1] == 60
        # Every look can decide.
        assert all(allowed(look.pairs, look.error) is not None for look in planned)
        # And with half of its error, as on each of two views.
        assert all(allowed(look.pairs, look.error / 2) is not None for look in planned)
    assert looks(0.005, 8) == ()
    assert [look.pairs for look in looks(0.005, 9)] == [9]
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        looks(0.7, 60)


@pytest.mark.parametrize("machine", MACHINES)
def test_whoever_looks_at_every_look_is_fooled_no_more_often_than_promised(machine: str) -> None:
    # Signs are coins, as they are where who goes first is one: the rest of the noise may be what it likes.
    error, most, trials = 0.025, 40, 1500
    planned = looks(error, most)
    generator = np.random.default_rng(3)
    fooled = {"slower": 0, "faster": 0}
    for _ in range(trials):
        values = MACHINES[machine](generator, most)
        found = [shift(values[: look.pairs].tolist(), look.error) for look in planned]
        fooled["slower"] += any(one is not None and one.low > 0 for one in found)
        fooled["faster"] += any(one is not None and one.high < 0 for one in found)
    allowed_most = error + 3 * math.sqrt(error * (1 - error) / trials)
    assert max(fooled.values()) / trials <= allowed_most
