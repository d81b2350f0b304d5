"""Floors of machines that nobody here has: a wrong rate in a profile would be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from results import published
from results.errors import PeaksError
from results.hardware import hardware, names
from results.peaks import Peaks

if TYPE_CHECKING:
    from pathlib import Path

MINE = """\
title = "mine"
device = "cpu"
cores = 2
threads = 4
clock = "boost"
clock_hz = { boost = 3e9 }

[[level]]
name = "L1"
bytes = 32768
private = true

[[arithmetic]]
precision = "fp32"
isa = "sse"
per_clock_and_core = 8
source = "me"

[[bandwidth]]
level = "L1"
kind = "read"
per_s = 1e9
source = "me"
"""


def mine(tmp_path: Path, text: str = MINE) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def best(peaks: Peaks, precision: str, threads: int) -> float:
    found = peaks.flops_per_s(precision, threads)
    assert found is not None
    return found.flops_per_s


def test_the_machines_of_the_charts_are_there() -> None:
    assert names() == ["h200", "rtx-3060", "ryzen-7-5800x"]


@pytest.mark.parametrize("name", ["h200", "rtx-3060", "ryzen-7-5800x"])
def test_every_rate_says_where_it_comes_from_and_none_is_called_measured(name: str) -> None:
    peaks = hardware(name)
    rows = [*peaks.arithmetic, *peaks.bandwidth, *peaks.calls]
    assert rows
    for row in rows:
        assert row.origin in ("published", "derived")
        assert len(row.source) > 10
    assert peaks.notes
    assert all(level.bytes or level.name == "memory" for level in peaks.levels)
    # A level whose rate is unknown would be left out of floors, which then count its bytes against memory.
    assert {level.name for level in peaks.levels} <= {row.level for row in peaks.bandwidth}
    assert Peaks.from_json(peaks.to_json()) == peaks


def test_a_profile_has_the_figures_of_the_datasheet() -> None:
    def printed(row: str) -> float:
        return published.row(row).number

    ryzen, geforce, h200 = hardware("ryzen-7-5800x"), hardware("rtx-3060"), hardware("h200")
    assert (ryzen.cores, ryzen.clock_hz) == (printed("H01.cores"), printed("H01.boost"))
    assert ryzen.facts["threads"] == printed("H01.threads")
    assert [level.bytes for level in ryzen.levels] == [printed(f"H01.{key}") for key in ("l1", "l2", "l3")] + [None]
    assert best(ryzen, "fp32", 8) == pytest.approx(printed("H01.peak_boost"), rel=1e-3)
    memory = {row.kind: row.bytes_per_s for row in ryzen.bandwidth if row.level == "memory"}
    assert memory == {"read": printed("H01.read"), "write": printed("H01.write")}
    assert (geforce.cores, geforce.clock_hz) == (printed("H02.processors"), printed("H02.boost"))
    assert best(geforce, "fp32", 1) == pytest.approx(printed("H02.fp32"), rel=1e-3)
    assert best(geforce, "fp16", 1) == pytest.approx(printed("H02.fp16"), rel=2e-3)
    assert best(geforce, "bf16", 1) == pytest.approx(printed("H02.fp16_fp32"), rel=2e-3)
    assert next(level.bytes for level in geforce.levels if level.name == "L2") == printed("H02.l2")
    assert (h200.cores, h200.clock_hz) == (printed("H03.processors"), printed("H03.clock"))
    # The bound stands at the highest clock, above the datasheet's dense rate and never below it.
    assert best(h200, "fp16", 1) == pytest.approx(printed("H03.dense") * 1.98 / 1.83, rel=1e-3)
    for peaks, key in ((geforce, "H02.bandwidth"), (h200, "H03.bandwidth")):
        found = peaks.bytes_per_s("memory", 1)
        assert found is not None
        assert found.bytes_per_s == printed(key)


def test_more_threads_than_cores_get_no_more_arithmetic_and_one_thread_gets_one_core() -> None:
    # 16 threads of a processor with 8 cores share 8 cores' pipes: twice the peak would halve every floor.
    ryzen = hardware("ryzen-7-5800x")
    assert best(ryzen, "fp32", 16) == best(ryzen, "fp32", 8) == 8 * best(ryzen, "fp32", 1)
    assert best(ryzen, "fp32", 5) == 5 * best(ryzen, "fp32", 1)
    for threads in (1, 8, 16):
        found = ryzen.bytes_per_s("memory", threads)
        assert found is not None
        assert found.bytes_per_s == 51.2e9


def test_a_processor_without_half_floats_computes_them_in_single_precision() -> None:
    ryzen = hardware("ryzen-7-5800x")
    assert best(ryzen, "fp16", 8) == best(ryzen, "fp32", 8)
    assert best(ryzen, "int8", 1) == 4 * best(ryzen, "fp32", 1)


def test_the_charts_of_a_profile_exist() -> None:
    for name in names():
        said = hardware(name).facts.get("published")
        if said:
            about = published.series_about(said["series"])
            assert about.hardware == name
            assert (about.model, about.signal) == (said["model"], said["signal"])


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    peaks = hardware(mine(tmp_path))
    assert (peaks.name, peaks.title, peaks.device) == ("mine", "mine", "cpu")
    assert [best(peaks, "fp32", threads) for threads in (1, 2, 4)] == [24e9, 48e9, 48e9]
    assert peaks.bandwidth[0].origin == "published"
    assert peaks.bandwidth[0].threads == 0


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('device = "cpu"', 'device = "tpu"', ["'device' is 'tpu'", "cpu, gpu"]),
        ("cores = 2", "cores = 0", ["'cores' is 0", "above 0"]),
        ("cores = 2", "cores = true", ["'cores' is True", "whole number"]),
        ("cores = 2", 'cores = "2"', ["'cores' is '2'", "whole number"]),
        ("cores = 2", "cores = 8", ["threads is 4, fewer than the 8 cores"]),
        ("cores = 2\n", "", ["'cores' is missing"]),
        ("boost = 3e9", "base = 3e9", ["clock is 'boost'", "[clock_hz]"]),
        ("boost = 3e9", "boost = -1", ["clock is 'boost'"]),
        ('title = "mine"', 'title = ""', ["'title' is empty"]),
        ('isa = "sse"', 'isa = "sse"\nspeed = 1', ["[[arithmetic]] number 1", "'speed' is unknown", "per_s"]),
        ("per_clock_and_core = 8\n", "", ["[[arithmetic]] number 1", "exactly one of per_s and per_clock_and_core"]),
        ("per_s = 1e9", "per_s = 1e9\nper_clock_and_core = 1", ["[[bandwidth]] number 1", "exactly one"]),
        ("per_s = 1e9", "per_s = inf", ["'per_s' is inf"]),
        ('source = "me"\n', "", ["'source' is missing"]),
        ('kind = "read"', 'kind = "peek"', ["'kind' is 'peek'", "read, write, copy"]),
        ('level = "L1"', 'level = "L9"', ["'L9' is none of the levels", "L1"]),
        ("private = true", "private = 1", ["'private' is 1", "true or false"]),
        ("[[level]]", "[level]", ["[[level]]"]),
        ("[[arithmetic]]", "[[arithmetics]]", ["'arithmetics' is unknown"]),
        ("cores = 2", "cores = ", ["is no TOML"]),
    ],
)
def test_a_broken_profile_names_file_and_key(tmp_path: Path, before: str, after: str, words: list[str]) -> None:
    assert before in MINE
    with pytest.raises(PeaksError) as refused:
        hardware(mine(tmp_path, MINE.replace(before, after)))
    for word in ["mine.toml", *words]:
        assert word in str(refused.value)


def test_an_unknown_machine_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PeaksError, match=r"no hardware profile 'pentium'.*ryzen-7-5800x"):
        hardware("pentium")
    with pytest.raises(PeaksError, match="cannot be read"):
        hardware(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("matches", ['"Ryzen"', "[1]", '[""]', "3"])
def test_names_that_would_match_any_processor_are_refused(tmp_path: Path, matches: str) -> None:
    # A text in place of a list would match letter by letter: every machine would be this one.
    with pytest.raises(PeaksError, match=r"'matches' of \[facts\]"):
        hardware(mine(tmp_path, f"{MINE}\n[facts]\nmatches = {matches}\n"))


@pytest.mark.parametrize("clock", ["inf", "nan", "-1.0", "true"])
def test_a_clock_that_is_no_number_above_0_is_refused(tmp_path: Path, clock: str) -> None:
    with pytest.raises(PeaksError, match="clock"):
        hardware(mine(tmp_path, MINE.replace("boost = 3e9", f"boost = {clock}")))


def test_a_misspelt_precision_is_refused(tmp_path: Path) -> None:
    # Nothing would ever ask for it, and its rates would be missing without a word.
    with pytest.raises(PeaksError, match=r"'precision' is 'fp23'; it must be one of fp64, fp32"):
        hardware(mine(tmp_path, MINE.replace('"fp32"', '"fp23"')))
