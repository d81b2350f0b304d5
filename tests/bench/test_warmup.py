"""Cut too little and warm-up is sold as tail; cut too much and the true tail is thrown away."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.warmup import is_steady, warmup_samples

Floats = NDArray[np.float64]


def flat(rng: np.random.Generator, n: int, sigma: float = 0.02, spikes: float = 0.01) -> Floats:
    """Lognormal noise around 1, with spikes to three times that."""
    return np.asarray(np.exp(sigma * rng.standard_normal(n)) * np.where(rng.random(n) < spikes, 3.0, 1.0))


def wall_ns(relative: Floats) -> NDArray[np.int64]:
    return (1e7 * relative).astype(np.int64)


def cut_share(make: Callable[[], Floats], repeats: int = 200) -> float:
    """The share of samples flagged on average."""
    series = [wall_ns(make()) for _ in range(repeats)]
    return float(np.mean([warmup_samples(one) / len(one) for one in series]))


@pytest.mark.parametrize("n", [20, 60, 200, 1000, 5000])
@pytest.mark.parametrize(("sigma", "spikes"), [(0.02, 0.01), (0.5, 0.02), (0.002, 0.0)])
def test_flat_series_keep_their_tail(n: int, sigma: float, spikes: float) -> None:
    rng = np.random.default_rng(31)
    assert cut_share(lambda: flat(rng, n, sigma, spikes)) < 0.01


@pytest.mark.parametrize("n", [200, 1000])
def test_slow_wander_and_bursts_are_noise(n: int) -> None:
    # An autocorrelation time of 20 is what machines really do.
    rng = np.random.default_rng(32)

    def wander() -> Floats:
        x = rng.standard_normal(n)
        for i in range(1, n):
            x[i] = 0.9 * x[i - 1] + 0.19**0.5 * x[i]
        return np.asarray(np.exp(0.02 * x))

    def bursty() -> Floats:
        x = flat(rng, n)
        for start in rng.integers(0, n, n // 200):
            x[start : start + 20] *= 1.3
        return x

    assert cut_share(wander) < 0.03
    assert cut_share(bursty) < 0.03


@pytest.mark.parametrize("n", [100, 1000, 5000])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_a_step_is_cut_where_it_is(n: int, share: float) -> None:
    rng = np.random.default_rng(33)
    end = int(share * n)
    cuts = []
    for _ in range(50):
        times = wall_ns(flat(rng, n) * np.where(np.arange(n) < end, 1.3, 1.0))
        cuts.append(warmup_samples(times))
    assert np.mean(np.array(cuts) >= end) >= 0.9
    assert np.median(cuts) <= end + max(5, 0.02 * n)


@pytest.mark.parametrize("factor", [1.5, 0.8])
def test_warm_up_may_be_slower_or_faster(factor: float) -> None:
    # Turbo clocks make the first second look better than the product will ever be.
    times = wall_ns(flat(np.random.default_rng(34), 1000) * np.where(np.arange(1000) < 150, factor, 1.0))
    assert 150 <= warmup_samples(times) <= 200
    assert is_steady(times, warmup_samples(times))


def test_a_handful_of_slow_calls_is_found_among_thousands() -> None:
    # They would be the whole p99.9.
    x = flat(np.random.default_rng(35), 5000)
    x[:5] *= 2.0
    assert warmup_samples(wall_ns(x)) == 5


def test_slow_convergence_is_cut_until_little_is_left() -> None:
    rng = np.random.default_rng(36)
    decay = 0.5 * np.exp(-np.arange(2000) / 150)
    for _ in range(20):
        cut = warmup_samples(wall_ns(flat(rng, 2000) * (1.0 + decay)))
        assert decay[cut] < 0.05
        assert cut < 1000


@pytest.mark.parametrize(
    "trend",
    [
        lambda t: 1.0 + 0.5 * np.exp(-t / 0.4),  # still falling when the run ends
        lambda t: np.where(t < 0.6, 1.3, 1.0),  # settles, but after the half
    ],
)
def test_a_series_that_settles_too_late_says_so(trend: Callable[[Floats], Floats]) -> None:
    rng = np.random.default_rng(37)
    times = wall_ns(flat(rng, 1000) * trend(np.arange(1000) / 1000))
    assert warmup_samples(times) == 500
    assert not is_steady(times, 500)


def test_a_spike_half_way_does_not_cut() -> None:
    for factor in (3.0, 100.0, 1e4):
        x = flat(np.random.default_rng(38), 1000)
        x[490] *= factor
        assert warmup_samples(wall_ns(x)) == 0


@pytest.mark.parametrize("start", [200, 450, 800])
def test_a_burst_on_the_way_is_kept_as_tail(start: int) -> None:
    x = flat(np.random.default_rng(39), 1000)
    x[start : start + 50] *= 1.5
    times = wall_ns(x)
    assert warmup_samples(times) == 0
    assert is_steady(times, 0)


def test_short_series_are_left_alone() -> None:
    for n in range(20):
        times = wall_ns(np.where(np.arange(n) < n // 2, 3.0, 1.0))
        assert warmup_samples(times) == 0
        assert is_steady(times, 0)


@pytest.mark.parametrize("n", [20, 21, 24, 29, 33])
def test_the_shortest_series_stay_within_half(n: int) -> None:
    rng = np.random.default_rng(40)
    for head in range(n):
        times = wall_ns(flat(rng, n, 0.001, 0.0) * np.where(np.arange(n) < head, 5.0, 1.0))
        assert 0 <= warmup_samples(times) <= n // 2


def test_a_coarse_clock_is_no_trouble() -> None:
    # One value over and over: no spread to divide by.
    assert warmup_samples(np.full(500, 100, dtype=np.int64)) == 0
    for end in (50, 130, 200):
        assert warmup_samples(np.where(np.arange(500) < end, 307, 103).astype(np.int64)) == end


def test_twenty_thousand_samples_take_no_time_to_speak_of() -> None:
    times = wall_ns(flat(np.random.default_rng(41), 20_000) * np.where(np.arange(20_000) < 3000, 2.0, 1.0))
    best = min(_seconds(times) for _ in range(5))
    assert best < 0.02


def _seconds(times: NDArray[np.int64]) -> float:
    start = time.perf_counter()
    warmup_samples(times)
    return time.perf_counter() - start
