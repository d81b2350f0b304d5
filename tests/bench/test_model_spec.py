"""A user's words about a model decide the work that is done and the denominator of every RTF."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.model_spec import audio_seconds, model_spec, parse_shape
from bench.plan import ModelSpec

FOLDER = Path("/somewhere")


def refused(entry: dict[str, Any], *words: str) -> None:
    with pytest.raises(UserError) as caught:
        model_spec("net", {"path": "net.onnx", **entry}, "[models.net]", FOLDER)
    for word in ("[models.net]", *words):
        assert word in str(caught.value), str(caught.value)


def test_a_bare_path_says_nothing_else() -> None:
    assert model_spec("net", {"path": "net.onnx"}, "here", FOLDER) == ModelSpec("net", "/somewhere/net.onnx")


def test_a_description_survives_json() -> None:
    # It is kept in the run file, from which a stopped run goes on.
    entry = {"path": "a.onnx", "shapes": {"x": "1,2"}, "states": {"h": "k"}, "inputs": {"x": "0..1"}, "frames": 1}
    spec = model_spec("net", {**entry, "hop": 480, "sample_rate": 48000}, "here", FOLDER)
    again = json.loads(json.dumps(vars(spec)))
    assert again == {**vars(spec), "shapes": {"x": [1, 2]}}


def test_a_path_is_needed() -> None:
    bad: list[Any] = [None, 3, [], ""]
    for path in bad:
        refused({"path": path}, "path")


@pytest.mark.parametrize(
    ("given", "shape"),
    [("1,2,513,48", (1, 2, 513, 48)), ([1, 2], (1, 2)), ("16", (16,)), (" 1, 2 ", (1, 2)), ("", ()), ([], ())],
)
def test_a_shape_is_text_or_a_list(given: Any, shape: tuple[int, ...]) -> None:
    assert parse_shape(given, "here") == shape


@pytest.mark.parametrize(
    "given",
    ["1,x", "0,2", "-1,2", "1x2", "1.5,2", [0], [-1], ["a"], [None], 3, None, {"a": 1}],
)
def test_what_is_no_shape_is_refused_and_shown(given: Any) -> None:
    with pytest.raises(UserError, match=r"--shape x: .* is no shape; write positive sizes"):
        parse_shape(given, "--shape x")


@pytest.mark.parametrize("given", [[1.5, 2], [True, 2], [float("inf")], [float("nan")], "1,,2", ","])
def test_a_shape_that_needs_guessing_is_refused(given: Any) -> None:
    # Rounded down or one axis short, another amount of work would be measured under the user's label.
    with pytest.raises(UserError, match="is no shape"):
        parse_shape(given, "--shape x")


def test_audio_is_given_in_seconds_or_as_a_product_and_says_so() -> None:
    assert audio_seconds({"audio_seconds": 0.5}, "here") == (0.5, "0.5 s, as stated")
    seconds, words = audio_seconds({"frames": 48, "hop": 512, "sample_rate": 44100}, "here")
    assert seconds == pytest.approx(48 * 512 / 44100)
    assert words == "48 frames x 512 samples / 44100 Hz"
    assert audio_seconds({}, "here") == (None, "")


@pytest.mark.parametrize("missing", ["frames", "hop", "sample_rate"])
def test_an_incomplete_product_is_refused(missing: str) -> None:
    # A guessed sample rate would make every RTF wrong by the same unseen factor.
    entry: dict[str, Any] = {"frames": 48, "hop": 512, "sample_rate": 44100}
    del entry[missing]
    refused(entry, "frames, hop and sample rate")


def test_both_ways_at_once_are_refused() -> None:
    refused({"audio_seconds": 0.5, "hop": 512}, "not both")
    refused({"audio_seconds": 0.5, "frames": 48, "hop": 512, "sample_rate": 44100}, "not both")


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), "long", [1], True])
@pytest.mark.parametrize("key", ["audio_seconds", "hop"])
def test_audio_that_is_no_length_is_refused_and_shown(key: str, bad: Any) -> None:
    entry: dict[str, Any] = {key: bad} if key == "audio_seconds" else {"frames": 1, "hop": bad, "sample_rate": 48000}
    refused(entry, key.replace("_", " "), repr(bad), "above 0")
