"""What models promise: no future heard, masks that stay masks, parts that add up to the whole."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from models.build import build
from models.card import Card
from models.facts import facts, zoo
from models.families.causal_norm import causal_norm
from models.graph import Graph, noted_states
from models.inputs import Feeds, initial_state, make_inputs
from models.reference import Reference
from models.signature import signature

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from models.facts import ModelFacts

Array = NDArray[Any]
Answers = dict[str, Array]

# The reference evaluator takes its time, and no claim depends on how many frames there are.
FRAMES = {"teacher": 16, "causal_unet": 16, "lite": 8}


def claiming(claim: str) -> list[str]:
    return [name for name, entry in zoo().items() if claim in entry.claims]


class Model:
    """One zoo model on few frames, evaluated by the reference."""

    def __init__(self, entry: ModelFacts, folder: Path) -> None:
        frames = min(entry.audio.frames, FRAMES.get(entry.family, entry.audio.frames))
        short = replace(entry, audio=replace(entry.audio, frames=frames))
        model = importlib.import_module(f"models.families.{entry.family}").build(short, 1)
        path = folder / f"{entry.name}.onnx"
        path.write_bytes(model.SerializeToString())
        inputs, outputs, _ = signature(model, {})
        self.card = Card(
            name=entry.name,
            form="raw",
            batch=1,
            path=str(path),
            sha256="",
            inputs=inputs,
            outputs=outputs,
            states=noted_states(model),
            audio_s=None,
            audio="",
            parameters=0,
            nodes=0,
            operators={},
            opset=18,
            signal=entry.signal,
        )
        self._run = Reference(path)

    def inputs(self) -> Feeds:
        """Seeded inputs of one call, states left out."""
        return make_inputs(self.card, 1, 1)[0][0]

    def __call__(self, feeds: Feeds) -> Answers:
        """Everything that comes out, from states of zero; new states left out."""
        values = self._run({**feeds, **initial_state(self.card)})
        named = dict(zip(self.card.output_names, values, strict=True))
        return {name: value for name, value in named.items() if name not in self.card.states.values()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    made: dict[str, Model] = {}

    def get(name: str) -> Model:
        if name not in made:
            made[name] = Model(facts(name), tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.mark.parametrize("name", claiming("causal"))
def test_causal(model: Callable[[str], Model], name: str) -> None:
    run = model(name)
    feeds = run.inputs()
    frames = {value.shape[-1] for value in feeds.values()}.pop()
    changed = max(1, frames // 4)
    later = {key: value.copy() for key, value in feeds.items()}
    for value in later.values():
        value[..., -changed:] += 1
    before, after = run(feeds), run(later)
    for key in before:
        # Both end at the same moment, also where the first outputs need a longer past than there is.
        past = before[key].shape[-1] - changed
        assert past > 0
        assert np.array_equal(before[key][..., :past], after[key][..., :past])
        assert not np.array_equal(before[key][..., past:], after[key][..., past:])


@pytest.mark.parametrize("name", claiming("mask"))
def test_mask(model: Callable[[str], Model], name: str) -> None:
    run = model(name)
    answers = run(run.inputs())
    masks = [answers[key] for key, kind in facts(name).outputs.items() if kind == "mask"]
    assert masks
    for mask in masks:
        assert mask.min() >= 0
        assert mask.max() <= 0.5
        assert mask.std() > 0.01


@pytest.mark.parametrize("name", claiming("complementary"))
def test_complementary(model: Callable[[str], Model], name: str) -> None:
    run = model(name)
    feeds = run.inputs()
    answers, [x] = run(feeds), feeds.values()
    residual, clean = answers["residual"], answers["clean"]
    assert np.abs(residual + clean - x).max() <= 4 * np.spacing(np.abs(x).max())
    # A residual of nothing or of always the same share would be complementary too.
    share = residual / x
    assert share.min() >= 0
    assert share.max() <= 0.5 + np.finfo(np.float32).eps
    assert share.std() > 0.01


def test_short_calls_are_the_beginning_of_long_ones(model: Callable[[str], Model]) -> None:
    short, long = model("rt8"), model("rt16")
    feeds = long.inputs()
    beginning = {key: value[..., :8] for key, value in feeds.items()}
    assert np.allclose(short(beginning)["mask"], long(feeds)["mask"][..., :8], rtol=0, atol=1e-6)


def test_the_written_out_norm_keeps_its_epsilon(tmp_path: Path) -> None:
    # On quiet input the small constant is the answer: with another one the norm is another norm.
    graph = Graph("quiet")
    causal_norm(graph, "x", 3, "norm")
    model = graph.finish({"x": [1, 3, 4, 5]}, {"norm.shifted": [1, 3, 4, 5]})
    path = tmp_path / "quiet.onnx"
    onnx.save(model, path)
    x = 1e-3 * np.random.default_rng(0).standard_normal((1, 3, 4, 5)).astype(np.float32)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    wide = x.astype(np.float64)
    centred = wide - wide.mean((1, 2), keepdims=True)
    right = centred / np.sqrt((centred**2).mean((1, 2), keepdims=True) + 1e-5)
    right = right * weights["norm.gain"] + weights["norm.shift"]
    assert np.allclose(Reference(path)({"x": x})[0], right, atol=1e-5)


@pytest.mark.parametrize("name", ["fx_student_8", "fx_teacher", "fx_conditioned_8"])
def test_an_effect_adds_to_what_goes_through(name: str, tmp_path: Path) -> None:
    # Two inputs with the same states: what differs in the output is the difference of the inputs and little else.
    model = build(name)
    path = tmp_path / f"{name}.onnx"
    onnx.save(model, path)
    ports, _, _ = signature(model, {})
    feeds = {port.name: np.zeros(port.sizes, np.float32) for port in ports}
    loud = {**feeds, "x": np.full_like(feeds["x"], 100.0)}
    quiet, far = (Reference(path)(given)[0] for given in (feeds, loud))
    # Gates saturate: behind the skip at most a few units remain of a hundred.
    assert np.abs(far - quiet - 100.0).max() < 20
