"""Peaks of a host: kept, merged, and never taken away by a kernel that brings its process down."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from bench import host as facts_of_host
from bench.peaks import all_threads, host, host_peaks, keep, known_peaks
from bench.spawn import Outcome, spawn
from results.peaks import Peaks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CRASH = Outcome("failed", {}, "it crashed with SIGILL")


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTFLOOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(facts_of_host, "usable_cpus", lambda: {0, 1})
    monkeypatch.setattr(facts_of_host, "cpus", lambda: 2)


def reply(gflops: float = 100.0, clock: float = 4e9, **changes: Any) -> Outcome:
    """A sitting's answer."""
    body: dict[str, Any] = {
        "status": "ok",
        "offered": ["fma", "avx512f"],
        "refused": {},
        "pinned": True,
        "compiler": "c",
    }
    arithmetic = {"what": "arithmetic", "precision": "fp32", "isa": "fma", "source": "s", "threads": 1}
    bandwidth = {"what": "bandwidth", "level": "L1", "kind": "read", "source": "s", "threads": 1}
    body["jobs"] = [
        {**arithmetic, "rates": [gflops * 1e9, 90e9, 80e9]},
        {**bandwidth, "bytes": 4096, "rates": [50e9, 60e9]},
        {**bandwidth, "bytes": 8192, "rates": [70e9, 10e9, 20e9]},
        {"what": "clock", "threads": 1, "rates": [clock, 3e9]},
    ]
    return Outcome("ok", {**body, **changes})


