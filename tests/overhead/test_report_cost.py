"""What a report over a million samples costs; run with ``--benchmark-only``.

It is to take less than 5 s and 5 MB. The size is held to here; the time is for people to compare, as machines differ.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import facts, spec
from made_runs import FACTS

from reports.charts.every import charts
from reports.export import one_run
from reports.page.page import page
from reports.source import read
from results.record import Record
from results.runfile import RunFile

CELLS, PROCESSES, SAMPLES = 20, 10, 5_000
MOST_BYTES = 5_000_000
# pytest-benchmark's fixture has no types of its own.
Benchmark = Any


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five runtimes in four settings, ten processes each, with warm-up, spikes and a slow process."""
    generator = np.random.default_rng(71)
    path = tmp_path_factory.mktemp("runs") / "million.sqlite"
    runtimes = ("ort-cpu", "openvino", "tvm", "tract", "torch")
    settings = [(layout, threads) for layout in ("seq", "par") for threads in (2, 4)]
    cells = {
        f"net/raw/{runtime}/{layout}/{threads}": spec(runtime=runtime, layout=layout, threads=threads)
        for runtime in runtimes
        for layout, threads in settings
    }
    assert len(cells) == CELLS
    with RunFile.create(path, FACTS, cells) as run:
        for number in range(PROCESSES):
            for place, cell in enumerate(cells):
                noise = np.exp(0.03 * generator.standard_normal(SAMPLES))
                spikes = np.where(generator.random(SAMPLES) < 0.01, 2.0, 1.0)
                wall = (1e6 * (1 + place / 5) * (1.3 if number == 7 else 1) * noise * spikes).astype(np.int64)
                wall[:200] += wall[:200] // 2
                run.add(Record(cell, number, "ok", "", FACTS["created"], facts(), wall, wall, 200))
    return path


def test_the_page_of_a_million_samples(benchmark: Benchmark, million: Path) -> None:
    def made() -> str:
        source = read(million)
        return page(source, charts(source, ()))

    text = benchmark.pedantic(made, rounds=3, iterations=1)
    assert len(text.encode()) < MOST_BYTES


def test_every_file_of_a_report_of_a_million_samples(benchmark: Benchmark, million: Path, tmp_path: Path) -> None:
    def made() -> int:
        return sum(path.stat().st_size for path in one_run(read(million), tmp_path).paths)

    assert benchmark.pedantic(made, rounds=2, iterations=1) < 2 * MOST_BYTES
