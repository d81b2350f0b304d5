"""A suite is what a user writes by hand: a slip must be named, not measured for an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.expand import Choice, expand
from bench.profile import profiles
from bench.suite import GROUP_KEYS, SUITE_KEYS, Group, builtin_names, load_suite, parse_suite

FOLDER = Path("/somewhere/suites")
CELLS = '[[cells]]\nmodels = ["null"]\nruntimes = ["fake"]\n'
MODEL = '[models.net]\npath = "net.onnx"\n'


def refused(text: str, *words: str) -> None:
    """Refused in a sentence that names the suite, the place and what is allowed."""
    with pytest.raises(UserError) as caught:
        parse_suite(text, "mine.toml", FOLDER)
    for word in ("mine.toml", *words):
        assert word in str(caught.value), str(caught.value)


def group(text: str) -> Group:
    (parsed,) = parse_suite(text, "mine.toml", FOLDER).groups
    return parsed


def test_every_key_arrives_where_it_belongs() -> None:
    suite = parse_suite(
        """
        title = "mine"
        [models.net]
        path = "net.onnx"
        shapes = { x = [1, 2, 480] }
        states = { h = "h_next" }
        inputs = { x = "-1..1" }
        frames = 1
        hop = 480
        sample_rate = 48000
        [[cells]]
        models = ["net"]
        forms = ["raw"]
        runtimes = ["ort-cpu", "fake"]
        layouts = ["seq", "batch2"]
        threads = [1, "all"]
        profiles = ["smoke", "quick"]
        options.ort-cpu.graph_optimization_level = ["basic", "all"]
        options.fake.latency_us = 150
        """,
        "mine.toml",
        FOLDER,
    )
    assert (suite.name, suite.title) == ("mine.toml", "mine")
    assert suite.groups == (
        Group(
            models=("net",),
            runtimes=("ort-cpu", "fake"),
            forms=("raw",),
            layouts=("seq", "batch2"),
            threads=(1, "all"),
            profiles=("smoke", "quick"),
            # A list is a sweep; a single value is tried alone.
            options={"ort-cpu": {"graph_optimization_level": ("basic", "all")}, "fake": {"latency_us": (150,)}},
        ),
    )
    net = suite.models["net"]
    assert (net.shapes, net.states, net.values) == ({"x": (1, 2, 480)}, {"h": "h_next"}, {"x": "-1..1"})
    assert net.audio_s == 0.01


def test_what_is_left_out_is_as_documented() -> None:
    suite = parse_suite(CELLS, "mine.toml", FOLDER)
    assert suite.title == "mine.toml"
    assert suite.groups == (Group(("null",), ("fake",), (), ("mono",), ("all",), (), {}),)


def test_a_model_path_is_relative_to_the_suite_and_not_to_where_one_stands() -> None:
    # Otherwise a suite works in one folder only, or measures another file of the same name.
    text = MODEL + '[models.far]\npath = "/models/far.onnx"\n' + CELLS
    models = parse_suite(text, "mine.toml", FOLDER).models
    assert models["net"].path == str(FOLDER / "net.onnx")
    assert models["far"].path == "/models/far.onnx"


def test_a_suite_file_names_models_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.toml").write_text(MODEL + CELLS)
    monkeypatch.chdir(tmp_path)
    assert load_suite("sub/mine.toml").models["net"].path == str(tmp_path / "sub" / "net.onnx")


def test_an_unknown_key_is_named_with_the_ones_there_are() -> None:
    # A misspelt key would silently do nothing, and the user would believe it did.
    refused("titel = 'x'\n" + CELLS, "titel", *SUITE_KEYS)
    refused(CELLS + "thread = [1]\n", "[[cells]] number 1", "thread", *GROUP_KEYS)
    refused(CELLS + CELLS + "layout = ['seq']\n", "[[cells]] number 2", "'layout'", "layouts")
    refused(MODEL + "shape = { x = [1] }\n" + CELLS, "[models.net]", "'shape'", "shapes", "sample_rate")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("layouts = 'seq'", ("layouts", "list")),
        ("layouts = []", ("layouts", "list")),
        ("layouts = [1]", ("layouts", "1")),
        ("layouts = ['quad']", ("'quad'", "mono", "seq", "par", "batch2")),
        ("profiles = ['huge']", ("'huge'", "smoke", "quick", "full")),
        ("forms = 'ln'", ("forms", "list")),
        ("threads = 'all'", ("threads", "list")),
        ("threads = [0]", ("threads", "0", "from 1", "'all'")),
        ("threads = [-2]", ("threads", "-2", "from 1")),
        ("threads = [1.5]", ("threads", "1.5", "whole numbers")),
        ("threads = [true]", ("threads", "True", "whole numbers")),
        ("threads = ['many']", ("threads", "'many'", "'all'")),
        ("threads = [[1]]", ("threads", "[1]", "whole numbers")),
        ("options = 3", ("options", "table", "int")),
        ("options.fake = 'fast'", ("options.fake", "table", "str")),
    ],
)
def test_a_wrong_type_or_value_in_a_group_is_named(line: str, words: tuple[str, ...]) -> None:
    refused(CELLS + line + "\n", "[[cells]] number 1", *words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("shapes = 3", ("shapes", "table")),
        ("shapes = [1, 2]", ("shapes", "table")),
        ("states = ['h']", ("states", "table")),
        ("inputs = 'x'", ("inputs", "table")),
        ("shapes = { x = 3 }", ("shapes.x", "3")),
        ("audio_seconds = 'long'", ("audio seconds", "'long'")),
    ],
)
def test_a_wrong_type_in_a_model_is_named(line: str, words: tuple[str, ...]) -> None:
    # A person's own slip must not end in a traceback.
    refused(MODEL + line + "\n" + CELLS, "[models.net]", *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models = 3\n" + CELLS, ("[models]", "table")),
        ("[models]\nnet = 3\n" + CELLS, ("[models.net]", "table")),
        ("[models.net]\nshapes = { x = [1] }\n" + CELLS, ("[models.net]", "path")),
        ("cells = 'null'\n", ("[[cells]]", "models", "runtimes")),
        ("cells = [1]\n", ("[[cells]] number 1", "table")),
        ("", ("[[cells]]",)),
        ("title = 'empty'\n", ("[[cells]]",)),
        ("[[cells]]\nmodels = ['null']\n", ("number 1", "runtimes")),
        ("[[cells]]\nruntimes = ['fake']\n", ("number 1", "models")),
        ("[[cells]\n", ("TOML", "line 1")),
        ("title = 'a'\ntitle = 'b'\n", ("TOML",)),
    ],
)
def test_what_is_missing_or_not_toml_is_named(text: str, words: tuple[str, ...]) -> None:
    refused(text, *words)


def test_a_title_that_is_no_text_is_refused() -> None:
    refused("title = ['a', 'b']\n" + CELLS, "title")


def test_an_option_with_no_values_is_refused() -> None:
    # A sweep over nothing would silently leave the whole runtime out of the table.
    refused(CELLS + "options.fake.latency_us = []\n", "latency_us")


def test_a_file_of_ones_own_cannot_pass_for_a_zoo_model() -> None:
    # Rows named rt48 would be quoted as rt48's, and its name picks the seeded inputs.
    refused("[models.rt48]\npath = 'other.onnx'\n" + CELLS, "rt48")


def test_a_thread_number_may_be_text_as_on_the_command_line() -> None:
    assert group(CELLS + "threads = ['2', 'all']\n").threads == (2, "all")


def test_a_suite_may_keep_its_slow_cells() -> None:
    assert parse_suite(CELLS, "mine", Path()).race
    assert not parse_suite("race = false\n" + CELLS, "mine", Path()).race
    refused("race = 'no'\n" + CELLS, "race must be true or false")


def test_metrics_are_found_beside_the_suite(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def far(expected, got): return 0.0\n")
    suite = parse_suite("metrics = ['mine.py:far<=1']\n" + CELLS, "mine", tmp_path)
    assert suite.metrics == (f"{tmp_path / 'mine.py'}:far<=1.0",)
    refused("metrics = ['nix.py:far']\n" + CELLS, "nix.py")


def test_outputs_of_a_model_of_mine_have_a_kind() -> None:
    suite = parse_suite("[models.net]\npath = 'n.onnx'\noutputs = { m = 'mask' }\n" + CELLS, "mine", Path())
    assert suite.models["net"].outputs == {"m": "mask"}
    refused("[models.net]\npath = 'n.onnx'\noutputs = { m = 'musk' }\n" + CELLS, "musk", "mask, spectrum")


def test_a_suite_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UserError, match=r"'cup'.*cpu, forms, gpu.*--model"):
        load_suite("cup")


def test_a_suite_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture.toml"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UserError, match=r"picture\.toml cannot be read"):
        load_suite(str(path))


@pytest.mark.parametrize("profile", list(profiles()))
@pytest.mark.parametrize("name", builtin_names())
def test_every_suite_that_ships_spans_cells_in_every_profile(name: str, profile: str) -> None:
    plan = expand(load_suite(name), Choice(), profile, 4)
    assert plan.cells
    assert plan.title != name


def test_no_suite_that_ships_plans_a_cell_that_can_never_be_measured() -> None:
    # par needs two threads: with fewer, every run shows a row that no machine can fill.
    for name in builtin_names():
        for profile in profiles():
            plan = expand(load_suite(name), Choice(), profile, 4)
            assert [cell.id for cell in plan.cells if cell.layout == "par" and cell.threads < 2] == []
