"""The zoo: graphs must be what their facts say, or every figure about them is about something else."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from models.build import build
from models.card import Card
from models.errors import ModelError
from models.facts import facts, zoo
from models.graph import noted_parameters, noted_states
from models.oracle import write_oracle
from models.oracle_file import load_oracle
from models.prepare import prepare_zoo
from models.reference import Reference
from models.signature import signature

if TYPE_CHECKING:
    import onnx

    from models.facts import ModelFacts

KINDS = {"mask", "spectrum", "audio", "score"}
CLAIMS = {"causal", "mask", "complementary", "stateful"}
# The reference evaluator takes its time. Weights do not depend on the frames, so fewer will do.
FRAMES = {"teacher": 16, "causal_unet": 16, "lite": 8, "residual_cnn": 16}
SMALL_FLOPS = 2e9


def shortened(entry: ModelFacts) -> ModelFacts:
    """The same network on fewer frames."""
    frames = min(entry.audio.frames, FRAMES.get(entry.family, entry.audio.frames))
    return replace(entry, audio=replace(entry.audio, frames=frames))


def built(entry: ModelFacts, batch: int = 1) -> onnx.ModelProto:
    model: onnx.ModelProto = importlib.import_module(f"models.families.{entry.family}").build(entry, batch)
    return model


def carded(entry: ModelFacts, folder: Path) -> Card:
    """A card with as much as evaluating needs."""
    model = built(entry)
    path = folder / f"{entry.name}.onnx"
    path.write_bytes(model.SerializeToString())
    inputs, outputs, _ = signature(model, {})
    return Card(
        name=entry.name,
        form="raw",
        batch=1,
        path=str(path),
        sha256="",
        inputs=inputs,
        outputs=outputs,
        states=noted_states(model),
        audio_s=entry.audio.seconds,
        audio="",
        parameters=entry.parameters,
        nodes=entry.nodes,
        operators={},
        opset=18,
        signal=entry.signal,
    )


@pytest.mark.parametrize("name", zoo())
def test_graphs_are_what_their_facts_say(name: str) -> None:
    entry, model = facts(name), build(name)
    assert noted_parameters(model) == entry.parameters
    stored = [numpy_helper.to_array(t) for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]
    assert sum(value.size for value in stored) >= entry.parameters
    assert len(model.graph.node) == entry.nodes
    states = noted_states(model)
    assert [o.name for o in model.graph.output if o.name not in states.values()] == list(entry.outputs)
    assert set(states) < {i.name for i in model.graph.input}


@pytest.mark.parametrize("name", zoo())
def test_facts_are_complete(name: str) -> None:
    entry = facts(name)
    assert set(entry.outputs.values()) <= KINDS
    assert set(entry.claims) <= CLAIMS
    assert entry.forms[0] == "raw"
    assert entry.audio.seconds > 0
    assert entry.provenance
    assert (entry.parameters_published is None) == (entry.published_in is None)
    # Half a percent is what separates a reconstruction from another model.
    assert abs(entry.parameters_difference or 0) <= 0.005


@pytest.mark.parametrize("name", zoo())
def test_batch_two_is_two_signals_and_the_same_weights(name: str) -> None:
    single, double = build(name), build(name, 2)
    states = noted_states(single)
    assert noted_states(double) == states
    for ports in (0, 1):
        small, large = signature(single, {})[ports], signature(double, {})[ports]
        for one, two in zip(small, large, strict=True):
            if one.name not in {*states, *states.values()}:
                assert two.sizes == (2 * one.sizes[0], *one.sizes[1:])
    weights = [{t.name: t for t in model.graph.initializer} for model in (single, double)]
    assert weights[0].keys() == weights[1].keys()
    assert all(weights[1][key] == tensor for key, tensor in weights[0].items() if tensor.data_type == TensorProto.FLOAT)


@pytest.mark.parametrize(
    "name", [name for name, entry in zoo().items() if entry.family in FRAMES or entry.flops <= SMALL_FLOPS]
)
def test_answers_live(name: str, tmp_path: Path) -> None:
    card = carded(shortened(facts(name)), tmp_path)
    oracle = write_oracle(card, tmp_path, 2, 1)
    # Denormals inside, answers that never change or are the same everywhere; NaN would have raised.
    assert oracle.warnings == ()
    # The warnings come from the file, and so should what they are about.
    _, [[first, second]] = load_oracle(oracle.path)
    assert not any(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def test_frames_and_audio_are_no_part_of_the_weights() -> None:
    for names in (("rt8", "rt48"), ("fast16", "fast_4s"), ("lite", "lite_48k", "lite_4s")):
        trained = [
            {t.name: t for t in build(name).graph.initializer if t.data_type == TensorProto.FLOAT} for name in names
        ]
        assert all(weights == trained[0] for weights in trained[1:])


def test_scores_differ_between_inputs(tmp_path: Path) -> None:
    # A classifier that answers the same to everything would agree with itself whatever it is fed.
    entry = facts("residual_cnn")
    smaller = replace(entry, arguments={**entry.arguments, "bins": 65}, audio=replace(entry.audio, frames=32))
    run = Reference(Path(carded(smaller, tmp_path).path))
    generator = np.random.default_rng(3)
    scores = []
    for _ in range(16):
        level, spread = generator.uniform([[0.0], [0.3]], [[1.2], [1.0]], (2, 7))[..., None, None]
        planes = np.clip(level + spread * generator.standard_normal((7, 65, 32)), -1, 3)
        scores.append(run({"features": planes[None].astype(np.float32)})[0].item())
    assert min(scores) < 0.3
    assert max(scores) > 0.7
    assert np.std(scores) > 0.1
    assert all(0.01 < score < 0.99 for score in scores)


def test_prepared_cards_repeat_the_facts(tmp_path: Path) -> None:
    for name, batch in (("null", 1), ("rt8", 1), ("rt8", 2)):
        card, entry = prepare_zoo(name, "raw", batch, tmp_path), facts(name)
        assert (card.parameters, card.nodes, card.batch) == (entry.parameters, entry.nodes, batch)
        assert card.inputs[0].sizes[0] == batch
        assert card.audio_s == entry.audio.seconds


def test_unknown_names() -> None:
    with pytest.raises(ModelError, match="rt48"):
        build("rt49")
