"""The figures that people quote: none may be made up, and none may hide that something went wrong."""

from __future__ import annotations

import math
import statistics
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from made import PHASES_NS, dead, record, spec

from results.record import STATUSES, Record
from results.summary import CellSummary, summarise, summarise_cell
from results.works import signal, work

MS = 1_000_000
TIMES = (
    *("p50_ms", "p50_ci_ms", "p90_ms", "p90_ci_ms", "p99_ms", "p99_ci_ms", "p999_ms"),
    *("effective_samples", "rtf", "x_realtime", "cold_ms", "rank"),
)


def one(records: list[Record], **changes: Any) -> CellSummary:
    (summary,) = summarise({"c": spec(**changes)}, records)
    return summary


def has_no_times(summary: CellSummary) -> bool:
    empty = not summary.medians_ns and not summary.phases_ms and summary.samples == 0
    return empty and all(getattr(summary, key) is None for key in TIMES)


def noisy(count: int, seed: int, level_ms: float = 1.0) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int(x) for x in level_ms * MS * np.exp(0.05 * rng.standard_normal(count))]


def test_a_cell_that_went_well_has_every_figure() -> None:
    summary = one([record("c", number, noisy(2000, number)) for number in range(5)])
    assert (summary.status, summary.reason, summary.rank) == ("ok", None, 1)
    assert all(getattr(summary, key) is not None for key in TIMES)
    assert (summary.processes, summary.samples, summary.version) == (5, 10_000, "1")
    assert summary.p50_ms is not None
    assert summary.p90_ms is not None
    assert summary.p99_ms is not None
    assert summary.p999_ms is not None
    assert summary.p50_ms < summary.p90_ms < summary.p99_ms < summary.p999_ms
    for value, interval in (
        (summary.p50_ms, summary.p50_ci_ms),
        (summary.p90_ms, summary.p90_ci_ms),
        (summary.p99_ms, summary.p99_ci_ms),
    ):
        assert interval is not None
        assert interval[0] <= value <= interval[1]
    assert 0 < summary.half_width < 0.1


def test_p50_is_the_geometric_mean_of_the_processes_medians() -> None:
    # Pooled, a process that made ten times the calls would count ten times.
    records = [record("c", 0, [1 * MS] * 1000), record("c", 1, [4 * MS] * 100), record("c", 2, [2 * MS] * 10)]
    summary = one(records)
    assert summary.p50_ms == pytest.approx(2.0)
    assert summary.medians_ns == {0: 1.0 * MS, 1: 4.0 * MS, 2: 2.0 * MS}


def test_real_time_is_p50_over_audio() -> None:
    summary = one([record("c", 0, [2 * MS] * 50)], audio_s=0.01)
    assert summary.rtf == pytest.approx(2.0 * 1e-3 / 0.01)
    assert summary.x_realtime == pytest.approx(5.0)
    assert summary.audio_s == 0.01


def test_without_audio_there_is_no_real_time() -> None:
    summary = one([record("c")], audio_s=None)
    assert (summary.status, summary.rtf, summary.x_realtime) == ("ok", None, None)
    assert summary.p50_ms == pytest.approx(1.0)


def test_warm_up_is_in_no_figure_and_is_counted() -> None:
    slow = [50 * MS] * 20
    records = [record("c", number, [*slow, *[MS] * 500], warmup=20) for number in range(3)]
    summary = one(records)
    assert (summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.p999_ms) == pytest.approx((1.0,) * 4)
    assert (summary.samples, summary.warmup_samples) == (1500, 60)


def test_cold_is_the_sum_of_the_phases_medians() -> None:
    slow = {name: 10 * value for name, value in PHASES_NS.items()}
    summary = one([record("c", 0), record("c", 1), record("c", 2, phases_ns=slow)])
    assert summary.phases_ms == pytest.approx({"start": 10, "import": 20, "load": 30, "first_call": 40})
    assert summary.cold_ms == pytest.approx(100.0)


def test_without_phases_there_is_no_cold_start() -> None:
    assert one([record("c", phases_ns=None)]).cold_ms is None


