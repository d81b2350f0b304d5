"""How long it will still take: people decide by it whether to wait or to stop."""

from __future__ import annotations

import pytest

from bench.plan import Cell
from bench.progress import Bar, Lines, time_left_s, watcher
from results.record import Record

CELL = Cell("null", "raw", "fake", "mono", 1)


def ended(status: str, reason: str = "") -> Record:
    return Record(CELL.id, 0, status, reason, "")


def test_before_the_first_process_it_is_the_whole_budget() -> None:
    assert time_left_s(0.0, 200.0, 0, 30) == 200.0


def test_few_processes_end_before_the_budget_does() -> None:
    # Ten took 20 s; three are left.
    assert time_left_s(20.0, 200.0, 10, 3) == pytest.approx(6.0)


def test_many_processes_end_with_the_budget() -> None:
    assert time_left_s(20.0, 200.0, 10, 1000) == pytest.approx(180.0)


def test_nothing_left_is_no_time() -> None:
    assert time_left_s(20.0, 200.0, 10, 0) == 0.0


@pytest.mark.parametrize("left", [0, 1, 1000])
def test_past_the_budget_it_is_never_negative(left: int) -> None:
    # Every cell is measured once, whatever the budget says.
    assert time_left_s(300.0, 200.0, 10, left) == 0.0


def test_a_log_has_a_line_per_step_and_round_and_failure(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.say("preparing null/raw")
    lines.begin(2, 200.0)
    for number in (0, 0, 1):
        lines.before(CELL, number, 59.6)
        lines.after(CELL, ended("ok"), 60.0, 3)
    lines.after(CELL, ended("failed", "it crashed with SIGSEGV"), 61.0, 0)
    lines.end()
    out, error = capsys.readouterr()
    assert out == ""  # stdout belongs to the result
    assert error.splitlines() == [
        "preparing null/raw",
        "measuring 2 cells, at most 3 min 20 s after every cell was measured once",
        "round 1, 1 min 00 s so far",
        "round 2, 1 min 00 s so far",
        "failed null/raw/fake/mono/1: it crashed with SIGSEGV",
    ]


def test_no_terminal_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(watcher(), Lines)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert isinstance(watcher(), Bar)


def test_the_bar_names_a_failure_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    # Files and options may hold square brackets, which the terminal library reads as colours.
    cell = Cell("net[v2]", "raw", "fake", "mono", 1)
    bar = Bar()
    bar.say(f"preparing {cell.model}")
    bar.begin(1, 200.0)
    bar.before(cell, 0, 0.0)
    bar.after(cell, Record(cell.id, 0, "failed", "operator [Loop] is not supported", ""), 1.0, 2)
    bar.end()
    out, error = capsys.readouterr()
    assert out == ""
    assert "operator [Loop] is not supported" in error
    assert cell.id in error


def test_the_bar_survives_every_order_of_events(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar()
    bar.begin(1, 0.0)
    bar.after(CELL, ended("ok"), 0.0, 0)
    bar.end()
    Bar().end()
    assert "Traceback" not in capsys.readouterr().err
