"""Figures as people read them: a digit too many is a claim, one too few hides a difference."""

from __future__ import annotations

from typing import Any

import pytest
from made import spec

from reports import words
from results.summary import CellSummary


def cell(status: str = "ok", figures: dict[str, Any] | None = None, **changes: Any) -> CellSummary:
    return CellSummary("c", spec(**changes), status, **(figures or {}))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (1.234, "1.23 ms"),
        (12.34, "12.3 ms"),
        (123.4, "123 ms"),
        (1234.4, "1234 ms"),
        (9999.0, "9999 ms"),
        (12_345.0, "12.3 s"),
        (0.5, "0.500 ms"),
        (0.1, "0.100 ms"),
        (0.0999, "99.9 µs"),
        (0.00123, "1.23 µs"),
        (0.0, "0 µs"),
    ],
)
def test_a_time_has_three_digits_and_a_unit(value: float | None, text: str) -> None:
    assert words.milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (123.4, "123"),
        (99.9, "99.9"),
        (1.234, "1.23"),
        (0.9994, "0.999"),
        (0.1234, "0.123"),
        (0.01234, "0.0123"),
        (0.001234, "0.00123"),
        (0.00001234, "0.0000123"),
        (20_000.0, "20000"),
        (-1.234, "-1.23"),
        # Rounded up to the next power of ten there is one digit less behind the point.
        (9.996, "10.0"),
        (0.9996, "1.00"),
        (99.96, "100"),
    ],
)
def test_a_figure_has_three_significant_digits_and_no_exponent(value: float, text: str) -> None:
    # Two real-time factors of 0.0121 and 0.0124 are not the same; 5e-05 is read by nobody.
    assert words.digits(value) == text


def test_no_interval_is_no_spread() -> None:
    assert words.spread(cell()) == ""
    assert words.spread(cell(figures={"p50_ms": 1.0, "p50_ci_ms": (0.99, 1.01)})) == "±1.0 %"
    assert words.spread(cell(figures={"p50_ms": 1.0, "p50_ci_ms": (0.75, 1.25)})) == "±25 %"


def test_par_says_how_the_threads_were_shared() -> None:
    assert words.layout(cell(layout="par", threads=4)) == "par 2‖2"
    assert words.layout(cell(layout="par", threads=1)) == "par 1‖1"
    assert words.layout(cell(layout="seq", threads=4)) == "seq"


def test_a_runtime_is_named_with_its_version_and_what_was_changed() -> None:
    # Two rows that differ in an option must not look alike.
    options = {"precision": "bf16", "pinning": True, "spread": 0.5, "mode": "ok"}
    changed = cell(figures={"version": "1.2"}, options=options, changed=["precision", "pinning", "spread"])
    assert words.runtime(changed) == "fake 1.2 precision=bf16 pinning=true spread=0.5"
    assert words.runtime(cell()) == "fake"


def test_threads_that_ran_stand_beside_those_allowed() -> None:
    assert words.threads(cell(figures={"threads_used": 1}, threads=4)) == "1/4"
    assert words.threads(cell(threads=4)) == "–/4"


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ({}, "–"),
        ({"max_abs_error": 0.0, "snr_db": None}, "exact"),
        ({"max_abs_error": 1.234e-6, "snr_db": 120.4}, "1.2e-06 120 dB"),
        # Whole numbers have an error and no ratio.
        ({"max_abs_error": 3.0, "snr_db": None}, "3.0e+00"),
    ],
)
def test_an_error_is_shown_with_its_ratio(figures: dict[str, Any], text: str) -> None:
    assert words.error(cell(figures=figures)) == text


def test_a_race_is_named_by_what_its_cells_share() -> None:
    assert words.race(("rt48", "stereo", 2)) == "rt48, stereo, 2 threads"
    assert words.race(("null", "mono", 1)) == "null, mono, 1 thread"


def test_what_is_no_number_is_said_and_not_a_traceback() -> None:
    assert words.digits(float("nan")) == "not a number"
    assert words.digits(float("inf")) == "∞"
    assert words.digits(float("-inf")) == "-∞"
    assert words.error(cell(figures={"max_abs_error": float("inf"), "snr_db": float("-inf")})) == "∞"
    assert words.error(cell(figures={"max_abs_error": 1.0, "snr_db": float("nan")})) == "1.0e+00"


def test_a_gap_below_one_is_no_gap() -> None:
    assert (words.gap(None), words.gap(2.4512), words.gap(0.9)) == ("–", "2.45 ×", "below: wrong")
