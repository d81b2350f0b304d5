"""Whether a form still leads to the same verdict: the detection chain behind a mask network.

The chain is the published one: residual → HPSS → seven feature planes → ``residual_cnn`` → P(AI) of a
chunk → median over the chunks of a track. A chunk is one call, a track the calls of one channel.
What is unpublished in it, the planes (:mod:`models.verdict_features`) and all weights, is ours: its
P(AI) says nothing about the audio, but moves when the residual does.

The residual of a call is the output called ``residual`` where there is one, else mask × input, summed
over the masks of one call. Models without either have no verdict.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.quality import Answers, acceptance, limits, told_apart

Array = NDArray[Any]
Inputs = Sequence[Sequence[Mapping[str, Array]]]
Scorer = Callable[[Array], float]
Scores = tuple[tuple[float | None, ...], ...]

# Where P(AI) becomes a verdict.
THRESHOLD = 0.5
# The network halves a plane three times; less leaves nothing to average.
SMALLEST = 8


@dataclass(frozen=True)
class Agreement:
    """The verdicts on the parent's residuals beside those on the form's.

    Attributes:
        residual: where the residuals come from, such as ``mask × x``.
        scores_expected, scores_got: P(AI) per chunk, ``[channel][rotation]``; None where the residual has
            NaN, infinity or another shape.
        tracks_expected, tracks_got: their median per channel; None when one of them is.
        score_shift: largest absolute difference over chunks and tracks; None when a score is missing.
        flips: chunks and tracks that came on the other side of 0.5, or without a score.
        tracks_agreeing: tracks with the same verdict; the published figure is 9 of 9.
        accepted: whether the verdicts count as unchanged: no score moved by more than 1e-3, none flipped.
    """

    residual: str
    scores_expected: Scores
    scores_got: Scores
    tracks_expected: tuple[float | None, ...]
    tracks_got: tuple[float | None, ...]
    score_shift: float | None
    flips: int
    tracks_agreeing: int
    accepted: bool


def verdict_agreement(
    expected: Answers,
    got: Answers,
    inputs: Inputs,
    names: Sequence[str],
    kinds: Mapping[str, str],
    make_scorer: Callable[[int, int], Scorer] | None = None,
) -> Agreement | None:
    """Run the chain on the parent's answers and on the form's.

    Args:
        expected: the parent's, ``[channel][rotation]`` -> outputs.
        got: the form's, in the same shape and order.
        inputs: the parent's, ``[channel][rotation]`` -> input name -> array.
        names: names of the outputs, states left out.
        kinds: output name -> kind, as in :class:`models.facts.ModelFacts`.
        make_scorer: bins, frames -> residual (bins, frames) -> P(AI); None for the zoo's ``residual_cnn``.

    Returns:
        None for a model without a residual of 8 × 8 values or more.
    """
    source = _source(expected, inputs, names, kinds)
    if source is None:
        return None
    wanted, had = (_residuals(answers, inputs, source) for answers in (expected, got))
    score = _once(make_scorer or _detector, wanted[0][0].shape)
    scores_expected, scores_got = (tuple(tuple(map(score, track)) for track in tracks) for tracks in (wanted, had))
    tracks_expected, tracks_got = (tuple(map(_median, scores)) for scores in (scores_expected, scores_got))
    chunks = [pair for tracks in zip(scores_expected, scores_got, strict=True) for pair in zip(*tracks, strict=True)]
    tracks = list(zip(tracks_expected, tracks_got, strict=True))
    shifts = [abs(a - b) for a, b in chunks + tracks if a is not None and b is not None]
    shift = max(shifts) if len(shifts) == len(chunks + tracks) else None
    flips = sum(not _same(*pair) for pair in chunks + tracks)
    largest, most = acceptance()
    return Agreement(
        source.words,
        scores_expected,
        scores_got,
        tracks_expected,
        tracks_got,
        score_shift=shift,
        flips=flips,
        tracks_agreeing=sum(_same(*pair) for pair in tracks),
        accepted=shift is not None and shift <= largest and flips <= most,
    )


def judge(agreement: Agreement, precision: str) -> str | None:
    """Whether the verdicts stay what they were: None when they do, else one sentence that says why not.

    Args:
        agreement: from :func:`verdict_agreement`.
        precision: of the form; for a mix such as ``int8+fp32`` the loosest of its parts.

    Raises:
        ModelError: a precision without limits.
    """
    allowed, against = limits(precision), f"({precision}), against the form raw"
    if agreement.score_shift is None:
        return f"the verdict chain gives no P(AI) for {agreement.residual}: it has NaN, infinity or another shape"
    if agreement.flips > allowed.flips_max:
        few = f"{agreement.flips} ({agreement.tracks_agreeing} of {len(agreement.tracks_got)} tracks agree)"
        return f"verdicts on {agreement.residual} flipped at {THRESHOLD:g}: {few}, above {allowed.flips_max} {against}"
    if not agreement.score_shift <= allowed.score_shift_max:
        shift, limit = told_apart(agreement.score_shift, allowed.score_shift_max)
        return f"P(AI) of {agreement.residual} moved by {shift}, above {limit} {against}"
    return None


@dataclass(frozen=True)
class _Source:
    """Which output makes the residual, and the input it is multiplied with, if any."""

    words: str
    position: int
    factor: str | None


def _source(expected: Answers, inputs: Inputs, names: Sequence[str], kinds: Mapping[str, str]) -> _Source | None:
    if not expected or not expected[0]:
        return None
    shapes = [np.shape(output) for output in expected[0][0]]
    for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        if name == "residual" and kinds.get(name) == "spectrum" and _large(shape):
            return _Source(f"output {name!r}", position, None)
    for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        if kinds.get(name) == "mask" and _large(shape):
            for factor, values in inputs[0][0].items():
                if np.shape(values) == shape:
                    return _Source(f"{name} × {factor}", position, factor)
    return None


def _large(shape: tuple[int, ...]) -> bool:
    return len(shape) >= 2 and min(shape[-2:]) >= SMALLEST


def _residuals(answers: Answers, inputs: Inputs, source: _Source) -> list[list[Array]]:
    return [
        [_residual(outputs[source.position], feeds, source) for outputs, feeds in zip(*channel, strict=True)]
        for channel in zip(answers, inputs, strict=True)
    ]


def _residual(output: Array, feeds: Mapping[str, Array], source: _Source) -> Array:
    """One call's residual, (bins, frames) float64; empty where the output does not fit its input."""
    values = np.asarray(output).astype(np.float64)
    if source.factor is not None:
        if values.shape != feeds[source.factor].shape:
            return np.empty((0, 0))
        values = values * feeds[source.factor]
    return np.asarray(values.reshape(-1, *values.shape[-2:]).sum(axis=0))


def _once(make_scorer: Callable[[int, int], Scorer], shape: tuple[int, ...]) -> Callable[[Array], float | None]:
    """The scorer, asked only once for equal residuals; None for one that cannot be scored."""
    score, known = make_scorer(*shape), dict[bytes, float | None]()

    def scored(residual: Array) -> float | None:
        if residual.shape != shape or not np.isfinite(residual).all():
            return None
        key = hashlib.sha256(residual.tobytes()).digest()
        if key not in known:
            probability = score(residual)
            known[key] = probability if math.isfinite(probability) else None
        return known[key]

    return scored


def _median(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return median(known) if known and len(known) == len(scores) else None


def _same(expected: float | None, got: float | None) -> bool:
    if expected is None or got is None:
        return False
    return (expected >= THRESHOLD) == (got >= THRESHOLD)


def _detector(bins: int, frames: int) -> Scorer:
    # Loads onnx, which judging alone does not need.
    from models.verdict_network import detector

    return detector(bins, frames)