@pytest.mark.parametrize(("processes", "calls"), [(1, 5000), (2, 5000)])
def test_fewer_than_three_processes_have_no_interval(processes: int, calls: int) -> None:
    # Samples of one process agree with each other, not with the next process.
    summary = one([record("c", number, noisy(calls, number)) for number in range(processes)])
    assert summary.p50_ms is not None
    assert (summary.p50_ci_ms, summary.p90_ci_ms, summary.p99_ci_ms) == (None, None, None)
    assert summary.half_width == math.inf


@pytest.mark.parametrize(("calls", "missing"), [(3, 3), (30, 2), (300, 1), (400, 0)])
def test_a_quantile_that_no_sample_lies_beyond_is_not_made_up(calls: int, missing: int) -> None:
    summary = one([record("c", number, noisy(calls, number)) for number in range(3)])
    values = (summary.p90_ms, summary.p99_ms, summary.p999_ms)
    assert [value is None for value in values] == [False] * (3 - missing) + [True] * missing


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "ok"])
def test_what_is_not_ok_has_no_time_though_it_has_samples(status: str) -> None:
    # The runtime that is fast because it computes nothing would lead the table.
    records = [record("c", number, noisy(500, number)) for number in range(3)]
    records.append(record("c", 3, noisy(500, 3, 0.1), status=status, reason="because"))
    summary = one(records)
    assert (summary.status, summary.processes) == (status, 4)
    assert summary.reason == "because (in 1 of 4 processes)"
    assert has_no_times(summary)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (("ok", "unavailable", "timeout", "failed", "wrong"), "wrong"),
        (("failed", "timeout", "unavailable"), "failed"),
        (("timeout", "ok"), "timeout"),
        (("ok", "unavailable"), "unavailable"),
        (("ok", "ok"), "ok"),
    ],
)
def test_the_gravest_ending_is_what_a_cell_is(statuses: tuple[str, ...], expected: str) -> None:
    records = [record("c", number, status=status, reason=f"it was {status}") for number, status in enumerate(statuses)]
    summary = one(records)
    assert summary.status == expected
    if expected != "ok":
        assert f"it was {expected} (in 1 of {len(statuses)}" in (summary.reason or "")


def test_a_single_process_needs_no_count() -> None:
    assert one([dead("c", 0, "failed", "it crashed with SIGSEGV")]).reason == "it crashed with SIGSEGV"


def test_what_is_said_of_the_whole_cell_comes_first() -> None:
    summary = one([record("c")], status="unavailable", reason="openvino is not installed")
    assert (summary.status, summary.reason) == ("unavailable", "openvino is not installed")
    assert has_no_times(summary)


def test_a_cell_without_a_process_is_no_ok() -> None:
    # Stopped before its turn, it must not look measured.
    summary = one([])
    assert (summary.status, summary.processes) == ("timeout", 0)
    assert "before its first process" in (summary.reason or "")
    assert has_no_times(summary)


def test_sides_that_did_not_overlap_are_no_parallel_layout() -> None:
    summary = one([record("c", number, overlap=share) for number, share in enumerate((0.1, 0.2, 0.9))], layout="par")
    assert summary.status == "failed"
    assert "overlapped for 20%" in (summary.reason or "")
    assert has_no_times(summary)
    assert summary.overlap == pytest.approx(0.2)


def test_sides_that_took_turns_on_one_processor_are_no_parallel_layout() -> None:
    # A lock inside the engine: both calls last as long, and one computes.
    summary = one([record("c", number, overlap=0.99, parallelism=1.02) for number in range(3)], layout="par")
    assert summary.status == "failed"
    assert "took turns on one processor (1.02 were busy)" in (summary.reason or "")
    assert has_no_times(summary)


def test_a_busy_machine_is_not_held_against_the_engine() -> None:
    # Both sides shared one processor because somebody else had the other.
    busy = {"foreign": 0.5, "steal": 0.0}
    records = [record("c", number, overlap=0.99, parallelism=1.0, disturbance=busy) for number in range(3)]
    summary = one(records, layout="par")
    assert summary.status == "ok"
    assert summary.notes == ("the machine was too busy to see whether left and right had a processor each",)


