"""Options decide what an engine is asked: a value taken for another one is another measurement."""

from __future__ import annotations

import json
import math

import pytest

from runtimes import registry
from runtimes.options import Option, OptionError, Value, resolve

MODE = Option("mode", "fast", "how", ("fast", "right"))
COUNT = Option("count", 4, "how many", minimum=1)
SHARE = Option("share", 0.5, "how much", minimum=0)
SPIN = Option("spin", False, "whether")
NOTE = Option("note", "", "anything")
LEVEL = Option("level", 2, "which", (0, 1, 2))
DECLARED = (MODE, COUNT, SHARE, SPIN, NOTE, LEVEL)


@pytest.mark.parametrize(
    ("option", "given", "value"),
    [
        (MODE, "right", "right"),
        (COUNT, "8", 8),
        (COUNT, 8, 8),
        (SHARE, "0.25", 0.25),
        (SHARE, 1, 1.0),
        (SHARE, "1e-3", 1e-3),
        (SPIN, True, True),
        (SPIN, "true", True),
        (SPIN, "On", True),
        (SPIN, "1", True),
        (SPIN, 1, True),
        (SPIN, "False", False),
        (SPIN, "off", False),
        (SPIN, 0, False),
        (NOTE, "a=b", "a=b"),
        (NOTE, "", ""),
        (NOTE, 5, "5"),
        (LEVEL, "1", 1),
    ],
)
def test_text_and_toml_values_mean_the_same(option: Option, given: object, value: Value) -> None:
    parsed = option.parse(given)
    assert parsed == value
    # 1 == True == 1.0: the engine's binding tells them apart.
    assert type(parsed) is type(option.default)


@pytest.mark.parametrize(
    ("option", "given"),
    [
        (MODE, "slow"),
        (MODE, "Fast"),
        (MODE, ""),
        (MODE, None),
        (COUNT, "4.0"),
        (COUNT, 4.5),
        (COUNT, "many"),
        (COUNT, True),
        (SHARE, True),
        (SHARE, "half"),
        (SHARE, [0.5]),
        (SPIN, "yes please"),
        (SPIN, 2),
        (SPIN, ""),
        (LEVEL, 3),
        (LEVEL, True),
        (NOTE, True),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(option: Option, given: object) -> None:
    with pytest.raises(OptionError) as caught:
        option.parse(given)
    assert f"{option.name}={given!r} is not allowed; allowed: {option.allowed()}" in str(caught.value)


@pytest.mark.parametrize(("option", "given"), [(COUNT, 0), (COUNT, "-3"), (SHARE, "-0.001")])
def test_what_is_below_the_least_is_refused_with_the_least(option: Option, given: object) -> None:
    with pytest.raises(OptionError, match=rf"is below {option.minimum:g}; allowed: .* of at least {option.minimum:g}"):
        option.parse(given)


@pytest.mark.parametrize("given", ["nan", "inf", "-inf", math.nan, math.inf])
def test_a_number_that_is_none_is_refused(given: object) -> None:
    # NaN is below no minimum, and no JSON document can hold it.
    with pytest.raises(OptionError):
        SHARE.parse(given)


def test_what_is_allowed_is_told_in_words() -> None:
    assert [option.allowed() for option in DECLARED] == [
        "fast, right",
        "a whole number of at least 1",
        "a number of at least 0",
        "true, false",
        "any text",
        "0, 1, 2",
    ]
    assert Option("spin", True, "", (True, False)).allowed() == "true, false"


def test_defaults_are_filled_in_so_that_a_row_says_everything() -> None:
    assert resolve("engine", DECLARED, {"count": "8"}) == {
        "mode": "fast",
        "count": 8,
        "share": 0.5,
        "spin": False,
        "note": "",
        "level": 2,
    }
    assert resolve("engine", (), {}) == {}


def test_an_option_that_is_not_declared_is_refused_with_those_that_are() -> None:
    with pytest.raises(OptionError, match=r"'engine' has no option 'speed'; it has: mode, count, share, spin, note"):
        resolve("engine", DECLARED, {"speed": 3})


def test_a_bad_value_names_the_runtime() -> None:
    with pytest.raises(OptionError, match=r"runtime 'engine': mode='slow' is not allowed; allowed: fast, right"):
        resolve("engine", DECLARED, {"mode": "slow"})


@pytest.mark.parametrize("name", list(registry.BUILT_IN))
def test_every_runtime_declares_options_that_hold_together(name: str) -> None:
    options = registry.get(name).options
    assert len({option.name for option in options}) == len(options)
    # What it computes in must be asked for, or nobody could hold it to it.
    assert "precision" in {option.name for option in options}
    for option in options:
        assert option.parse(option.default) == option.default
        assert option.parse(str(option.default)) == option.default
        assert option.help
        assert all(type(choice) is type(option.default) for choice in option.choices)
        # A dot or an equals sign could not be told from RUNTIME.KEY=VALUE.
        assert not set(option.name) & set(".=/ ")
    values = resolve(name, options, {})
    assert json.loads(json.dumps(values)) == values
