"""An interval that is too narrow calls noise a regression; these hold ours against simulated truth."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from results.autocorrelation import autocorrelation_time
from results.intervals import Interval, geometric_mean_interval, log_ratio_interval, tail_quantile

BASE_NS = 1e7
SPREAD = 0.01  # between processes, as measured on a quiet machine


def autoregressive(rng: np.random.Generator, shape: tuple[int, int], phi: float = 0.9) -> NDArray[np.float64]:
    """Stationary unit-variance series along axis 1; autocorrelation time (1 + phi) / (1 - phi)."""
    noise = rng.standard_normal(shape)
    series = np.empty(shape)
    series[:, 0] = noise[:, 0]
    for i in range(1, shape[1]):
        series[:, i] = phi * series[:, i - 1] + math.sqrt(1.0 - phi * phi) * noise[:, i]
    return series


def bursts(rng: np.random.Generator, shape: tuple[int, int], share: float = 0.05) -> NDArray[np.bool_]:
    """On for 20 samples on average, ``share`` of the time."""
    on = rng.random(shape[0]) < share
    series = np.empty(shape, dtype=bool)
    for i in range(shape[1]):
        draw = rng.random(shape[0])
        on = np.where(on, draw > 1 / 20, draw < share / (1.0 - share) / 20)
        series[:, i] = on
    return series


def clustered(kind: str, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Times of ``shape[0]`` processes with ``shape[1]`` samples each, in ns."""
    inside = (
        0.05 * autoregressive(rng, shape)
        if kind == "autoregressive"
        else 0.02 * rng.standard_normal(shape) + 0.2 * bursts(rng, shape)
    )
    return (BASE_NS * np.exp(inside + SPREAD * rng.standard_normal((shape[0], 1)))).astype(np.int64)


def test_half_width_reads_as_plus_minus() -> None:
    assert Interval(98.0, 102.0).relative_half_width(100.0) == pytest.approx(0.02)
    assert Interval(-1.0, 1.0).relative_half_width(0.0) == math.inf


@pytest.mark.parametrize("processes", [3, 5, 10])
def test_geometric_mean_interval_holds_the_truth_as_often_as_it_says(processes: int) -> None:
    rng = np.random.default_rng(11)
    medians = BASE_NS * np.exp(SPREAD * rng.standard_normal((1000, processes)))
    held = sum(i.low <= BASE_NS <= i.high for i in map(geometric_mean_interval, medians.tolist()) if i)
    assert 0.93 <= held / 1000 <= 0.97


def test_geometric_mean_interval_is_t_on_logs() -> None:
    values = [9.0, 10.0, 11.0, 10.5]
    low, high = stats.t.interval(0.9, 3, np.log(values).mean(), stats.sem(np.log(values)))
    interval = geometric_mean_interval(values, 0.9)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((math.exp(low), math.exp(high)))


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [1.0, 2.0, 0.0], [1.0, 2.0, -3.0], [1.0, 2.0, math.nan]])
def test_too_few_or_impossible_values_have_no_interval(values: list[float]) -> None:
    assert geometric_mean_interval(values) is None


@pytest.mark.parametrize("kind", ["autoregressive", "bursts"])
def test_tail_intervals_hold_the_truth_though_samples_come_in_clusters(kind: str) -> None:
    # Order statistics that took these samples for independent held it 6 times in 14.
    rng = np.random.default_rng(12)
    repeats, processes, samples = 150, 10, 1000
    everything = clustered(kind, rng, (repeats * processes, samples))
    for p in (0.9, 0.99):
        truth = np.quantile(everything, p)
        tails = [tail_quantile(list(run), p) for run in everything.reshape(repeats, processes, samples)]
        intervals = [tail.interval for tail in tails if tail.interval]
        assert len(intervals) >= 0.8 * repeats
        assert np.mean([i.low <= truth <= i.high for i in intervals]) >= 0.9
        # They must also be of use: clearly narrower than the tail is high.
        assert np.mean([i.relative_half_width(float(truth)) for i in intervals]) < 0.05
        assert all(tail.effective_samples < samples * processes / 2 for tail in tails)