@pytest.mark.parametrize("foreign", [0.0, 0.5], ids=["a quiet machine", "a busy machine"])
def test_threads_that_sleep_while_a_gpu_works_are_no_turns_taken(foreign: float) -> None:
    # With wait=block neither of them keeps a processor busy, and both sides compute all the same.
    shared: dict[str, Any] = {"device": "cuda:0", "disturbance": {"foreign": foreign, "steal": 0.0}}
    summary = one([record("c", n, overlap=0.97, parallelism=0.3, **shared) for n in range(3)], layout="par")
    assert (summary.status, summary.notes) == ("ok", ())
    assert summary.p50_ms is not None


def test_sides_that_did_not_overlap_are_no_parallel_layout_on_a_gpu_either() -> None:
    summary = one([record("c", n, overlap=0.1, parallelism=0.3, device="cuda:0") for n in range(3)], layout="par")
    assert summary.status == "failed"
    assert "overlapped for 10%" in (summary.reason or "")


def test_more_threads_than_allowed_that_took_turns_are_noted() -> None:
    assert one([record("c", threads_used=3)]).notes == ("3 threads took turns on the 2 that were allowed",)
    assert one([record("c", threads_used=2)]).notes == ()


def test_sides_that_ran_together_are_fine() -> None:
    summary = one([record("c", number, overlap=0.97, parallelism=1.9) for number in range(3)], layout="par")
    assert summary.status == "ok"
    assert (summary.overlap, summary.parallelism) == pytest.approx((0.97, 1.9))


def test_other_layouts_need_not_keep_two_processors_busy() -> None:
    assert one([record("c", overlap=None, parallelism=1.0)]).status == "ok"


def test_a_system_that_does_not_say_is_not_accused() -> None:
    assert one([record("c", overlap=0.9, parallelism=None, threads_used=None)], layout="par").status == "ok"


def test_the_worst_error_of_any_process_is_shown() -> None:
    errors = [{"max_abs": size, "snr_db": -20 * math.log10(size), "cosine": 1 - size} for size in (1e-6, 1e-3, 1e-5)]
    summary = one([record("c", number, error=error) for number, error in enumerate(errors)])
    assert summary.max_abs_error == 1e-3
    assert (summary.snr_db, summary.cosine) == pytest.approx((60.0, 0.999))


def test_no_comparison_is_no_error_of_zero() -> None:
    summary = one([record("c", error=None)])
    assert (summary.max_abs_error, summary.snr_db, summary.cosine) == (None, None, None)
    assert one([dead("c", 0, "failed", "x")]).max_abs_error is None


def test_memory_and_threads_are_those_of_the_middle_process() -> None:
    records = [
        record("c", number, rss_peak_bytes=peak, threads_used=used)
        for number, (peak, used) in enumerate(((100e6, 1), (900e6, 2), (200e6, 2)))
    ]
    summary = one(records)
    assert summary.rss_peak_mb == pytest.approx(200.0)
    assert summary.threads_used == 2
    unknown = one([record("c", rss_peak_bytes=None, threads_used=None, parallelism=None)])
    assert (unknown.rss_peak_mb, unknown.threads_used, unknown.parallelism) == (None, None, None)


def test_precision_is_known_though_the_last_process_died() -> None:
    # docs/json.md: null only when no process answered.
    summary = one([record("c", 0), dead("c", 1, "failed", "it crashed")])
    assert (summary.precision_asked, summary.precision_ran) == ("fp32", "fp32")


def test_notes_tell_what_an_ok_cell_should_be_known_for() -> None:
    records = [record("c", 0), record("c", 1, steady=False), record("c", 2, exit=-11)]
    summary = one(records)
    assert summary.status == "ok"
    assert summary.notes == (
        "still warming up when timing ended in 1 of 3 processes",
        "died while being torn down, after answering, in 1 of 3 processes",
    )


def test_a_precision_that_was_not_asked_for_is_noted() -> None:
    assert one([record("c", precision_ran="bf16")]).notes == ("asked for fp32, ran bf16",)
    assert one([record("c", precision_asked="default", precision_ran="bf16")]).notes == ()
    assert one([record("c")]).notes == ()


