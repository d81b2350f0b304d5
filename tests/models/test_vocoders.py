"""Vocoders: what comes out must be audio of the promised length, or its real-time factor is about something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.build import build
from models.facts import facts
from models.families.vocos import hann, inverse_stft
from models.graph import Graph, noted_parameters
from models.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

VOCODERS = ["hifigan_v2", "hifigan_v3", "vocos"]


def overlap_add(spectra: np.ndarray[Any, Any], n_fft: int, hop: int) -> np.ndarray[Any, Any]:
    """The textbook's inverse: (bins, frames) complex to samples, ends dropped."""
    frames, window = spectra.shape[1], hann(n_fft)
    total, weight = (np.zeros((frames - 1) * hop + n_fft) for _ in range(2))
    for frame in range(frames):
        place = slice(frame * hop, frame * hop + n_fft)
        total[place] += np.fft.irfft(spectra[:, frame]) * window
        weight[place] += window**2
    kept = slice((n_fft - hop) // 2, (n_fft - hop) // 2 + frames * hop)
    return total[kept] / weight[kept]


@pytest.mark.parametrize(("n_fft", "hop", "frames"), [(16, 4, 5), (1024, 256, 3)])
def test_the_head_is_an_inverse_stft(
    n_fft: int, hop: int, frames: int, saved: Callable[[onnx.ModelProto], Path]
) -> None:
    graph = Graph("istft")
    inverse_stft(graph, "parts", frames, n_fft, hop, "audio")
    path = saved(graph.finish({"parts": [2, n_fft + 2, frames]}, {"audio": [2, frames * hop]}))
    draw = np.random.default_rng(1).standard_normal
    # Imaginary parts at both ends have no meaning in a real signal and must be ignored.
    parts = draw((2, n_fft + 2, frames)).astype(np.float32)
    [audio] = Reference(path)({"parts": parts})
    real, imaginary = np.split(parts.astype(np.float64), 2, axis=1)
    spectra = real + 1j * imaginary
    expected = np.stack([overlap_add(one, n_fft, hop) for one in spectra])
    assert np.abs(audio - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_signal_comes_back(saved: Callable[[onnx.ModelProto], Path]) -> None:
    # Windowed, transformed and inverted, audio is what it was: window, basis, envelope and trimming fit together.
    n_fft, hop, frames = 32, 8, 12
    signal = np.random.default_rng(2).standard_normal((frames - 1) * hop + n_fft)
    pieces = [signal[frame * hop : frame * hop + n_fft] * hann(n_fft) for frame in range(frames)]
    spectra = np.fft.rfft(pieces).T
    graph = Graph("istft")
    inverse_stft(graph, "parts", frames, n_fft, hop, "audio")
    path = saved(graph.finish({"parts": [1, n_fft + 2, frames]}, {"audio": [1, frames * hop]}))
    [audio] = Reference(path)({"parts": np.concatenate([spectra.real, spectra.imag])[np.newaxis].astype(np.float32)})
    around = (n_fft - hop) // 2
    np.testing.assert_allclose(audio[0], signal[around:-around], atol=1e-5)


@pytest.mark.parametrize("name", VOCODERS)
@pytest.mark.parametrize("batch", [1, 2])
def test_graphs_are_what_their_facts_say(name: str, batch: int) -> None:
    entry, model = facts(name), build(name, batch)
    [audio] = model.graph.output
    sizes = [dim.dim_value for dim in audio.type.tensor_type.shape.dim]
    assert sizes[0] == batch
    assert sizes[-1] == entry.audio.frames * entry.audio.hop
    assert noted_parameters(model) == entry.parameters
    assert len(model.graph.node) == entry.nodes


@pytest.mark.parametrize("name", VOCODERS)
def test_audio_is_alive(name: str, saved: Callable[[onnx.ModelProto], Path]) -> None:
    entry = facts(name)
    shape = (1, entry.arguments["mels"], entry.audio.frames)
    reference = Reference(saved(build(name)))
    draw = np.random.default_rng(3).standard_normal
    seen: list[str] = []

    def watch(node: onnx.NodeProto, output: str, value: np.ndarray[Any, Any]) -> None:
        assert np.isfinite(value).all(), output
        # Denormals are slow on some processors: they would be timed instead of the model.
        assert not ((value != 0) & (np.abs(value) < np.finfo(np.float32).tiny)).any(), output
        assert value.std() > 0.01, output
        seen.append(node.op_type)

    with reference.watched(watch):
        [audio] = reference({"mel": draw(shape).astype(np.float32)})
    assert len(seen) >= entry.nodes
    # Loud enough to be heard, and nowhere driven into the ends of its range.
    assert 0.02 < audio.std() < 0.5
    assert np.abs(audio).max() < 0.99
    [other] = reference({"mel": draw(shape).astype(np.float32)})
    assert np.abs(audio - other).max() > 0.1
