"""From a residual spectrogram to the seven feature planes that the detection network looks at.

Published is that harmonics and percussion are taken apart by HPSS and that seven planes follow; which
seven is not. These are ours:

====  ===================================================================
 0    residual: ``ln(r + ε)``
 1    harmonic part: ``ln(h + ε)``
 2    percussive part: ``ln(p + ε)``
 3    harmonic share: ``H² / (H² + P²)``, ½ in silence
 4    change in time: plane 0 minus plane 0 one frame earlier
 5    change in frequency: plane 0 minus plane 0 one bin lower
 6    contrast: plane 0 minus its mean over 9 × 9 values around
====  ===================================================================

HPSS is the one of medians: ``H`` is the median of ``r`` over 17 frames around, ``P`` over 17 bins;
``h = r · H² / (H² + P²)`` and ``p = r − h``. Edges are mirrored.

Every plane is then moved and scaled by constants, the same for every input: taking an input's own mean
and deviation would hide an error that is a gain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Bins and frames that a median looks at, and width and height that the local mean does.
WINDOW, AROUND = 17, 9
# About a tenth of a residual's mean: far below, a logarithm would show rounding and not the residual.
FLOOR = 1e-2
# Mean and deviation of every plane over :func:`calibration_residuals`, rounded; a test makes them again.
MEANS = (-2.397, -2.973, -2.980, 0.500, 0.000, -0.008, 0.000)
DEVIATIONS = (1.015, 0.931, 0.916, 0.164, 0.727, 0.746, 0.562)


def planes(residual: Array, moments: tuple[float, float]) -> Array:
    """The seven planes of one residual, as the network expects them.

    Args:
        residual: magnitudes (bins, frames).
        moments: mean and variance that the network was made for; every plane has them over the
            calibration residuals.

    Returns:
        (7, bins, frames) float32.
    """
    mean, variance = moments
    gain = np.sqrt(variance) / np.array(DEVIATIONS)
    shift = mean - np.array(MEANS) * gain
    return np.asarray(raw_planes(residual) * gain[:, None, None] + shift[:, None, None], np.float32)


def raw_planes(residual: Array) -> Array:
    """The same before normalisation, float64."""
    r = np.abs(residual.astype(np.float64))
    harmonic, percussive = (np.square(median(r, axis, WINDOW)) for axis in (1, 0))
    share = (harmonic + FLOOR**2 / 2) / (harmonic + percussive + FLOOR**2)
    log = np.log(r + FLOOR)
    return np.stack(
        [
            log,
            np.log(share * r + FLOOR),
            np.log((1 - share) * r + FLOOR),
            share,
            np.diff(log, axis=1, prepend=log[:, :1]),
            np.diff(log, axis=0, prepend=log[:1]),
            log - local_mean(log, AROUND),
        ]
    )


def median(values: Array, axis: int, size: int) -> Array:
    """The median of ``size`` values (odd) around each along one axis, mirrored at the edges."""
    # Sorting short rows is vectorised, and faster than selecting.
    return np.asarray(np.sort(_around(values, axis, size), axis=-1)[..., size // 2])


def local_mean(values: Array, size: int) -> Array:
    """The mean of ``size`` × ``size`` values (odd) around each, mirrored at the edges."""
    for axis in (0, 1):
        values = _around(values, axis, size).mean(axis=-1)
    return values


def _around(values: Array, axis: int, size: int) -> Array:
    half = size // 2
    padded = np.pad(values, [(half, half) if i == axis else (0, 0) for i in range(values.ndim)], mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=axis)


def calibration_residuals(count: int = 24, bins: int = 257, frames: int = 87) -> list[Array]:
    """Seeded residuals that the normalisation is made from, about as loud as those of the zoo.

    A mask in [0, 0.5] that varies slowly, times the magnitudes of noise that falls with frequency; every
    one with a loudness, a fall, steady lines and clicks of its own.

    Returns:
        ``count`` arrays (bins, frames) float32.
    """
    generator = np.random.default_rng(20260501)
    return [_calibration(generator, bins, frames) for _ in range(count)]


def _calibration(generator: np.random.Generator, bins: int, frames: int) -> Array:
    loudness, fall, lines, clicks = generator.uniform([1.0, 4.0, 0.0, 0.0], [5.0, 16.0, 1.5, 1.5])
    noise = np.hypot(*generator.standard_normal((2, bins, frames))) / np.sqrt(2)
    noise += lines * (generator.random((bins, 1)) < 0.05) + clicks * (generator.random((1, frames)) < 0.05)
    envelope = loudness / (1 + fall * np.linspace(0, 1, bins))[:, None]
    mask = 0.5 / (1 + np.exp(-local_mean(generator.standard_normal((bins, frames)) * 3, 5) - generator.normal()))
    return np.asarray(mask * envelope * noise, np.float32)