def test_tail_interval_of_independent_samples_is_not_wasteful() -> None:
    # Twice as wide as needed would mean four times as long a run.
    rng = np.random.default_rng(13)
    runs = (BASE_NS * np.exp(0.05 * rng.standard_normal((200, 10, 400)))).astype(np.int64)
    truth = BASE_NS * math.exp(0.05 * float(stats.norm.ppf(0.9)))
    intervals = [tail.interval for tail in (tail_quantile(list(run), 0.9) for run in runs) if tail.interval]
    assert len(intervals) == 200
    assert 0.92 <= np.mean([i.low <= truth <= i.high for i in intervals]) <= 1.0
    ideal = 1.96 * math.sqrt(0.9 * 0.1 / 4000) / float(stats.norm.pdf(stats.norm.ppf(0.9))) * 0.05
    assert np.mean([i.relative_half_width(truth) for i in intervals]) < 1.8 * ideal


@pytest.mark.parametrize(("p", "enough"), [(0.9, 10), (0.99, 100), (0.999, 1000)])
def test_a_quantile_needs_a_sample_beyond_it(p: float, enough: int) -> None:
    # The largest of 50 samples printed as p99 is a maximum by another name.
    samples = np.arange(enough, dtype=np.int64)
    assert tail_quantile([samples[1:]], p).value_ns is None
    assert tail_quantile([samples], p).value_ns == enough - 2


def test_p99_below_368_samples_has_a_value_but_no_interval() -> None:
    rng = np.random.default_rng(14)
    for size in (36, 73):
        tail = tail_quantile([rng.integers(1, 10**9, size) for _ in range(5)], 0.99)
        assert tail.samples < 368
        assert tail.value_ns is not None
        assert tail.interval is None


def test_what_counts_for_the_limit_is_the_effective_number() -> None:
    # 2,000 samples of which each stands 20 times are 100 samples.
    rng = np.random.default_rng(15)
    processes = [np.repeat(rng.integers(1, 10**9, 20), 20) for _ in range(5)]
    tail = tail_quantile(processes, 0.99)
    assert tail.samples == 2000
    assert tail.effective_samples < 200
    assert tail.interval is None


@pytest.mark.parametrize("processes", [1, 2])
def test_one_or_two_processes_have_no_tail_interval(processes: int) -> None:
    rng = np.random.default_rng(16)
    tail = tail_quantile([rng.integers(1, 10**9, 5000) for _ in range(processes)], 0.9)
    assert tail.value_ns is not None
    assert tail.interval is None
    assert 2500 * processes < tail.effective_samples <= 5000 * processes


def test_one_slow_process_is_one_event_and_not_a_thousand() -> None:
    # Inside the slow process nothing is correlated: only the spread between processes shows it.
    rng = np.random.default_rng(17)
    processes = [rng.integers(1000, 1100, 1000) for _ in range(8)]
    processes[3] += 10_000
    assert tail_quantile(processes, 0.95).effective_samples < 20


def test_a_lucky_agreement_between_processes_does_not_hide_bursts() -> None:
    # Each of three processes has one burst of the same length: no spread between them at all.
    process = np.full(4000, 1000, dtype=np.int64)
    process[100:500] = 2000
    process += np.arange(4000) % 7
    assert tail_quantile([process, process, process], 0.9).effective_samples < 300


def test_constant_samples_have_an_interval_of_no_width() -> None:
    # A coarse clock on a fast model gives one and the same value all the time.
    tail = tail_quantile([np.full(500, 42, dtype=np.int64)] * 6, 0.99)
    assert (tail.value_ns, tail.interval) == (42.0, Interval(42.0, 42.0))


