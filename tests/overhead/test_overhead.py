"""What the harness's own code costs; run with ``--benchmark-only``, for figures to compare between changes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import facts, spec
from numpy.typing import NDArray

from bench.measure import sample
from bench.warmup import warmup_samples
from reports.document import document
from results.intervals import tail_quantile
from results.record import Record
from results.runfile import RunFile

CALLS = 10_000
PROCESSES, SAMPLES = 20, 5_000
# pytest-benchmark's fixture has no types of its own.
Benchmark = Callable[..., Any]


class Nothing:
    """A target whose call does nothing, so that only the stopwatch's loop is left."""

    rotations = 3
    collect = None

    def __init__(self) -> None:
        self.call: Callable[[Any], Any] = self._call

    def _call(self, feeds: Any) -> Any:
        return feeds

    def feeds(self, number: int) -> Any:
        return number

    def absorb(self, outputs: Any) -> None:
        pass


def wall_ns(generator: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Lognormal latencies around 10 ms with a spike now and then."""
    noise = np.exp(0.02 * generator.standard_normal(count))
    return (1e7 * noise * np.where(generator.random(count) < 0.01, 3.0, 1.0)).astype(np.int64)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFile]:
    """Twenty cells with ten processes of a thousand samples each, as a quick run of the cpu suite leaves."""
    generator = np.random.default_rng(51)
    path = tmp_path_factory.mktemp("runs") / "run.sqlite"
    cells = {f"cell{number}": spec(runtime=f"r{number}") for number in range(20)}
    with RunFile.create(path, {"status": "finished"}, cells) as made:
        for number in range(10):
            for cell in cells:
                samples = wall_ns(generator, 1_000)
                made.add(Record(cell, number, "ok", "", "", facts(), samples, samples, 20))
    with RunFile.read(path) as opened:
        yield opened


def test_ten_thousand_timed_calls_of_nothing(benchmark: Benchmark) -> None:
    # Divided by 10,000: what stands between two timed calls. It is in no sample, but it cools caches.
    samples = benchmark(sample, Nothing(), 3600.0, CALLS, CALLS)
    assert len(samples.wall_ns) == CALLS


def test_the_document_of_a_run(benchmark: Benchmark, run: RunFile) -> None:
    found = benchmark(document, run)
    assert [cell["status"] for cell in found["cells"]] == ["ok"] * 20


def test_the_tail_of_twenty_processes(benchmark: Benchmark) -> None:
    generator = np.random.default_rng(52)
    processes = [wall_ns(generator, SAMPLES) for _ in range(PROCESSES)]
    tail = benchmark(tail_quantile, processes, 0.99)
    assert tail.samples == PROCESSES * SAMPLES


def test_the_warm_up_of_twenty_thousand_samples(benchmark: Benchmark) -> None:
    series = wall_ns(np.random.default_rng(53), 20_000)
    series[:3000] *= 2
    assert benchmark(warmup_samples, series) >= 3000


def test_one_record_into_a_run_file(benchmark: Benchmark, tmp_path: Path) -> None:
    # Paid between processes, with the disk's own delay: the price of losing nothing.
    samples = wall_ns(np.random.default_rng(54), 5_000)
    with RunFile.create(tmp_path / "run.sqlite", {}, {"c": spec()}) as opened:
        rounds = iter(range(10**9))
        benchmark(lambda: opened.add(Record("c", next(rounds), "ok", "", "", facts(), samples, samples)))
        assert next(opened.records()).wall_ns.size == 5_000
