"""The zoo: graphs must be what their facts say, or every figure about them is about something else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from models.build import build
from models.compare import compare, verdict
from models.errors import ModelError
from models.facts import facts, zoo
from models.inputs import make_inputs
from models.oracle import write_oracle
from models.oracle_file import load_oracle
from models.prepare import prepare_zoo
from models.reference import evaluate

if TYPE_CHECKING:
    from pathlib import Path

UNETS = [name for name, entry in zoo().items() if "ln" in entry.forms]


def weights(name: str, form: str) -> dict[str, Any]:
    return {t.name: numpy_helper.to_array(t) for t in build(name, form).graph.initializer}


@pytest.mark.parametrize("name", list(zoo()))
def test_parameter_counts(name: str) -> None:
    counted = sum(
        math.prod(t.dims)
        for t in build(name, "raw").graph.initializer
        if t.dims and t.data_type == TensorProto.FLOAT  # without scalars, axes and sizes
    )
    assert counted == facts(name).parameters
    published = facts(name).parameters_published
    assert published is None or abs(counted - published) / published < 1e-3


@pytest.mark.parametrize("name", UNETS)
def test_forms_share_their_weights(name: str) -> None:
    raw, ln = weights(name, "raw"), weights(name, "ln")
    shared = [n for n in raw if n in ln and raw[n].shape == ln[n].shape]
    assert len([n for n in shared if ".weight" in n]) == len([n for n in raw if ".weight" in n])
    assert all(np.array_equal(raw[n], ln[n]) for n in shared)


@pytest.mark.parametrize("name", UNETS)
def test_forms_agree_and_answers_live(name: str, tmp_path: Path) -> None:
    cards = [prepare_zoo(name, form, 1, tmp_path) for form in ("raw", "ln")]
    oracles = [write_oracle(card, tmp_path, 1, 1) for card in cards]
    # One oracle per form: comparing with the other form's is how engines get accused falsely.
    assert oracles[0].path != oracles[1].path
    (inputs, raw), (same, ln) = (load_oracle(oracle.path) for oracle in oracles)
    assert np.array_equal(inputs[0][0]["x"], same[0][0]["x"])
    assert verdict(compare(raw[0][0], ln[0][0], ["mask"]), "fp32", "raw", subject=name) is None
    mask = raw[0][0][0]
    assert mask.std() > 0.01
    assert mask.min() >= 0
    assert mask.max() <= 0.5


def test_rt48_hears_no_future(tmp_path: Path) -> None:
    card = prepare_zoo("rt48", "raw", 1, tmp_path)
    x = make_inputs(card, 1, 1)[0][0]["x"]
    later = x.copy()
    later[..., -1] += 1
    [before], [after] = (answer for answer in evaluate(card, [{"x": x}, {"x": later}]))
    assert np.array_equal(before[..., :-1], after[..., :-1])
    assert not np.array_equal(before[..., -1], after[..., -1])


def test_batch_two_is_two_signals(tmp_path: Path) -> None:
    single, double = (prepare_zoo("rt48", "ln", batch, tmp_path) for batch in (1, 2))
    assert double.inputs[0].shape == (2, *single.inputs[0].shape[1:])
    assert double.sha256 != single.sha256


def test_unknown_names() -> None:
    with pytest.raises(ModelError, match="rt48"):
        build("rt49", "raw")
    with pytest.raises(ModelError, match="raw, ln"):
        build("rt48", "int8")
