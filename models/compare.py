"""An engine's answer against the oracle's: how far off, and whether that is still right.

Only NumPy is imported: a measured process compares, and must not load onnx for it.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]
# Types that real values are rounded to: float32's own rounding may move one by a step.
ROUNDED = {np.dtype(kind) for kind in ("int8", "uint8", "int16", "uint16")}
# How the origin begins where the answers of the form raw are taken for those of another form.
STAND_IN = "the form raw's answers"
SMALLEST_NORMAL = float(np.finfo(np.float32).smallest_normal)


@dataclass(frozen=True)
class Whole:
    """How far an output of integers or booleans is from the expected one.

    Attributes:
        output: its name.
        differing: how many values differ.
        size: of how many.
        max_abs_error: the largest difference.
        peak: the largest expected absolute value.
        rounded: whether its type is one that real values are rounded to (PCM, quantised values), so
            that float32's own rounding may move a value by a step.
    """

    output: str
    differing: int
    size: int
    max_abs_error: float
    peak: float
    rounded: bool


@dataclass(frozen=True)
class Error:
    """How far one call's answer is from the expected one, the worst output deciding.

    Attributes:
        output: the output with the largest error relative to its own peak.
        max_abs_error: that output's largest absolute difference, computed in float64.
        peak: that output's largest expected absolute value.
        snr_db: smallest over the outputs of 10·log10(Σ expected² / Σ difference²); None when every
            difference is 0. An output expected to be silent has no such ratio and is left out.
        snr_output: the output it belongs to.
        cosine: smallest over the outputs of the cosine between expected and got; 1 when both are 0.
        differing: largest share of differing values in an integer or boolean output.
        differing_output: the output it belongs to.
        whole: every integer or boolean output with a value that differs.
        mismatch: what makes numbers meaningless: a wrong count, shape or type, NaN, infinity.
    """

    output: str
    max_abs_error: float = 0.0
    peak: float = 0.0
    snr_db: float | None = None
    snr_output: str = ""
    cosine: float = 1.0
    differing: float = 0.0
    differing_output: str = ""
    whole: tuple[Whole, ...] = ()
    mismatch: str | None = None


@dataclass(frozen=True)
class Tolerance:
    """What still counts as right at one precision.

    Attributes:
        max_abs_relative_to_peak: largest allowed absolute error, as a share of the output's peak.
        snr_db_min: smallest allowed signal-to-error ratio in dB.
    """

    max_abs_relative_to_peak: float
    snr_db_min: float


def compare(expected: Sequence[Array], got: Sequence[Array], names: Sequence[str]) -> Error:
    """Compare all outputs of one call.

    Args:
        expected: the oracle's outputs.
        got: the engine's, in the same order.
        names: the outputs' names.
    """
    first = names[0] if names else ""
    if len(expected) != len(got):
        return Error(first, mismatch=f"{len(got)} outputs came, {len(expected)} were expected")
    floats: list[Error] = []
    whole: list[Whole] = []
    for name, want, have in zip(names, expected, map(np.asarray, got), strict=True):
        problem = _mismatch(want, have)
        if problem:
            return Error(name, mismatch=problem)
        if want.dtype.kind == "f":
            floats.append(_numbers(name, want.astype(np.float64), have.astype(np.float64)))
        else:
            whole += _whole(name, want, have)
    worst = max(floats, key=lambda one: one.max_abs_error / _scale(one.peak), default=Error(first))
    noisiest = min(floats, key=lambda one: math.inf if one.snr_db is None else one.snr_db, default=worst)
    share, differing = max(((one.differing / one.size, one.output) for one in whole), default=(0.0, ""))
    return replace(
        worst,
        snr_db=noisiest.snr_db,
        snr_output=noisiest.output if noisiest.snr_db is not None else "",
        cosine=min((one.cosine for one in floats), default=1.0),
        differing=share,
        differing_output=differing,
        whole=tuple(whole),
    )


def tolerance(precision: str) -> Tolerance:
    """What is allowed at a precision; for a mix such as ``int8+fp32`` the loosest of its parts.

    Raises:
        ModelError: a precision without a tolerance.
    """
    table = _tolerances()
    parts = [part.strip() for part in precision.split("+")]
    for part in parts:
        if part not in table:
            raise ModelError(f"there is no tolerance for the precision {part!r}; there is one for {', '.join(table)}")
    return Tolerance(
        max(table[part].max_abs_relative_to_peak for part in parts), min(table[part].snr_db_min for part in parts)
    )


def verdict(error: Error, precision: str, oracle_name: str, *, subject: str) -> str | None:
    """Whether an answer is right: None when it is, else one sentence that says why not.

    Args:
        error: from :func:`compare`.
        precision: what the engine computed in.
        oracle_name: whose answer was expected, such as ``the reference evaluator``.
        subject: model, form and input, such as ``rt48/raw, input 2``.
    """
    allowed = tolerance(precision)
    limit = allowed.max_abs_relative_to_peak * _scale(error.peak)
    output, reason = error.output, error.mismatch
    for one in error.whole:
        # The unit in the last place is allowed whatever the peak: that is what rounding moves.
        step = max(1.0, allowed.max_abs_relative_to_peak * one.peak) if one.rounded else 0.0
        if reason is None and one.max_abs_error > step:
            few = f"{one.differing} of {one.size} values differ"
            far = f", by up to {one.max_abs_error:g}, and {step:g} is allowed ({precision})"
            output, reason = one.output, few + (far if one.rounded else ", none may")
    if reason is None and not error.max_abs_error <= limit:
        reason = f"max abs error {error.max_abs_error:.1e} is above {limit:.1e} ({precision})"
    if reason is None and error.snr_db is not None and not error.snr_db >= allowed.snr_db_min:
        output = error.snr_output
        reason = f"signal-to-error ratio {error.snr_db:.1f} dB is below {allowed.snr_db_min:g} dB ({precision})"
    if reason is None:
        return None
    # What stands in for the form's own answers says so itself.
    own = not oracle_name.startswith(STAND_IN)
    against = f"{oracle_name}'s answer for exactly this model, form and input" if own else oracle_name
    return f"output {output!r} of {subject}: {reason} against {against}"


@cache
def _tolerances() -> dict[str, Tolerance]:
    table = tomllib.loads(resources.files("models").joinpath("tolerances.toml").read_text("utf-8"))
    return {name: Tolerance(**entry) for name, entry in table.items()}


def _scale(peak: float) -> float:
    # Silence has no scale of its own; full scale, 1, is the honest stand-in. Denormals are silence
    # too: engines may flush them to zero.
    return peak if peak >= SMALLEST_NORMAL else 1.0


def _mismatch(want: Array, have: Array) -> str | None:
    if want.shape != have.shape:
        return f"its shape is {have.shape}, {want.shape} was expected"
    if want.dtype != have.dtype:
        return f"its type is {have.dtype}, {want.dtype} was expected"
    if want.dtype.kind == "f":
        if not np.isfinite(want).all():
            return "the expected answer itself has NaN or infinite values"
        bad = int(np.count_nonzero(~np.isfinite(have)))
        if bad:
            return f"{bad} of its {have.size} values are NaN or infinite"
    return None


def _whole(name: str, want: Array, have: Array) -> list[Whole]:
    differing = int(np.count_nonzero(want != have))
    if not differing:
        return []
    # In float64: integers of 64 bits, which it rounds, are judged by the count alone.
    a, b = want.astype(np.float64), have.astype(np.float64)
    peak = float(np.max(np.abs(a)))
    # 8 bits that are never above 1 are a mask, in which a step is the whole answer.
    rounded = want.dtype in ROUNDED and not (want.dtype.itemsize == 1 and peak <= 1)
    error = float(np.max(np.abs(a - b)))
    return [Whole(name, differing, int(want.size), max(error, float(not rounded)), peak, rounded)]


def _numbers(name: str, want: Array, have: Array) -> Error:
    if not want.size:
        return Error(name)
    wrong = have - want
    signal, noise, power = (float(np.sum(np.square(a))) for a in (want, wrong, have))
    snr = 10 * math.log10(signal / noise) if noise > 0 and signal > 0 else None
    if noise == 0:
        cosine = 1.0
    elif signal > 0 and power > 0:
        cosine = min(1.0, float(np.sum(want * have)) / math.sqrt(signal) / math.sqrt(power))
    else:
        cosine = 0.0
    return Error(name, float(np.max(np.abs(wrong))), float(np.max(np.abs(want))), snr, cosine=cosine)
