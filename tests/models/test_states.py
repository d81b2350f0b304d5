"""States: a stream cut into calls must sound as if it had never been cut."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.facts import facts, zoo
from models.families.wavenet_amp import receptive_field
from models.graph import noted_states
from models.inputs import stack
from models.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import onnx

    from models.facts import ModelFacts

    Saved = Callable[..., Path]

Array = NDArray[Any]
Values = dict[str, Array]

STATEFUL = [name for name, entry in zoo().items() if "stateful" in entry.claims]
CALLS = 7
# Frames per call, few where the reference evaluator walks through them one by one. The amplifiers' are so
# many that the last of CALLS calls has nothing left of the zeros at the beginning.
FRAMES = {"lstm_effect": 48, "wavenet_amp": 600, "rnnoise": 3}


class Model:
    """One zoo model with so many frames per call, evaluated by the reference."""

    def __init__(self, entry: ModelFacts, frames: int, saved: Saved, batch: int = 1) -> None:
        entry = replace(entry, audio=replace(entry.audio, frames=frames))
        model: onnx.ModelProto = importlib.import_module(f"models.families.{entry.family}").build(entry, batch)
        self.states = noted_states(model)
        self.inputs = {port.name: _sizes(port) for port in model.graph.input}
        self._names = [port.name for port in model.graph.output]
        self._run = Reference(saved(model, f"{entry.name}-{frames}-{batch}.onnx"))

    def zeros(self) -> Values:
        """States before the first call."""
        return {name: np.zeros(self.inputs[name], np.float32) for name in self.states}

    def draw(self, seed: int) -> Values:
        """Inputs of one call, states left out."""
        normal = np.random.default_rng(seed).standard_normal
        return {k: normal(sizes).astype(np.float32) for k, sizes in self.inputs.items() if k not in self.states}

    def __call__(self, inputs: Mapping[str, Array], states: Mapping[str, Array]) -> tuple[Values, Values]:
        """Outputs, and the states of the next call."""
        outputs = dict(zip(self._names, self._run({**inputs, **states}), strict=True))
        return outputs, {name: outputs.pop(source) for name, source in self.states.items()}


def _sizes(port: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in port.type.tensor_type.shape.dim)


def frames_of(entry: ModelFacts) -> int:
    return FRAMES.get(entry.family, entry.audio.frames)


def cut(values: Array, sizes: Sequence[int]) -> list[Array]:
    """Pieces of the given sizes along the axis that is longer; the same again and again where none is."""
    longer = [axis for axis, (long, short) in enumerate(zip(values.shape, sizes, strict=True)) if long != short]
    return np.split(values, CALLS, axis=longer[0]) if longer else [values] * CALLS


def close(one: Array, other: Array) -> bool:
    return bool(np.abs(one - other).max() <= 1e-5 * np.abs(other).max())


@pytest.mark.parametrize("name", STATEFUL)
def test_many_short_calls_are_one_long_call(name: str, saved: Saved) -> None:
    entry = facts(name)
    short, long = (Model(entry, frames_of(entry) * calls, saved) for calls in (1, CALLS))
    inputs = long.draw(1)
    whole, end = long(inputs, long.zeros())
    pieces = {key: cut(value, short.inputs[key]) for key, value in inputs.items()}
    states = short.zeros()
    answers: dict[str, list[Array]] = {key: [] for key in whole}
    for call in range(CALLS):
        outputs, states = short({key: value[call] for key, value in pieces.items()}, states)
        for key, value in outputs.items():
            answers[key].append(value)
    for key, value in whole.items():
        axis = next(a for a, (x, y) in enumerate(zip(value.shape, answers[key][0].shape, strict=True)) if x != y)
        assert close(np.concatenate(answers[key], axis=axis), value)
    for key, value in end.items():
        assert close(states[key], value)


@pytest.mark.parametrize("name", STATEFUL)
def test_every_state_matters(name: str, saved: Saved) -> None:
    # A state that nobody hears would cost its copy in every call and hide an engine that drops it.
    entry = facts(name)
    model = Model(entry, frames_of(entry), saved)
    _, states = model(model.draw(1), model.zeros())
    inputs, zeros = model.draw(2), model.zeros()
    expected, _ = model(inputs, states)
    for forgotten in (*({key: zero} for key, zero in zeros.items()), zeros):
        outputs, _ = model(inputs, {**states, **forgotten})
        assert not all(close(outputs[key], value) for key, value in expected.items())


@pytest.mark.parametrize("name", STATEFUL)
def test_states_neither_fade_nor_run_away(name: str, saved: Saved) -> None:
    entry = facts(name)
    model = Model(entry, frames_of(entry), saved)
    turns, states = [model.draw(seed) for seed in range(3)], model.zeros()
    for call in range(30):
        _, states = model(turns[call % 3], states)
    for value in states.values():
        assert np.abs(value).max() < 30
        assert value.std() > 0.01
        # A value on its way to zero passes through the denormals, which are slow on every processor.
        assert not ((np.abs(value) < np.finfo(np.float32).tiny) & (value != 0)).any()


@pytest.mark.parametrize("name", STATEFUL)
def test_two_signals_in_one_call_keep_apart(name: str, saved: Saved) -> None:
    entry = facts(name)
    frames = min(8, frames_of(entry))
    single, double = (Model(entry, frames, saved, batch) for batch in (1, 2))
    lanes, both = [single.zeros(), single.zeros()], double.zeros()
    for call in range(2):
        inputs = [single.draw(10 * call + lane) for lane in (0, 1)]
        joined = {key: stack([lane[key] for lane in inputs], double.inputs[key]) for key in inputs[0]}
        answer, both = double(joined, both)
        answers, lanes = map(list, zip(*map(single, inputs, lanes), strict=True))
        for key, value in answer.items():
            assert close(value, stack([lane[key] for lane in answers], value.shape))
        for key, value in both.items():
            assert close(value, stack([lane[key] for lane in lanes], value.shape))


@pytest.mark.parametrize("name", [name for name, entry in zoo().items() if entry.family == "wavenet_amp"])
def test_amplifiers_look_back_as_far_as_the_original(name: str, saved: Saved) -> None:
    entry = facts(name)
    reach = receptive_field(entry)
    assert reach == 4093
    model = Model(entry, reach + 7, saved)
    inputs = model.draw(1)
    before, _ = model(inputs, model.zeros())
    inputs["x"][..., 0] += 1
    after, _ = model(inputs, model.zeros())
    changed = np.flatnonzero(before["y"] != after["y"])
    assert changed[0] == 0
    assert 1000 < changed[-1] < reach