class Workers:
    """A spawn that answers what a function says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], Outcome]) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer

    def __call__(self, request: dict[str, Any], environment: Mapping[str, str], timeout_s: float) -> Outcome:
        # As it goes through a pipe.
        self.asked.append(json.loads(json.dumps(request)))
        return self._answer(request)


def quick(answer: Callable[[dict[str, Any]], Outcome], **settings: Any) -> Peaks | str:
    return host_peaks(Workers(answer), [1, 2], quick=True, say=lambda _: None, **settings)


def made(answer: Callable[[dict[str, Any]], Outcome], **settings: Any) -> Peaks:
    found = quick(answer, **settings)
    assert isinstance(found, Peaks), found
    return found


def test_a_sitting_becomes_best_and_median_of_its_repeats() -> None:
    peaks = made(lambda _: reply())
    (arithmetic,) = peaks.arithmetic
    assert (arithmetic.flops_per_s, arithmetic.median_flops_per_s) == (100e9, 90e9)
    assert arithmetic.origin == "measured"
    # Of several working sets the fastest; its median is not mixed with the others'.
    (bandwidth,) = peaks.bandwidth
    assert (bandwidth.bytes_per_s, bandwidth.median_bytes_per_s, bandwidth.working_set_bytes) == (70e9, 20e9, 8192)
    assert peaks.clock_hz == 4e9
    assert peaks.facts["clock_hz_lowest"] == 3e9
    assert (peaks.name, peaks.device) == ("host", "cpu")


def test_a_slow_hour_does_not_lower_what_is_known() -> None:
    made(lambda _: reply(100.0))
    later = made(lambda _: reply(95.0, clock=3.5e9))
    assert later.arithmetic[0].flops_per_s == 100e9
    assert later.clock_hz == 4e9
    better = made(lambda _: reply(110.0))
    assert better.arithmetic[0].flops_per_s == 110e9
    assert known_peaks() == better


def test_again_starts_afresh() -> None:
    made(lambda _: reply(130.0))
    assert made(lambda _: reply(100.0), again=True).arithmetic[0].flops_per_s == 100e9
    known = known_peaks()
    assert isinstance(known, Peaks)
    assert known.arithmetic[0].flops_per_s == 100e9


def test_nothing_known_says_how_to_find_out() -> None:
    assert known_peaks() == "this host has not been measured; measure it: rtfloor peaks"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: "{",
        lambda record: "[]",
        lambda record: "null",
        lambda record: "[" * 100_000,
        lambda record: json.dumps({**record, "facts": None}),
        lambda record: json.dumps({**record, "levels": []}),
        lambda record: json.dumps({**record, "facts": {**record["facts"], "clock_hz_lowest": "slow"}}),
        lambda record: json.dumps({**record, "facts": {**record["facts"], "clock_hz_highest": 1e12}}),
        lambda record: json.dumps({**record, "facts": {**record["facts"], "clock_hz_by_threads": []}}),
        lambda record: json.dumps({**record, "facts": {**record["facts"], "clock_hz_by_threads": {"1": "x"}}}),
        lambda record: json.dumps({**record, "arithmetic": [{**record["arithmetic"][0], "flops_per_s": "fast"}]}),
        lambda record: json.dumps({**record, "schema": 99}),
        lambda record: json.dumps({**record, "fingerprint": "somebody else"}),
        lambda record: json.dumps({**record, "facts": {**record["facts"], "kernels": 0}}),
    ],
)
def test_a_spoilt_or_foreign_file_is_measured_anew_and_said(spoil: Callable[[dict[str, Any]], str]) -> None:
    path = keep.place(made(lambda _: reply(130.0)).fingerprint)
    path.write_text(spoil(json.loads(path.read_text())))
    said: list[str] = []
    found = host_peaks(Workers(lambda _: reply(100.0)), [1], quick=True, say=said.append)
    assert isinstance(found, Peaks)
    assert found.arithmetic[0].flops_per_s == 100e9
    assert any(str(path) in line for line in said)
    assert "what earlier sittings had found could not be used" in found.notes
    assert isinstance(known_peaks(), Peaks)


def test_a_folder_where_the_file_should_be_costs_the_keeping_only() -> None:
    path = keep.place(made(lambda _: reply()).fingerprint)
    path.unlink()
    (path / "x").mkdir(parents=True)
    said: list[str] = []
    found = host_peaks(Workers(lambda _: reply(100.0)), [1], quick=True, say=said.append)
    assert isinstance(found, Peaks)
    assert found.arithmetic[0].flops_per_s == 100e9
    assert any("could not be kept" in note for note in found.notes)
    assert any("could not be kept" in line for line in said)
    known = known_peaks()
    assert isinstance(known, str)
    assert "measure it" in known


def test_a_cache_folder_that_cannot_be_written_still_gives_peaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RTFLOOR_CACHE", str(tmp_path / "file" / "cache"))
    for short in (True, False):
        found = host_peaks(Workers(lambda _: reply()), [1], quick=short, say=lambda _: None)
        assert isinstance(found, Peaks)
        assert found.arithmetic[0].flops_per_s == 100e9
        assert any(
            "these peaks could not be kept for later" in note and "RTFLOOR_CACHE" in note for note in found.notes
        )
    assert "RTFLOOR_CACHE" in str(known_peaks())


def test_a_kept_figure_that_no_processor_reaches_goes_away() -> None:
    path = keep.place(made(lambda _: reply(100.0)).fingerprint)
    record = json.loads(path.read_text())
    record["arithmetic"][0]["flops_per_s"] = 1e30
    path.write_text(json.dumps(record))
    known = known_peaks()
    assert isinstance(known, Peaks)
    assert known.arithmetic == ()
    assert any("fp32 with fma on 1 thread was dropped" in note for note in known.notes)
    later = made(lambda _: reply(90.0))
    assert later.arithmetic[0].flops_per_s == 90e9
    assert any("fp32 with fma on 1 thread was dropped" in note for note in later.notes)
    # What was right is still known.
    assert later.bandwidth[0].bytes_per_s == 70e9
    after = known_peaks()
    assert isinstance(after, Peaks)
    assert after.arithmetic == later.arithmetic


def test_a_figure_that_no_processor_reaches_is_not_collected_either() -> None:
    peaks = made(lambda _: reply(200.0))
    assert peaks.arithmetic == ()
    assert any("fp32 with fma on 1 thread was dropped" in note for note in peaks.notes)
    still = made(lambda _: reply(clock=1e12))
    assert any("core clock of 1000 GHz was dropped" in note for note in still.notes)
    assert (still.clock_hz, still.facts["clock_hz_by_threads"]) == (4e9, {"1": 4e9})


def test_one_bad_instruction_set_costs_itself_only() -> None:
    # A virtual machine may say it has an instruction that its host then refuses.
    def answer(request: dict[str, Any]) -> Outcome:
        if request["only"]:
            return CRASH if request["only"] == "avx512f" else reply(jobs=[])
        return reply() if "avx512f" in request["without"] else CRASH

    workers = Workers(answer)
    peaks = host_peaks(workers, [1], quick=True, say=lambda _: None)
    assert isinstance(peaks, Peaks)
    assert peaks.arithmetic
    assert "avx512f could not be measured: it crashed with SIGILL" in peaks.notes
    assert [one["only"] for one in workers.asked] == ["", "none", "fma", "avx512f", ""]
    # Trying goes over no memory and repeats nothing.
    assert all(one["rounds_least"] == 0 for one in workers.asked[1:4])


def test_a_machine_that_only_crashes_has_a_reason_and_no_peaks() -> None:
    found = quick(lambda _: CRASH)
    assert found == "the peaks of this machine could not be measured: it crashed with SIGILL"


def test_a_worker_that_cannot_compile_says_why() -> None:
    body = {"status": "unavailable", "kind": "UnavailableError", "reason": "llvmlite is not installed"}
    workers = Workers(lambda _: Outcome("ok", body))
    found = host_peaks(workers, [1], quick=True, say=lambda _: None)
    assert found == "the peaks of this machine could not be measured: llvmlite is not installed"
    assert len(workers.asked) == 1


def test_a_kernel_with_a_wrong_answer_is_named() -> None:
    peaks = made(lambda _: reply(refused={"int8 with avx512_vnni": "its answer is wrong: 1 and not 2"}))
    assert "int8 with avx512_vnni could not be measured: its answer is wrong: 1 and not 2" in peaks.notes


def test_a_later_sitting_that_fails_is_said_and_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "QUICK_SITTINGS", 3)
    answers = iter([reply(), Outcome("ok", {"status": "failed", "reason": "OSError: no memory"}), reply(120.0)])
    peaks = made(lambda _: next(answers))
    assert peaks.arithmetic[0].flops_per_s == 120e9
    assert "sitting 2 of 3 is missing: OSError: no memory" in peaks.notes


def test_threads_that_move_about_are_said() -> None:
    assert any("CPUs of their own" in note for note in made(lambda _: reply(pinned=False)).notes)


def test_more_threads_than_cpus_are_all_cpus() -> None:
    workers = Workers(lambda _: reply())
    host_peaks(workers, [1, 64], quick=True, say=lambda _: None)
    assert [threads for threads, _ in workers.asked[0]["worksets"]] == [1, 2]


@pytest.mark.parametrize(("cpus", "threads"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (16, (1, 2, 4, 8, 16))])
def test_threads_double_up_to_all(cpus: int, threads: tuple[int, ...]) -> None:
    assert all_threads(cpus) == threads


def test_clocks_of_all_sittings_are_remembered() -> None:
    peaks = made(lambda _: reply())
    older = replace(peaks, facts={**peaks.facts, "clock_hz_lowest": 1e9, "clock_hz_by_threads": {"1": 5e9, "2": 2e9}})
    facts = keep.merged(peaks, older).facts
    assert facts["clock_hz_lowest"] == 1e9
    assert facts["clock_hz_by_threads"] == {"1": 5e9, "2": 2e9}


def test_a_real_sitting(monkeypatch: pytest.MonkeyPatch) -> None:
    # In a real worker, with real kernels; nothing is said about how fast they must be.
    monkeypatch.undo()
    cpus = len(facts_of_host.usable_cpus())
    monkeypatch.setattr(host, "QUICK_BUDGET_S", 0.1)
    monkeypatch.setattr(host, "ROUNDS_LEAST", 1)
    monkeypatch.setattr(host, "REPEAT_S", 5e-4)
    peaks = host_peaks(spawn, [1, cpus], quick=True, say=lambda _: None)
    assert isinstance(peaks, Peaks), peaks
    assert not [note for note in peaks.notes if "could not be measured" in note]
    assert {(row.precision, row.threads) for row in peaks.arithmetic} >= {("fp32", 1), ("fp64", cpus)}
    assert {row.level for row in peaks.bandwidth} == {level.name for level in peaks.levels}
    assert {row.kind for row in peaks.bandwidth} == {"read", "write", "copy", "add"}
    assert all(0 < (row.median_flops_per_s or 0) <= row.flops_per_s for row in peaks.arithmetic)
    assert all(0 < (row.median_bytes_per_s or 0) <= row.bytes_per_s for row in peaks.bandwidth)
    assert peaks.clock_hz is not None
    assert 1e8 < peaks.clock_hz < 1e10
    assert Peaks.from_json(json.loads(json.dumps(peaks.to_json()))) == peaks
