"""Charts of a run: what they leave out, and what they must never leave out."""

from pathlib import Path

import numpy as np
import pytest
from made import record, spec
from made_runs import source, steady, two_runtimes

from reports.charts.chart import KNOWN, looks, slug
from reports.charts.every import charts
from reports.charts.ladder import factor, ladder
from reports.charts.thin import envelope, exceedance
from reports.charts.tradeoff import points
from reports.source import best_per_runtime


def test_thinning_keeps_the_slowest_calls_one_by_one() -> None:
    samples = (1e6 * np.exp(np.random.default_rng(1).standard_normal(100_000))).astype(np.int64)
    times, shares = exceedance(samples)
    assert times.size <= 400
    assert list(times[-50:]) == list(np.sort(samples)[-50:])
    assert shares[-1] == pytest.approx(1e-5)
    assert shares[0] == 1
    # What is shown of each time is the share of calls that took at least as long.
    for time, share in zip(times[::37], shares[::37], strict=True):
        assert np.mean(samples >= time) == pytest.approx(share)


def test_few_samples_are_all_shown() -> None:
    times, shares = exceedance(np.array([5, 3, 4]))
    assert list(times) == [3, 4, 5]
    assert list(shares) == pytest.approx([1, 2 / 3, 1 / 3])


def test_a_band_over_time_keeps_every_peak() -> None:
    samples = np.full(10_000, 100, np.int64)
    samples[7_777] = 900
    samples[3_333] = 10
    _, lows, medians, highs = envelope(samples, 50)
    assert highs.size == 50
    assert highs.max() == 900
    assert lows.min() == 10
    assert set(medians) == {100.0}


def test_a_short_process_is_drawn_call_by_call() -> None:
    middles, lows, _, highs = envelope(np.array([3, 1, 2]), 50)
    assert list(middles) == [0, 1, 2]
    assert list(lows) == list(highs) == [3, 1, 2]


def test_a_runtime_looks_the_same_on_every_chart() -> None:
    alone, among = looks(["tvm"]), looks([*KNOWN, "mine", "another"])
    assert alone["tvm"] == among["tvm"]
    assert looks(["mine", "tvm"])["mine"] != alone["tvm"]


def test_file_names_are_plain_whatever_a_model_is_called() -> None:
    assert slug("ladder", "../../etc/<passwd>", "mono", 2) == "ladder-etc-passwd-mono-2"


def test_the_ladder_has_the_fastest_right_cell_of_each_runtime(tmp_path: Path) -> None:
    cells = two_runtimes() | {"slower": spec(runtime="ort-cpu", layout="par"), "wrong": spec(runtime="tract")}
    records = [record("quick", n, steady(2, seed=n)) for n in range(4)]
    records += [record("slower", n, steady(3, seed=n), overlap=0.9, parallelism=2.0) for n in range(4)]
    records += [record("slow", n, steady(4, seed=n)) for n in range(4)]
    records += [record("wrong", n, steady(1, seed=n), status="wrong", reason="off by one") for n in range(4)]
    made = source(tmp_path / "run.sqlite", cells, records)
    ((race, group),) = made.races.items()
    assert [cell.cell for cell in best_per_runtime(group)] == ["quick", "slow"]
    chart = ladder(race, group)
    assert chart is not None
    assert [row[0].split()[0] for row in chart.rows] == ["ort-cpu", "openvino"]
    assert "wrong" not in chart.description
    assert chart.rows[0][4] == "fastest"
    assert chart.rows[1][4].startswith("2.0")


def test_one_process_each_is_no_tie(tmp_path: Path) -> None:
    # The statistics cannot set them apart, but to call a factor of 70 a tie would mislead.
    records = [record("quick", 0, steady(1)), record("slow", 0, steady(70))]
    made = source(tmp_path / "run.sqlite", two_runtimes(), records)
    best = best_per_runtime(next(iter(made.races.values())))
    assert "tied" not in factor(best[1], best[0])


def test_equal_cells_are_called_tied(tmp_path: Path) -> None:
    records = [
        record(name, n, steady(2, seed=n + 9 * place)) for place, name in enumerate(("quick", "slow")) for n in range(5)
    ]
    made = source(tmp_path / "run.sqlite", two_runtimes(), records)
    best = best_per_runtime(next(iter(made.races.values())))
    assert factor(best[1], best[0]).endswith("tied")


def with_quality(
    form: str, ms: float, snr_db: float | None, **more: object
) -> tuple[str, dict[str, object], list[object]]:
    quality = {"snr_db": snr_db, "max_abs_error": 0 if snr_db is None else 1e-3, "mismatch": None, **more}
    return (
        form,
        spec(form=form, runtime="ort-cpu"),
        [record(form, n, steady(ms, seed=n), quality=quality) for n in range(3)],
    )


def test_the_front_is_what_nothing_faster_can_match(tmp_path: Path) -> None:
    made = [
        with_quality("int8", 1.0, 20.0),
        with_quality("fp16", 2.0, 65.0),
        with_quality("bad16", 2.5, 60.0),
        with_quality("ln", 3.0, 120.0),
        # Above 100 dB all differences are rounding: a slower cell with more of it is not on the front.
        with_quality("raw", 4.0, None),
    ]
    cells = {name: cell for name, cell, _ in made}
    found = points(list(source(tmp_path / "r.sqlite", cells, [one for *_, records in made for one in records]).cells))
    assert [(point.cell.cell, point.best) for point in found] == [
        ("int8", True),
        ("fp16", True),
        ("bad16", False),
        ("ln", True),
        ("raw", False),
    ]
    assert found[-1].snr_db == float("inf")


def test_a_run_without_a_single_time_has_no_charts_and_no_accident(tmp_path: Path) -> None:
    made = source(tmp_path / "run.sqlite", two_runtimes())
    assert all(found == [] for found in charts(made, ()).values())


def test_every_chart_says_its_figures_in_words_and_in_a_table(tmp_path: Path) -> None:
    records = [record(name, n, steady(2, seed=n), warmup=5) for name in ("quick", "slow") for n in range(3)]
    drawn = charts(source(tmp_path / "run.sqlite", two_runtimes(), records), ())
    assert [section for section, found in drawn.items() if found] == ["ladder", "tails", "samples", "phases"]
    for found in drawn.values():
        for chart in found:
            assert "ort-cpu" in chart.description
            assert len(chart.rows) == 2
            assert all(len(row) == len(chart.columns) for row in chart.rows)


def test_layouts_are_drawn_where_there_is_a_choice(tmp_path: Path) -> None:
    cells = {"seq": spec(layout="seq"), "batch2": spec(layout="batch2"), "more": spec(layout="seq", threads=4)}
    records = [record(name, n, steady(2, seed=n)) for name in cells for n in range(3)]
    (chart,) = charts(source(tmp_path / "run.sqlite", cells, records), ())["layouts"]
    assert [row[0] for row in chart.rows] == ["batch2, 2 threads", "seq, 2 threads", "seq, 4 threads"]
