"""The steps of a ladder choose cells: a slip must be named before an hour is measured, not drawn afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.expand import Choice, expand
from bench.ladder_spec import STEP_KEYS
from bench.plan import Plan
from bench.suite import load_suite, parse_suite
from results import published
from results.steps import Step

CPUS = 4
CELLS = """
[[cells]]
models = ["rt48"]
forms = ["raw", "ln+swap"]
runtimes = ["ort-cpu", "fake"]
layouts = ["seq", "par"]
threads = [2]
options.ort-cpu.allow_spinning = [true, false]
[[cells]]
models = ["null"]
runtimes = ["fake"]
"""
LAST = "[[steps]]\ntitle = 'best'\n"


def plan(steps: str, profile: str = "quick", **choice: Any) -> Plan:
    return expand(parse_suite(steps + CELLS, "mine.toml", Path("/x")), Choice(**choice), profile, CPUS)


def refused(steps: str, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_suite(steps + CELLS, "mine.toml", Path("/x"))
    for word in ("mine.toml", *words):
        assert word in str(caught.value), str(caught.value)


def step(lines: str) -> str:
    return f"[[steps]]\ntitle = 'first'\n{lines}\n"


def test_a_step_is_the_cells_that_it_asks_for() -> None:
    made = plan(
        step("runtimes = ['fake']\nlayouts = ['seq']\nforms = ['raw']\npublished = 'A28.tract_seq'")
        + "[[steps]]\ntitle = 'plain'\nruntimes = ['ort-cpu']\nlayouts = ['par']\nforms = ['raw']\n"
        + "options = 'default'\n"
        + "[[steps]]\ntitle = 'sleeps'\noptions.ort-cpu.allow_spinning = [false]\nlayouts = ['par']\n"
        + "[[steps]]\ntitle = 'rewritten'\nforms = ['ln,swap']\nthreads = [2]\nruntimes = ['fake']\n"
        + "[[steps]]\ntitle = 'best'\npublished = 'A30.ms'\nestimate = 'A28.least'\n"
    ).ladder
    assert made[0] == Step("first", ("rt48/raw/fake/seq/2",), "A28.tract_seq")
    assert made[1].cells == ("rt48/raw/ort-cpu/par/2",)
    # An option of one runtime is about that runtime alone.
    assert made[2].cells == tuple(f"rt48/{form}/ort-cpu/par/2/allow_spinning=false" for form in ("raw", "ln+swap"))
    # Two ways of writing a form are one form.
    assert made[3].cells == ("rt48/ln+swap/fake/seq/2", "rt48/ln+swap/fake/par/2")
    # The model that does nothing is faster than all of them, and no step of theirs.
    assert len(made[4].cells) == 12
    assert not any("null" in cell for cell in made[4].cells)
    assert (made[4].published, made[4].estimate) == ("A30.ms", "A28.least")


def test_the_ladder_is_kept_in_the_run_file() -> None:
    made = plan(step("runtimes = ['fake']\npublished = 'A28.tract_seq'") + LAST)
    assert made.ladder
    assert Plan.from_json(made.to_json()).ladder == made.ladder


def test_flags_take_cells_and_steps_away() -> None:
    steps = step("runtimes = ['ort-cpu']\nlayouts = ['seq']") + "[[steps]]\ntitle = 'par'\nlayouts = ['par']\n" + LAST
    made = plan(steps, runtimes=("fake",)).ladder
    assert [one.title for one in made] == ["par", "best"]
    assert all("/fake/" in cell for one in made for cell in one.cells)
    # What is left of one step compares nothing.
    assert plan(steps, runtimes=("fake",), layouts=("seq",)).ladder == ()


def test_a_flag_that_brings_another_model_leaves_a_ladder_of_one() -> None:
    made = plan(step("runtimes = ['fake']") + LAST, models=("rt48", "null")).ladder
    assert {cell.partition("/")[0] for one in made for cell in one.cells} == {"rt48"}


def test_a_step_of_another_signal_is_refused() -> None:
    # Half of the work would pass for a gain.
    with pytest.raises(UserError, match="'calls' is about null, mono, and the steps before it are about rt48, stereo"):
        plan(step("models = ['rt48']") + "[[steps]]\ntitle = 'calls'\nmodels = ['null']\n")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("form = ['raw']", ("[[steps]] number 1", "'form'", *STEP_KEYS)),
        ("forms = ['sim']", ("first", "forms has 'sim'", "raw")),
        ("forms = ['nonsense']", ("first", "nonsense")),
        ("forms = 'raw'", ("forms", "list")),
        ("runtimes = ['ort']", ("'ort'", "ort-cpu, fake")),
        ("layouts = ['mono']\nruntimes = ['ort-cpu']", ("matches no cell", "[[cells]]")),
        ("threads = [3]", ("threads has 3", "2, all")),
        ("models = [[1]]", ("models", "[1]")),
        ("options = 'tuned'", ("options", "'default'")),
        ("options.ort-cpu = 3", ("options.ort-cpu", "table")),
        ("options.ort-cpu.allow_spinning = ['maybe']", ("allow_spinning", "'maybe'", "false, true")),
        ("options.ort-cpu.spin = [true]", ("options.ort-cpu.spin", "'true'", "nothing")),
        ("published = 'A28.tract'", ("published", "'A28.tract'", "A28.tract_seq", "A30.ms")),
        # What nobody measured must not stand as a published measurement, nor the other way round.
        ("published = 'A28.least'", ("published", "'A28.least'")),
        ("estimate = 'A28.surgery'", ("estimate", "'A28.surgery'", "A28.least")),
    ],
)
def test_a_slip_is_named_with_what_is_allowed(lines: str, words: tuple[str, ...]) -> None:
    refused(step(lines) + LAST, *words)


def test_a_ladder_has_titles_and_at_least_two_steps() -> None:
    refused("[[steps]]\ntitle = ''\n" + LAST, "number 1", "title")
    refused(LAST, "at least two")
    refused("steps = ['a', 'b']\n", "tables", "[[steps]]")


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_the_built_in_ladder_has_every_published_step_in_every_profile(profile: str) -> None:
    made = expand(load_suite("ladder"), Choice(), profile, CPUS)
    series = [one.row.id for one in published.series("cpu-ladder")]
    told = [name for one in made.ladder for name in (one.published, one.estimate) if name]
    assert told == series
    # Every step is of interest, the slow ones too; and tuning must be able to find that the default is best.
    assert not made.race
    default, tuned = made.ladder[2], made.ladder[3]
    assert len(default.cells) == 1
    assert set(default.cells) < set(tuned.cells)
    assert set(made.ladder[-1].cells) == {cell.id for cell in made.cells}