def test_constant_processes_that_differ_count_as_so_many_samples() -> None:
    tail = tail_quantile([np.full(500, 40 + k, dtype=np.int64) for k in range(6)], 0.9)
    assert tail.effective_samples < 10
    assert tail.interval is None


def test_order_of_processes_their_lengths_and_empty_ones_do_not_matter() -> None:
    rng = np.random.default_rng(18)
    processes = [rng.integers(1, 10**9, size) for size in (300, 500, 900, 1200)]
    empty = np.array([], dtype=np.int64)
    first, second = tail_quantile(processes, 0.9), tail_quantile([*reversed(processes), empty], 0.9)
    assert first.interval is not None
    assert (first.value_ns, first.interval, first.samples) == (second.value_ns, second.interval, second.samples)
    assert first.effective_samples == pytest.approx(second.effective_samples)


def test_no_samples_at_all_is_an_empty_answer() -> None:
    tail = tail_quantile([], 0.99)
    assert (tail.value_ns, tail.interval, tail.samples, tail.effective_samples) == (None, None, 0, 0.0)


@pytest.mark.parametrize(("p", "confidence"), [(0.0, 0.95), (1.0, 0.95), (99.0, 0.95), (0.99, 95.0)])
def test_percent_for_shares_is_refused(p: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="must be strictly between 0 and 1"):
        tail_quantile([np.arange(10)], p, confidence)


def test_common_rounds_are_compared_in_pairs() -> None:
    # A machine that slows down for both halves of a round must not hide a 2 % difference.
    rng = np.random.default_rng(19)
    weather = np.exp(0.3 * rng.standard_normal(6))
    b = {k: float(w * BASE_NS) for k, w in enumerate(weather)}
    a = {k: 1.02 * v * (1.0 + 0.001 * (-1) ** k) for k, v in b.items()}
    result = log_ratio_interval(a, b)
    assert result is not None
    estimate, interval = result
    assert estimate == pytest.approx(1.02, abs=1e-3)
    assert 1.01 < interval.low < 1.02 < interval.high < 1.03


@pytest.mark.parametrize("shift", [10, 3])
def test_without_three_common_rounds_it_is_welch(shift: int) -> None:
    a = {0: 10.0, 1: 10.2, 2: 9.9, 3: 10.1, 4: 10.3}
    b = {k + shift: v for k, v in enumerate([11.0, 11.9, 10.4, 11.2])}
    result = log_ratio_interval(a, b, 0.9)
    left, right = np.log(list(a.values())), np.log(list(b.values()))
    limits = stats.ttest_ind(left, right, equal_var=False).confidence_interval(0.9)
    assert result is not None
    assert result[0] == pytest.approx(math.exp(left.mean() - right.mean()))
    assert (result[1].low, result[1].high) == pytest.approx((math.exp(limits.low), math.exp(limits.high)))


def test_a_ratio_that_cannot_be_made_is_none() -> None:
    three = {0: 1.0, 1: 2.0, 2: 3.0}
    assert log_ratio_interval(three, {}) is None
    assert log_ratio_interval(three, {7: 1.0}) is None
    assert log_ratio_interval(three, {0: 1.0, 1: 0.0, 2: 1.0}) is None


def test_no_spread_at_all_is_no_division_by_nought() -> None:
    assert log_ratio_interval({0: 2.0, 1: 2.0}, {5: 1.0, 6: 1.0}) == (2.0, Interval(2.0, 2.0))


def test_autocorrelation_time_is_that_of_the_process() -> None:
    # (1 + 0.9) / (1 - 0.9) = 19: too small and every tail interval is too narrow.
    rng = np.random.default_rng(20)
    assert autocorrelation_time(list(autoregressive(rng, (10, 4000)))) == pytest.approx(19.0, rel=0.15)
    assert autocorrelation_time(list(rng.standard_normal((10, 4000)))) == pytest.approx(1.0, abs=0.2)
    assert autocorrelation_time([]) == autocorrelation_time([np.full(50, 0.1)]) == 1.0
