"""What a form costs in quality: its answers against those of the model it was made of.

An engine is held to the oracle of its own form (:mod:`models.compare`), which says that it computes the
form rightly. Whether the form still answers as its parent does, the form ``raw`` on the same seeded
inputs, is asked here. Only NumPy is imported.

Formulas, over all values of one output of one call, ``x`` expected and ``y`` got, in float64:

* error over peak: ``max |y − x| / max |x|``;
* signal-to-error ratio in dB: ``10 · log10(Σ x² / Σ (y − x)²)``;
* cosine: ``Σ x·y / sqrt(Σ x² · Σ y²)``;
* spectral convergence: ``‖|X| − |Y|‖ / ‖|X|‖`` with Frobenius norms, where ``X`` is the output itself,
  and for audio its spectrogram (:func:`spectrogram`);
* correlation (Pearson), mean absolute error and means, for masks, each channel by itself;
* differing: the share of integers or booleans that are not the parent's.

Figures of an output are those of its worst call, each for itself; means of masks are over all calls.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compare import ROUNDED, SMALLEST_NORMAL, compare
from models.errors import ModelError

Array = NDArray[Any]
# [channel][rotation] -> outputs
Answers = Sequence[Sequence[Sequence[Array]]]

# The entry of quality.toml that is no precision.
ACCEPTANCE = "acceptance"
# Below this share of its largest value a mask's spread is float32's rounding, and correlates with nothing.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Figures:
    """How far one output is from the parent's; None where a figure has no meaning.

    Attributes:
        output: its name; in :attr:`Quality.worst` the one with the largest error over its peak.
        kind: ``mask``, ``spectrum``, ``audio``, ``score`` or ``other``.
        max_abs_error: largest absolute difference.
        peak: largest expected absolute value in the call with the largest error over its peak.
        relative_to_peak: that error over that peak; a silent output is measured against 1.
        snr_db: smallest signal-to-error ratio; None when nothing differs, or silence was expected.
        cosine: smallest cosine.
        spectral_convergence: largest spectral convergence; None when silence was expected.
        mask_correlation: smallest Pearson correlation; None where the expected mask is constant, 0 where only
            the one that came is.
        mask_mae: largest mean absolute error of a mask.
        mask_mean_expected, mask_mean_got: means of the mask over all calls.
        differing: largest share of differing integers or booleans; None for numbers.
        flips: scores that came on the other side of 0.5, summed over the calls; None for all but scores.
        mismatch: what makes the figures meaningless: shape, type, NaN, infinity.
    """

    output: str
    kind: str = "other"
    max_abs_error: float | None = None
    peak: float | None = None
    relative_to_peak: float | None = None
    snr_db: float | None = None
    cosine: float | None = None
    spectral_convergence: float | None = None
    mask_correlation: float | None = None
    mask_mae: float | None = None
    mask_mean_expected: float | None = None
    mask_mean_got: float | None = None
    differing: float | None = None
    flips: int | None = None
    mismatch: str | None = None


@dataclass(frozen=True)
class Quality:
    """Every output's figures, and the worst of each over the outputs.

    Attributes:
        outputs: one entry per output, in the graph's order.
        worst: the worst of each figure; the means are those of the mask with the largest error.
    """

    outputs: tuple[Figures, ...]
    worst: Figures

    @property
    def mismatch(self) -> str | None:
        """Why there are no figures, or only some; None when all is well."""
        return self.worst.mismatch


@dataclass(frozen=True)
class Limits:
    """What a form of one precision may cost; an entry of ``quality.toml``."""

    max_abs_relative_to_peak: float
    snr_db_min: float
    cosine_min: float
    spectral_convergence_max: float
    mask_correlation_min: float
    mask_mae_max: float
    differing_max: float
    score_shift_max: float
    flips_max: int


# Figure, limit, the figure in words, unit; whether it is for scores, or for everything else.
_RULES = (
    ("relative_to_peak", "max_abs_relative_to_peak", "the largest error over the peak is {}", "", False),
    ("snr_db", "snr_db_min", "the signal-to-error ratio is {}", " dB", False),
    ("cosine", "cosine_min", "the cosine is {}", "", False),
    ("spectral_convergence", "spectral_convergence_max", "the spectral convergence is {}", "", False),
    ("mask_correlation", "mask_correlation_min", "the mask's correlation is {}", "", False),
    ("mask_mae", "mask_mae_max", "the mask's mean absolute error is {}", "", False),
    ("differing", "differing_max", "the share of differing values is {}", "", False),
    # A probability has a scale of its own: near 0 its relative error says nothing.
    ("max_abs_error", "score_shift_max", "a score moved by {}", "", True),
    ("flips", "flips_max", "the number of scores across 0.5 is {}", "", True),
)


def assess(expected: Answers, got: Answers, names: Sequence[str], kinds: Mapping[str, str]) -> Quality:
    """Compare all answers of a form with its parent's.

    Args:
        expected: the parent's, ``[channel][rotation]`` -> outputs.
        got: the form's, in the same shape and order; element types may differ.
        names: names of the outputs, states left out.
        kinds: output name -> kind; one that is missing is ``other``.
    """
    problem = _structure(expected, got, len(names))
    if problem:
        return Quality((), Figures("", mismatch=problem))
    outputs = tuple(
        _output(name, kinds.get(name, "other"), position, expected, got) for position, name in enumerate(names)
    )
    worst = _worst(outputs)
    loudest = max(outputs, key=lambda one: -math.inf if one.mask_mae is None else one.mask_mae, default=worst)
    worst = replace(
        worst,
        kind="all",
        mask_mean_expected=loudest.mask_mean_expected,
        mask_mean_got=loudest.mask_mean_got,
        flips=_over(sum, outputs, "flips"),
        mismatch=next((f"output {one.output!r}: {one.mismatch}" for one in outputs if one.mismatch), None),
    )
    return Quality(outputs, worst)


def judge(quality: Quality, precision: str) -> str | None:
    """Whether a form still answers as its parent does: None when it does, else one sentence that says why not.

    Args:
        quality: from :func:`assess`.
        precision: of the form; for a mix such as ``int8+fp32`` the loosest of its parts.

    Raises:
        ModelError: a precision without limits.
    """
    allowed = limits(precision)
    if quality.mismatch:
        return f"{quality.mismatch}, against the form raw"
    if not quality.outputs:
        return "there is no output to compare, against the form raw"
    for figure, limit, words, unit, scores in _RULES:
        lower_is_worse, bound = limit.endswith("_min"), float(getattr(allowed, limit))
        fitting = [one for one in quality.outputs if (one.kind == "score") == scores]
        judged = [(value, one) for one in fitting if (value := getattr(one, figure)) is not None]
        if not judged:
            continue
        value, one = (min if lower_is_worse else max)(judged, key=lambda entry: float(entry[0]))
        # A value that is no number fails, too.
        if not (value >= bound if lower_is_worse else value <= bound):
            have, want = told_apart(float(value), bound)
            side = "below" if lower_is_worse else "above"
            text = f"{words.format(have + unit)}, {side} {want}{unit} ({precision}), against the form raw"
            return f"output {one.output!r}: {text}"
    return None


def limits(precision: str) -> Limits:
    """What is allowed at a precision; for a mix such as ``int8+fp32`` the loosest of its parts.

    Raises:
        ModelError: a precision without limits.
    """
    table = _limits()
    parts = [part.strip() for part in precision.split("+")]
    for part in parts:
        if part not in table:
            raise ModelError(f"there are no limits for the precision {part!r}; there are for {', '.join(table)}")
    loosest = {
        entry.name: (min if entry.name.endswith("_min") else max)(getattr(table[part], entry.name) for part in parts)
        for entry in fields(Limits)
    }
    return Limits(**loosest)


def spectrogram(signal: Array) -> Array:
    """Magnitudes of the short-time Fourier transform of audio, along its longest axis.

    The window is a periodic Hann of N samples, N the largest power of two up to a quarter of the length,
    at least 32 and at most 2048; the hop is N / 4; zeros stand before and after, so that every sample is in
    four frames.

    Args:
        signal: any number of axes; the longest is time.

    Returns:
        (…, frames, N / 2 + 1) float64.
    """
    values = np.atleast_1d(signal.astype(np.float64))
    values = np.moveaxis(values, int(np.argmax(values.shape)), -1)
    length = values.shape[-1]
    size = min(2048, max(32, 1 << max(0, (length // 4).bit_length() - 1)))
    hop = size // 4
    pad = size - hop
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(pad, pad + (-length) % hop)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[..., ::hop, :]
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(size) / size)
    return np.asarray(np.abs(np.fft.rfft(frames * window)))


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """Both as text with as few digits as tell them apart, three at least."""
    for digits in range(3, 17):
        have, want = f"{value:.{digits}g}", f"{limit:.{digits}g}"
        if have != want:
            return have, want
    return repr(value), repr(limit)


@cache
def _limits() -> dict[str, Limits]:
    table = tomllib.loads(resources.files("models").joinpath("quality.toml").read_text("utf-8"))
    return {name: Limits(**entry) for name, entry in table.items() if name != ACCEPTANCE}


@cache
def acceptance() -> tuple[float, int]:
    """Largest shift of a score and most flips at which a verdict counts as unchanged, whatever the precision."""
    table = tomllib.loads(resources.files("models").joinpath("quality.toml").read_text("utf-8"))
    return float(table[ACCEPTANCE]["score_shift_max"]), int(table[ACCEPTANCE]["flips_max"])


def _structure(expected: Answers, got: Answers, outputs: int) -> str | None:
    if len(expected) != len(got):
        return f"{len(got)} channels came, {len(expected)} were expected"
    for channel, (wants, haves) in enumerate(zip(expected, got, strict=True)):
        if len(wants) != len(haves):
            return f"channel {channel}: {len(haves)} answers came, {len(wants)} were expected"
        for rotation, answers in enumerate(zip(wants, haves, strict=True)):
            for answer in answers:
                if len(answer) != outputs:
                    return f"channel {channel}, input {rotation}: {len(answer)} outputs came, {outputs} were expected"
    return None


def _output(name: str, kind: str, position: int, expected: Answers, got: Answers) -> Figures:
    calls = []
    for channel, answers in enumerate(zip(expected, got, strict=True)):
        for rotation, (want, have) in enumerate(zip(*answers, strict=True)):
            one = _call(name, kind, np.asarray(want[position]), np.asarray(have[position]))
            if one.mismatch:
                return replace(one, mismatch=f"{one.mismatch} (channel {channel}, input {rotation})")
            calls.append(one)
    if not calls:
        return Figures(name, kind)
    return replace(
        _worst(calls),
        max_abs_error=_over(max, calls, "max_abs_error"),
        mask_mean_expected=_over(fmean, calls, "mask_mean_expected"),
        mask_mean_got=_over(fmean, calls, "mask_mean_got"),
        flips=_over(sum, calls, "flips"),
    )


def _worst(parts: Sequence[Figures]) -> Figures:
    """The part with the largest relative error, with the worst of every other figure."""
    if not parts:
        return Figures("")
    largest = max(parts, key=lambda one: -math.inf if one.relative_to_peak is None else one.relative_to_peak)
    least = {name: _over(min, parts, name) for name in ("snr_db", "cosine", "mask_correlation")}
    most = {name: _over(max, parts, name) for name in ("spectral_convergence", "mask_mae", "differing")}
    return replace(largest, **least, **most)


def _over(pick: Callable[[list[Any]], Any], parts: Sequence[Figures], figure: str) -> Any:
    """One figure of all parts that have it; None when none has."""
    known = [value for one in parts if (value := getattr(one, figure)) is not None]
    return pick(known) if known else None


def _call(name: str, kind: str, want: Array, have: Array) -> Figures:
    """One output of one call."""
    if want.dtype.kind in "iub" and have.dtype.kind in "iub":
        return _whole(name, kind, want, have)
    try:
        x, y = _float64(want), _float64(have)
    except (TypeError, ValueError):
        return Figures(name, kind, mismatch=f"there is no measure for {have.dtype} against {want.dtype}")
    return _numbers(name, kind, x, y)


def _float64(values: Array) -> Array:
    # Complex numbers would lose their imaginary part, and times and text are no numbers.
    if values.dtype.kind in "cmMOSTU":
        raise TypeError(values.dtype)
    return values.astype(np.float64)


def _numbers(name: str, kind: str, x: Array, y: Array) -> Figures:
    error = compare([x], [y], [name])
    if error.mismatch:
        return Figures(name, kind, mismatch=error.mismatch)
    silent = error.peak < SMALLEST_NORMAL
    figures = Figures(
        name,
        kind,
        max_abs_error=error.max_abs_error,
        peak=error.peak,
        # Silence, and what engines may flush to it, has no scale of its own: full scale stands in.
        relative_to_peak=error.max_abs_error / (1.0 if silent else error.peak),
        snr_db=None if silent else error.snr_db,
        cosine=None if silent else error.cosine,
    )
    if not x.size:
        return figures
    if not silent:
        spectra = (spectrogram(x), spectrogram(y)) if kind == "audio" else (np.abs(x), np.abs(y))
        figures = replace(figures, spectral_convergence=_convergence(*spectra))
    if kind == "score":
        return replace(figures, flips=int(np.count_nonzero((x >= 0.5) != (y >= 0.5))))
    return _mask(figures, x, y) if kind == "mask" else figures


def _whole(name: str, kind: str, want: Array, have: Array) -> Figures:
    """Integers and booleans: PCM and quantised values by their size, all others by how many differ."""
    if want.shape != have.shape:
        return Figures(name, kind, mismatch=f"its shape is {have.shape}, {want.shape} was expected")
    if not want.size:
        return Figures(name, kind)
    x, y = want.astype(np.float64), have.astype(np.float64)
    figures = Figures(name, kind, max_abs_error=float(np.max(np.abs(x - y))), peak=float(np.max(np.abs(x))))
    # 8 bits that are never above 1 are flags, in which a step is the whole answer.
    if want.dtype not in ROUNDED or (want.dtype.itemsize == 1 and float(np.max(np.abs(x))) <= 1):
        return replace(figures, differing=float(np.count_nonzero(want != have) / want.size))
    # The unit in the last place is allowed whatever the peak: that is what rounding moves.
    if np.max(np.abs(x - y)) <= 1:
        return replace(figures, relative_to_peak=0.0)
    return _numbers(name, kind, x, y)


def _mask(figures: Figures, x: Array, y: Array) -> Figures:
    channels = x.shape[1] if x.ndim == 4 else 1
    # The masks of harmonics and percussion are two masks: together their means alone would correlate.
    pairs = [(x[:, i], y[:, i]) for i in range(channels)] if channels > 1 else [(x, y)]
    correlations = [_correlation(*pair) for pair in pairs]
    return replace(
        figures,
        mask_correlation=min((value for value in correlations if value is not None), default=None),
        mask_mae=max(float(np.mean(np.abs(a - b))) for a, b in pairs),
        mask_mean_expected=float(np.mean(x)),
        mask_mean_got=float(np.mean(y)),
    )


def _correlation(x: Array, y: Array) -> float | None:
    """Pearson's correlation; None when ``x`` is constant, 0 when only ``y`` is."""
    a, b = x - np.mean(x), y - np.mean(y)
    spread = [math.sqrt(float(np.mean(np.square(values)))) for values in (a, b)]
    varies = [
        deviation > _CONSTANT * float(np.max(np.abs(values))) for deviation, values in zip(spread, (x, y), strict=True)
    ]
    if not varies[0]:
        return None
    if not varies[1]:
        return 0.0
    return max(-1.0, min(1.0, float(np.mean(a * b)) / spread[0] / spread[1]))


def _convergence(x: Array, y: Array) -> float | None:
    """Of two magnitudes."""
    size = float(np.linalg.norm(x.ravel()))
    return float(np.linalg.norm((x - y).ravel())) / size if size > 0 else None
