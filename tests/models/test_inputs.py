"""Inputs: the same in every run and form, different in every call, and what the user asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from models.card import Card, Port
from models.errors import ModelError
from models.inputs import initial_state, make_inputs, stack, with_values

if TYPE_CHECKING:
    from pathlib import Path

CARD = Card(
    name="m",
    form="raw",
    batch=1,
    path="m.onnx",
    sha256="0",
    inputs=(
        Port("x", (1, 2, 65, 8), "float32"),
        Port("h", (1, 3), "float32"),
        Port("n", (4,), "int64"),
        Port("on", (64,), "bool"),
    ),
    outputs=(Port("y", (1, 3), "float32"), Port("h_out", (1, 3), "float32")),
    states={"h": "h_out"},
    audio_s=None,
    audio="",
    parameters=0,
    nodes=1,
    operators={},
    opset=18,
    signal="magnitude",
)


def test_seeded_by_name_not_by_form() -> None:
    one, two = make_inputs(CARD, 3, 2), make_inputs(replace(CARD, form="ln", sha256="1"), 3, 2)
    assert all(np.array_equal(one[c][r]["x"], two[c][r]["x"]) for c in range(2) for r in range(3))
    assert not np.array_equal(one[0][0]["x"], make_inputs(replace(CARD, name="other"), 1, 1)[0][0]["x"])


def test_every_call_and_channel_differs() -> None:
    values = [feeds["x"].tobytes() for turns in make_inputs(CARD, 3, 2) for feeds in turns]
    assert len(set(values)) == 6


def test_more_rotations_keep_the_first_ones() -> None:
    assert np.array_equal(make_inputs(CARD, 1, 1)[0][0]["x"], make_inputs(CARD, 5, 2)[0][0]["x"])


def test_magnitude_looks_like_one() -> None:
    x = make_inputs(CARD, 1, 1)[0][0]["x"]
    assert x.dtype == np.float32
    assert 0 <= x.min() < x.max() < 12
    assert x[..., :16, :].mean() > 2 * x[..., -16:, :].mean()
    assert not np.any((x != 0) & (np.abs(x) < np.finfo(np.float32).tiny))


def test_integers_and_booleans() -> None:
    feeds = make_inputs(CARD, 1, 1)[0][0]
    assert feeds["n"].dtype == np.int64
    assert set(feeds["n"].tolist()) <= {0, 1}
    assert feeds["on"].dtype == np.bool_
    assert len(set(feeds["on"].tolist())) == 2


def test_states_start_at_zero_and_are_no_inputs() -> None:
    assert "h" not in make_inputs(CARD, 1, 1)[0][0]
    assert initial_state(CARD)["h"].tolist() == [[0, 0, 0]]


def test_number_range_and_kind() -> None:
    card = with_values(CARD, {"n": "0..257", "x": "-0.5..0.5", "on": "1"})
    feeds = [f for turns in make_inputs(card, 50, 2) for f in turns]
    n = np.concatenate([f["n"] for f in feeds])
    assert n.min() >= 0
    assert 200 < n.max() <= 256
    assert all(np.abs(f["x"]).max() <= 0.5 for f in feeds)
    assert feeds[0]["on"].all()
    assert (make_inputs(with_values(CARD, {"n": "16000"}), 1, 1)[0][0]["n"] == 16000).all()
    assert make_inputs(with_values(CARD, {"x": "normal"}), 1, 1)[0][0]["x"].min() < 0


@pytest.mark.parametrize(
    ("name", "spec", "word"),
    [
        ("z", "1", "no input 'z'"),
        ("h", "1", "zeros"),
        ("n", "1.5", "whole numbers"),
        ("n", "lots", "is no number"),
        ("n", "5..5", "empty"),
        ("n", "1e30", "whole"),
        ("n", "normal", "floating-point"),
        ("on", "2", "from 0 to 1"),
        ("x", "inf", "finite"),
        ("x", "nan..1", "finite"),
        ("x", "none.npy", "no file"),
        ("x", "", "no number"),
    ],
)
def test_values_that_do_not_fit(name: str, spec: str, word: str) -> None:
    with pytest.raises(ModelError, match=word):
        with_values(CARD, {name: spec})


def test_stored_values(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(8).reshape(2, 4))
    feeds = make_inputs(with_values(CARD, {"n": str(path)}), 2, 1)[0]
    assert [f["n"].tolist() for f in feeds] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for bad in (np.zeros(3, np.int64), np.zeros(4), np.zeros((0, 4), np.int64)):
        np.save(path, bad)
        with pytest.raises(ModelError, match=r"x\.npy"):
            with_values(CARD, {"n": str(path)})
    path.write_bytes(b"not numpy")
    with pytest.raises(ModelError, match=r"numpy\.save"):
        with_values(CARD, {"n": str(path)})


def test_stack_finds_the_batch_axis() -> None:
    left, right = np.zeros((2, 1, 3)), np.ones((2, 1, 3))
    assert stack([left, right], (2, 2, 3)).shape == (2, 2, 3)
    assert stack([np.array(16000)] * 2, ()).shape == ()
    assert stack([left, right], None).shape == (4, 1, 3)


def test_inputs_belong_to_one_signal() -> None:
    with pytest.raises(ModelError, match="one signal per call"):
        make_inputs(replace(CARD, batch=2), 1, 1)
