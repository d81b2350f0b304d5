"""A sweep that compares the wrong cells says of one option what another one did."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.expand import Choice, expand
from bench.plan import Cell, Plan
from bench.suite import Group, Suite, parse_suite
from bench.sweeps import Axis, weave
from results.sweep import Contrast, Sweep

CPUS = 4
DEFAULTS = {"a": 0, "b": False, "c": "x"}
A, B, C = Axis("a", (0, 1, 2)), Axis("b", (False, True)), Axis("c", ("x", "y"), (("b", True),))


def make(changes: Any, copy: int) -> Cell | str:
    options = {**DEFAULTS, **changes}
    changed = tuple(name for name, value in options.items() if value != DEFAULTS[name])
    if options["a"] == 2 and options["b"]:
        return "two and b do not go together"
    return Cell("m", "raw", "r", "mono", 1, options, changed, copy=copy)


def contrast(sweep: Sweep, axis: str, value: str) -> Contrast:
    found = [arm for arm in sweep.arms if (arm.axis, arm.value) == (axis, value)]
    assert len(found) == 1
    assert len(found[0].contrasts) == 1
    return found[0].contrasts[0]


def test_one_at_a_time_compares_each_value_with_the_default() -> None:
    cells, sweep = weave("one-at-a-time", [A, B], make, 2)
    assert sweep.default == "m/raw/r/mono/1"
    assert contrast(sweep, "a", "2") == Contrast(("m/raw/r/mono/1/a=2",), (sweep.default,))
    assert [cell.id for cell in cells] == [
        sweep.default,
        *(f"{sweep.default}/{change}" for change in ("a=1", "a=2", "b=true", "copy=1", "copy=2")),
    ]
    assert [arm.kind for arm in sweep.arms] == ["value"] * 3 + ["copy"] * 2
    assert sweep.copies == (f"{sweep.default}/copy=1", f"{sweep.default}/copy=2")


def test_a_value_that_needs_another_is_compared_with_that_other_alone() -> None:
    # Beside the default it would be blamed for what b does.
    _, sweep = weave("one-at-a-time", [B, C], make, 0)
    assert contrast(sweep, "c", "y") == Contrast(("m/raw/r/mono/1/b=true/c=y",), ("m/raw/r/mono/1/b=true",))


def test_pairs_ask_for_what_two_values_do_beyond_each_alone() -> None:
    _, sweep = weave("pairs", [A, B], make, 0)
    found = contrast(sweep, "a × b", "1 × true")
    assert found == Contrast(
        ("m/raw/r/mono/1/a=1/b=true", "m/raw/r/mono/1"), ("m/raw/r/mono/1/a=1", "m/raw/r/mono/1/b=true")
    )
    # What cannot be had is told with its reason, and compared with nothing.
    assert sweep.left_out == (("a × b", "2 × true", "two and b do not go together"),)
    assert not [arm for arm in sweep.arms if arm.value == "2 × true"]


def test_a_grid_averages_a_value_over_all_that_stands_beside_it() -> None:
    cells, sweep = weave("grid", [A, B, C], make, 0)
    one = next(arm for arm in sweep.arms if arm.value == "1")
    assert {found.plus[0].removeprefix("m/raw/r/mono/1/") for found in one.contrasts} == {
        "a=1",
        "a=1/b=true",
        "a=1/b=true/c=y",
    }
    for found in one.contrasts:
        assert found.minus[0] == found.plus[0].replace("/a=1", "")
    # Without b, c changes nothing: no time is spent on it.
    assert not [cell for cell in cells if cell.options["c"] == "y" and not cell.options["b"]]
    assert all(len(arm.contrasts) > 0 for arm in sweep.arms)


def test_a_default_that_cannot_be_had_is_said_before_anything_runs() -> None:
    with pytest.raises(UserError, match="two and b"):
        weave(
            "one-at-a-time",
            [Axis("a", (2, 0)), Axis("b", (True, False))],
            lambda changes, copy: make({"a": 2, "b": True} | dict(changes), copy),
            0,
        )


def test_a_sweep_of_days_is_refused_with_the_way_out() -> None:
    axes = [Axis(f"axis{number}", (0, 1)) for number in range(12)]
    with pytest.raises(UserError, match=r"4096 cells.*--axis"):
        weave("grid", axes, make, 0)


def test_copies_serve_the_comparisons_best_when_nobody_says() -> None:
    axes = [Axis(f"axis{number}", (0, 1)) for number in range(25)]
    _, sweep = weave(
        "one-at-a-time",
        axes,
        lambda changes, copy: Cell("m", "raw", "r", "mono", 1, dict(changes), tuple(changes), copy=copy),
        None,
    )
    assert len(sweep.copies) == 4  # and the default itself: √25


def test_a_grid_sets_what_an_axis_needs_and_nobody_changes() -> None:
    cells, sweep = weave("grid", [A, C], make, 0)
    assert all(cell.options["b"] for cell in cells if not cell.copy)
    found = next(arm for arm in sweep.arms if arm.value == "y")
    assert all(one.plus[0].replace("/c=y", "") == one.minus[0] for one in found.contrasts)


def test_two_sweeps_from_one_default_are_both_kept() -> None:
    text = """
    [[cells]]
    models = ["null"]
    runtimes = ["fake"]
    sweep = "one-at-a-time"
    axes = ["precision"]
    [[cells]]
    models = ["null"]
    runtimes = ["fake"]
    sweep = "one-at-a-time"
    axes = ["label"]
    """
    plan = expand(parse_suite(text, "s", Path()), Choice(), "quick", CPUS)
    assert [sweep.arms[0].axis for sweep in plan.sweeps] == ["precision", "label"]


FAKE = Group(("null",), ("fake",), (), ("mono",), (1,))


def planned(**choice: Any) -> Plan:
    return expand(Suite("mine", "mine", (FAKE,)), Choice(**choice), "quick", CPUS)


def test_flags_make_any_suite_a_sweep() -> None:
    plan = planned(
        sweep="one-at-a-time", axes=("mode=wrong,raise",), options=("latency_us=100", "latency_us=300"), copies=1
    )
    (sweep,) = plan.sweeps
    assert sweep.default == "null/raw/fake/mono/1/latency_us=100.0"
    values = {(arm.axis, arm.value) for arm in sweep.arms if arm.kind == "value"}
    assert ("latency_us", "300.0") in values
    assert ("mode", "wrong") in values
    assert not plan.race  # a value that is slower is what one wants to know


def test_values_of_an_axis_can_be_named_beside_it() -> None:
    (sweep,) = planned(sweep="one-at-a-time", axes=("latency_us=300,400",), copies=0).sweeps
    assert [(arm.axis, arm.value) for arm in sweep.arms] == [("latency_us", "300.0"), ("latency_us", "400.0")]


def test_threads_and_layouts_are_axes_and_the_first_is_the_default() -> None:
    group = Group(("rt8",), ("fake",), ("raw",), ("seq", "batch2", "mono"), ("all", 1))
    plan = expand(Suite("s", "s", (group,)), Choice(sweep="one-at-a-time", axes=("label",), copies=0), "quick", CPUS)
    (sweep,) = plan.sweeps
    assert contrast(sweep, "threads", "1") == Contrast(("rt8/raw/fake/seq/1",), ("rt8/raw/fake/seq/4",))
    assert contrast(sweep, "layout", "batch2") == Contrast(("rt8/raw/fake/batch2/4",), ("rt8/raw/fake/seq/4",))
    # Half the work in half the time is no gain.
    assert [(axis, value) for axis, value, _ in sweep.left_out] == [("layout", "mono")]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"axes": ("mode",)}, "--sweep one-at-a-time"),
        ({"copies": 2}, "--sweep"),
        ({"sweep": "grid", "axes": ("nothing",)}, "no chosen runtime has an axis 'nothing'"),
        ({"sweep": "grid"}, "needs something to try"),
        ({"sweep": "grid", "axes": ("latency_us",)}, "which values of latency_us"),
        ({"sweep": "grid", "axes": ("mode=sideways",)}, "mode='sideways' is not allowed"),
        ({"sweep": "grid", "axes": ("threads=1,2",)}, "give --threads twice or more"),
        ({"sweep": "grid", "axes": ("layout",)}, "give --layout twice or more"),
        ({"sweep": "grid", "axes": ("all=1",)}, "takes no values"),
    ],
)
def test_a_sweep_that_cannot_be_says_what_to_do(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        planned(**choice)
    assert words in str(caught.value)


def test_a_plan_with_sweeps_comes_back_from_its_run_file_as_it_was() -> None:
    plan = planned(sweep="pairs", axes=("label", "precision"))
    assert Plan.from_json(plan.to_json()) == plan
    assert Sweep.from_json(asdict(plan.sweeps[0])) == plan.sweeps[0]


def test_a_suite_says_how_it_is_swept() -> None:
    text = """
    [[cells]]
    models = ["null"]
    runtimes = ["fake"]
    sweep = "grid"
    axes = ["label"]
    copies = 2
    [profiles.quick]
    budget_s = 7
    """
    suite = parse_suite(text, "s", Path())
    assert (suite.groups[0].sweep, suite.groups[0].axes, suite.groups[0].copies) == ("grid", ("label",), 2)
    assert expand(suite, Choice(), "quick", CPUS).measure == {"budget_s": 7}
    assert expand(suite, Choice(), "smoke", CPUS).measure == {}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sweep = 'spiral'", "'spiral'"),
        ("axes = ['mode']", "axes is for a sweep"),
        ("sweep = 'grid'\ncopies = -1", "copies has -1"),
        ("sweep = 'grid'\ncopies = true", "copies has True"),
        ("placements = ['far']", "'far'"),
        ("[profiles.fast]\nbudget_s = 1", "'fast'"),
        ("[profiles.quick]\nbudget = 1", "'budget'"),
        ("[profiles.quick]\nrounds_most = 0", "rounds_most is 0"),
        ("[profiles.quick]\nrounds_most = 2.5", "rounds_most is 2.5"),
        ("[profiles.quick]\nbudget_s = 'long'", "budget_s is 'long'"),
    ],
)
def test_a_suite_that_is_wrong_about_sweeps_is_refused_by_name(line: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_suite(f"[[cells]]\nmodels = ['null']\nruntimes = ['fake']\n{line}\n", "s", Path())
    assert words in str(caught.value)
