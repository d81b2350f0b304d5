"""Stop too early and a claim rests on luck; stop too late and the answer takes an hour."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bench.plan import Cell
from bench.profile import Profile, profiles
from bench.stopping import live
from results.ranking import rank

MS = 1e6
PLAIN = Profile("plain", "", 60.0, 0.1, 3, 6, 0.01, 60.0, race=False, race_margin=0.0)
RACE = replace(PLAIN, race=True, race_margin=0.15)
# Jitter of ±4 % that no interval of 1 % can come from, the same for all, so that ratios are sharp.
WOBBLE = (1.0, 1.08, 1.0, 1.08, 1.0, 1.08)


def cell(
    runtime: str, layout: str = "seq", threads: int = 2, model: str = "net", form: str = "raw", **options: Any
) -> Cell:
    return Cell(model, form, runtime, layout, threads, options, tuple(options))


def times(level_ms: float, rounds: int, wobble: tuple[float, ...] = WOBBLE) -> dict[int, float]:
    # A trace of noise of its own: no two real cells keep the exact same ratio.
    return {number: level_ms * MS * wobble[number] * (1 + 1e-4 * ((number * 7) % 3)) for number in range(rounds)}


def going(profile: Profile, medians: Mapping[Cell, Mapping[int, float]]) -> set[str]:
    return live(list(medians), {one.id: found for one, found in medians.items() if found}, profile)


def test_cells_without_enough_rounds_go_on_however_steady_they_look() -> None:
    steady = (1.0,) * 6
    for rounds in range(PLAIN.rounds_least):
        assert going(PLAIN, {cell("a"): times(1, rounds, steady)}) == {cell("a").id}
    assert going(PLAIN, {cell("a"): times(1, PLAIN.rounds_least, steady)}) == set()


def test_a_cell_stops_when_its_interval_is_narrow_enough() -> None:
    narrow = {0: 1.000 * MS, 1: 1.001 * MS, 2: 1.002 * MS}
    wide = {0: 1.0 * MS, 1: 1.1 * MS, 2: 0.9 * MS}
    assert going(PLAIN, {cell("narrow"): narrow, cell("wide"): wide}) == {cell("wide").id}
    assert going(replace(PLAIN, target=0.5), {cell("wide"): wide}) == set()


def test_the_target_is_half_the_width_as_the_table_prints_it() -> None:
    # t(0.975, 2) = 4.303; logs of ±d around 0 have the standard error d / sqrt(3).
    d = 0.01 / 4.303 * 3**0.5
    for factor, stops in ((0.98, True), (1.02, False)):
        medians = {0: MS, 1: MS * (1 + d * factor), 2: MS / (1 + d * factor)}
        assert (going(PLAIN, {cell("a"): medians}) == set()) is stops


def test_no_cell_goes_past_the_most_rounds() -> None:
    noisy = times(1, PLAIN.rounds_most)
    assert going(PLAIN, {cell("a"): noisy}) == set()
    assert going(PLAIN, {cell("a"): times(1, PLAIN.rounds_most - 1)}) == {cell("a").id}


def test_a_cell_that_was_never_measured_goes_on() -> None:
    assert going(RACE, {cell("new"): {}, cell("old"): times(1, 4)}) == {cell("new").id, cell("old").id}
    assert live([], {}, RACE) == set()


def test_in_a_race_what_is_behind_beyond_the_margin_stops() -> None:
    # Its rounds are what the front-runners need to be told apart.
    fast, slow = cell("fast"), cell("slow")
    assert going(RACE, {fast: times(1.0, 4), slow: times(1.3, 4)}) == {fast.id}


def test_without_a_race_it_goes_on() -> None:
    fast, slow = cell("fast"), cell("slow")
    assert going(PLAIN, {fast: times(1.0, 4), slow: times(1.3, 4)}) == {fast.id, slow.id}


def test_behind_but_within_the_margin_goes_on() -> None:
    # It may be what the user takes for other reasons; its figure must be as good as the winner's.
    fast, near = cell("fast"), cell("near")
    medians = {fast: times(1.0, 4), near: times(1.1, 4)}
    assert rank({one.id: found for one, found in medians.items()})[near.id] == 2
    assert going(RACE, medians) == {fast.id, near.id}
    assert going(replace(RACE, race_margin=0.05), medians) == {fast.id}


def test_beyond_the_margin_but_not_shown_to_be_behind_goes_on() -> None:
    # One lucky round of the leader must not end a cell that is as fast.
    leader = {0: 0.6 * MS, 1: 1.2 * MS, 2: 0.9 * MS}
    maybe = {0: 1.3 * MS, 1: 0.9 * MS, 2: 1.2 * MS}
    medians = {cell("leader"): leader, cell("maybe"): maybe}
    assert set(rank({one.id: found for one, found in medians.items()}).values()) == {1}
    assert going(RACE, medians) == {cell("leader").id, cell("maybe").id}


def test_nobody_is_left_behind_before_the_least_rounds() -> None:
    fast, slow = cell("fast"), cell("slow")
    assert going(RACE, {fast: times(1.0, 4), slow: times(9.0, 2)}) == {fast.id, slow.id}
    assert going(RACE, {fast: times(1.0, 2), slow: times(9.0, 4)}) == {fast.id, slow.id}


def test_the_leader_of_a_race_is_never_beaten() -> None:
    assert going(RACE, {cell(str(k)): times(1.0 + k, 4) for k in range(5)}) == {cell("0").id}


@pytest.mark.parametrize(
    "other",
    [
        cell("slow", layout="mono"),
        cell("slow", threads=1),
        cell("slow", model="bigger"),
        cell("slow", transfer="device"),
    ],
    ids=["another signal", "another thread budget", "another model", "no transfers"],
)
def test_cells_that_do_different_work_never_race(other: Cell) -> None:
    # Otherwise a large model, or stereo beside mono, would never get its rounds.
    assert going(RACE, {cell("fast"): times(1.0, 4), other: times(50.0, 4)}) == {cell("fast").id, other.id}


def test_calls_without_transfers_race_each_other_and_leave_those_with_them_alone() -> None:
    # The faster of two that do less must not end the slowest of those that do all.
    rivals = {
        cell("a", transfer="device"): times(1.0, 4),
        cell("b", transfer="device"): times(2.0, 4),
        cell("a", transfer="host"): times(3.0, 4),
        cell("c"): times(3.05, 4),
    }
    left = (cell("a", transfer="device"), cell("a", transfer="host"), cell("c"))
    assert going(RACE, rivals) == {one.id for one in left}


def test_forms_and_stereo_layouts_race_each_other() -> None:
    rivals = {
        cell("a", "seq"): times(1.0, 4),
        cell("a", "par"): times(2.0, 4),
        cell("a", "batch2"): times(3.0, 4),
        cell("a", "seq", form="ln"): times(4.0, 4),
    }
    assert going(RACE, rivals) == {cell("a", "seq").id}


def test_a_leader_that_has_settled_still_leads() -> None:
    # Or the slow ones would go on among themselves when the fastest is done.
    done = {number: MS * (1 + 1e-4 * number) for number in range(4)}
    assert going(RACE, {cell("done"): done, cell("slow"): times(2.0, 4)}) == set()


def test_every_profile_can_end() -> None:
    for profile in profiles().values():
        assert 1 <= profile.rounds_least <= profile.rounds_most
        wobble = tuple(1.0 + 0.3 * (number % 2) for number in range(profile.rounds_most))
        assert going(profile, {cell("a"): times(1.0, profile.rounds_most, wobble)}) == set()
