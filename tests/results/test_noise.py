"""Whether a run may be believed: a noisy one that reads "quiet" is worse than none."""

from typing import Any

import pytest
from made import dead, record

from results.noise import noise
from results.record import Record

MS = 1_000_000


def processes(count: int, **facts: Any) -> list[Record]:
    """So many equal processes of one cell."""
    return [record("c", number, [MS] * 9, **facts) for number in range(count)]


def disturbed(share: float, count: int = 20, **disturbance: Any) -> list[Record]:
    """Processes of which that share saw a disturbance."""
    bad = round(share * count)
    quiet = {"foreign": 0.0, "steal": 0.0}
    return [
        record("c", number, [MS] * 9, disturbance={**quiet, **(disturbance if number < bad else {})})
        for number in range(count)
    ]


def test_equal_undisturbed_processes_are_quiet() -> None:
    found = noise(processes(20))
    assert (found.processes, found.foreign, found.steal, found.apart, found.widest) == (20, 0.0, 0.0, 0.0, 1.0)
    assert found.quiet
    assert found.sentence.startswith("quiet (equal processes differ by up to 1.00×")


@pytest.mark.parametrize(
    ("key", "share", "words"),
    [("foreign", 0.06, "other programs were busy"), ("steal", 0.03, "the hypervisor took processor time")],
)
def test_more_than_a_tenth_of_disturbed_processes_is_noisy(key: str, share: float, words: str) -> None:
    noisy = noise(disturbed(0.15, 20, **{key: share}))
    assert not noisy.quiet
    assert noisy.sentence.startswith("NOISY: ")
    assert words in noisy.sentence
    assert "15%" in noisy.sentence
    assert noise(disturbed(0.10, 20, **{key: share})).quiet


@pytest.mark.parametrize(("key", "share"), [("foreign", 0.05), ("steal", 0.02)])
def test_what_is_just_tolerated_is_not_counted(key: str, share: float) -> None:
    found = noise(disturbed(1.0, 20, **{key: share}))
    assert getattr(found, key) == 0.0
    assert found.quiet


def test_equal_processes_that_differ_are_noisy_though_no_counter_shows_it() -> None:
    # A neighbour on the same physical core is invisible from inside.
    records = [record("c", number, [MS] * 9) for number in range(8)]
    records += [record("c", number, [int(1.8 * MS)] * 9) for number in (8, 9)]
    found = noise(records)
    assert found.apart == pytest.approx(0.2)
    assert found.widest == pytest.approx(1.8)
    assert not found.quiet
    assert "20% of equal processes differ by more than 10 %, up to 1.8×" in found.sentence


def test_faster_than_the_rest_is_as_odd_as_slower() -> None:
    slow = [record("c", number, [int(MS * (1.2 if number == 0 else 1))] * 9) for number in range(5)]
    fast = [record("c", number, [int(MS / (1.2 if number == 0 else 1))] * 9) for number in range(5)]
    assert noise(slow).apart == noise(fast).apart == pytest.approx(0.2)


def test_cells_are_compared_with_themselves_only() -> None:
    records = [record(cell, number, [level * MS] * 9) for cell, level in (("a", 1), ("b", 40)) for number in range(4)]
    found = noise(records)
    assert (found.apart, found.widest, found.quiet) == (0.0, 1.0, True)


def test_warm_up_does_not_make_processes_differ() -> None:
    records = [record("c", number, [*[MS] * 9, *[2 * MS] * 8], warmup=0) for number in range(2)]
    records += [record("c", number, [*[50 * MS] * 30, *[MS] * 9], warmup=30) for number in (2, 3)]
    assert noise(records).widest == 1.0


def test_two_processes_cannot_tell_which_is_odd() -> None:
    found = noise([record("c", 0, [MS] * 9), record("c", 1, [3 * MS] * 9)])
    assert (found.apart, found.widest) == (None, None)
    assert found.sentence == "no counter shows a disturbance; too few processes to see more"


def test_unknown_counters_are_unknown_and_not_quiet() -> None:
    found = noise(processes(4, disturbance={"foreign": None, "steal": None}))
    assert (found.foreign, found.steal) == (None, None)
    assert "no counter shows" not in found.sentence  # none was there to show anything


@pytest.mark.parametrize(("bad", "count"), [(1, 20), (1, 4), (1, 1)])
def test_a_disturbance_that_was_seen_is_not_denied(bad: int, count: int) -> None:
    # Too rare for a verdict on the run, but "no counter shows a disturbance" would be untrue.
    found = noise(disturbed(bad / count, count, foreign=0.6))
    assert found.foreign == bad / count
    assert "no counter shows a disturbance" not in found.sentence


def test_one_odd_process_of_a_few_is_no_verdict_on_the_machine() -> None:
    assert noise(disturbed(1 / 9, 9, foreign=0.6)).quiet
    assert not noise(disturbed(2 / 9, 9, foreign=0.6)).quiet


def test_shares_are_of_the_processes_that_know() -> None:
    known = disturbed(0.5, count=4, foreign=0.5)
    unknown = [record("c", number, [MS] * 9, disturbance={"foreign": None, "steal": None}) for number in range(4, 9)]
    assert noise([*known, *unknown]).foreign == pytest.approx(0.5)


def test_processes_that_died_say_nothing() -> None:
    found = noise([*processes(4), dead("c", 4, "failed", "it crashed"), dead("d", 0, "timeout", "it hung")])
    assert (found.processes, found.quiet) == (4, True)


def test_nothing_measured_is_not_called_quiet() -> None:
    for records in ([], [dead("c", 0, "failed", "x")]):
        found = noise(records)
        assert found.processes == 0
        assert "nothing was measured" in found.sentence
        assert (found.foreign, found.steal, found.apart, found.widest) == (None, None, None, None)