def test_an_ok_cell_whose_samples_were_all_warm_up_has_no_time() -> None:
    summary = one([record("c", 0, [MS] * 10, warmup=10)])
    assert (summary.p50_ms, summary.rank, summary.samples) == (None, None, 0)


def race(levels: dict[str, tuple[float, dict[str, Any]]]) -> dict[str, int | None]:
    """Ranks of cells from level and specification."""
    specs = {name: spec(**changes) for name, (_, changes) in levels.items()}
    records = [
        record(name, number, [int(level * MS * (1 + 0.001 * ((7 * number) % 5)))] * 20)
        for number in range(5)
        for name, (level, _) in levels.items()
    ]
    return {item.cell: item.rank for item in summarise(specs, records)}


def test_ranks_are_given_within_a_race_only() -> None:
    # A rank across different work would make the smallest model the fastest runtime.
    assert race(
        {
            "fast": (1.0, {}),
            "slow": (2.0, {"layout": "par"}),
            "form": (3.0, {"layout": "batch2", "form": "ln"}),
            "mono": (0.5, {"layout": "mono"}),
            "one thread": (9.0, {"threads": 1}),
            "other model": (50.0, {"model": "big"}),
        }
    ) == {"fast": 1, "slow": 2, "form": 3, "mono": 1, "one thread": 1, "other model": 1}


def test_calls_without_transfers_never_race_calls_with_them() -> None:
    # They do less; beside each other the vendor's way of timing would win every race.
    device = {"options": {"precision": "fp32", "transfer": "device"}}
    assert race(
        {
            "host": (3.0, {"options": {"precision": "fp32", "transfer": "host"}}),
            "processor": (4.0, {}),
            "device": (1.0, device),
            "device, other layout": (2.0, device | {"layout": "streams"}),
            "device, mono": (0.5, device | {"layout": "mono"}),
        }
    ) == {"host": 1, "processor": 2, "device": 1, "device, other layout": 2, "device, mono": 1}


@pytest.mark.parametrize(
    ("layout", "options", "comprises"),
    [
        ("mono", {}, "mono"),
        ("streams", {"transfer": "host"}, "stereo"),
        ("mono", {"transfer": "device"}, "mono, device to device"),
        ("batch2", {"transfer": "device"}, "stereo, device to device"),
    ],
)
def test_what_a_call_comprises_is_in_the_races_name(layout: str, options: dict[str, Any], comprises: str) -> None:
    assert work(layout, options) == comprises
    assert one([record("c")], layout=layout, options=options).race == ("net", comprises, 2)


def test_a_cell_that_is_not_ok_takes_no_place() -> None:
    specs = {"wrong": spec(), "right": spec(), "away": spec(status="unavailable", reason="x")}
    records = [record("right", number, [2 * MS] * 9) for number in range(3)]
    records += [record("wrong", 0, [MS] * 9, status="wrong", reason="off by 1")]
    ranks = {item.cell: item.rank for item in summarise(specs, records)}
    assert ranks == {"wrong": None, "right": 1, "away": None}


def test_cells_come_in_the_plans_order() -> None:
    specs = {name: spec() for name in "cab"}
    assert [item.cell for item in summarise(specs, [record("a")])] == ["c", "a", "b"]


def test_mono_is_another_signal_than_the_rest() -> None:
    assert [signal(layout) for layout in ("mono", "seq", "par", "batch2", "streams")] == ["mono", *["stereo"] * 4]


def test_a_summary_of_a_cell_alone_has_no_rank() -> None:
    summary = summarise_cell("c", spec(), [record("c")])
    assert (summary.status, summary.rank) == ("ok", None)
    assert summary.race == ("net", "stereo", 2)


def test_times_are_floats_of_python() -> None:
    # NumPy's numbers do not fit into JSON.
    summary = one([record("c", number, noisy(2000, number)) for number in range(5)])
    for field in fields(summary):
        assert not isinstance(getattr(summary, field.name), np.generic), field.name
    assert statistics.mean(summary.medians_ns.values()) > 0
