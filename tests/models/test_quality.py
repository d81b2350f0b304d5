"""Quality against the parent: were a figure wrong, a form could be fast and wrong, and nobody would know."""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
from support import ROOT

from models.compare import tolerance
from models.errors import ModelError
from models.quality import Figures, Limits, Quality, assess, judge, limits, spectrogram, told_apart
from models.surgery.catalogue import PASSES

TABLE = tomllib.loads((ROOT / "models/quality.toml").read_text())
# Not a precision: what every form is held to for its verdicts to count as unchanged.
TABLE.pop("acceptance")


def one(want: Any, have: Any, kind: str = "other") -> Figures:
    """The figures of one output of one call."""
    return assess([[[np.asarray(want)]]], [[[np.asarray(have)]]], ["y"], {"y": kind}).outputs[0]


def said(want: Any, have: Any, precision: str = "fp32", kind: str = "other") -> str | None:
    return judge(assess([[[np.asarray(want)]]], [[[np.asarray(have)]]], ["y"], {"y": kind}), precision)


def test_formulas_by_hand() -> None:
    figures = one([3.0, -4.0], [3.0, -4.5])
    assert figures.max_abs_error == 0.5
    assert figures.peak == 4
    assert figures.relative_to_peak == 0.125
    assert figures.snr_db == pytest.approx(20.0)
    assert figures.cosine == pytest.approx((9 + 18) / (5 * math.hypot(3, 4.5)))
    assert figures.spectral_convergence == pytest.approx(0.5 / 5)
    assert (figures.mask_correlation, figures.mask_mae, figures.differing, figures.flips) == (None,) * 4


def test_spectral_convergence_is_of_magnitudes() -> None:
    assert one([3.0, -4.0], [-3.0, 4.0], "spectrum").spectral_convergence == 0


def test_mask_formulas_by_hand() -> None:
    want, have = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.4, 0.4])
    figures = one(want, have, "mask")
    assert figures.mask_correlation == pytest.approx(np.corrcoef(want, have)[0, 1])
    assert figures.mask_mae == pytest.approx(0.1)
    assert figures.mask_mean_expected == pytest.approx(0.2)
    assert figures.mask_mean_got == pytest.approx(0.3)
    assert figures.spectral_convergence == pytest.approx(math.sqrt(0.05 / 0.14))


def test_each_of_two_masks_counts() -> None:
    # Two masks at different levels, the second of which is noise: over both at once the levels would correlate.
    draw = np.random.default_rng(0).uniform(0, 0.1, (3, 1, 1, 20, 8))
    want = np.concatenate([draw[0], draw[1] + 0.4], axis=1)
    have = np.concatenate([draw[0], draw[2] + 0.4], axis=1)
    assert np.corrcoef(want.ravel(), have.ravel())[0, 1] > 0.95
    figures = one(want, have, "mask")
    assert figures.mask_correlation == pytest.approx(np.corrcoef(draw[1].ravel(), draw[2].ravel())[0, 1])
    assert figures.mask_mae == pytest.approx(np.abs(draw[1] - draw[2]).mean())


def test_identical_answers_pass_everywhere() -> None:
    values = np.random.default_rng(0).random((1, 1, 9, 40)).astype(np.float32)
    for kind in ("mask", "spectrum", "audio", "score", "other"):
        figures = one(values, values, kind)
        assert (figures.max_abs_error, figures.snr_db, figures.cosine, figures.spectral_convergence) == (0, None, 1, 0)
        assert said(values, values, "fp32", kind) is None


def test_silence_has_no_ratios() -> None:
    silence = np.zeros(64)
    for kind in ("audio", "spectrum", "mask"):
        figures = one(silence, silence + 1e-6, kind)
        assert (figures.snr_db, figures.cosine, figures.spectral_convergence) == (None, None, None)
        assert figures.relative_to_peak == 1e-6
        assert said(silence, silence + 1e-6, "fp32", kind) is None
        assert "1, above 0.0001 (fp32)" in str(said(silence, silence + 1, "fp32", kind))
    # What float16 flushes to zero is no error.
    assert said(np.full(4, 1e-40), silence[:4]) is None


def test_constant_masks_have_no_correlation() -> None:
    flat, lively = np.full(50, 0.25, np.float32), np.linspace(0, 0.5, 50)
    assert one(flat, flat, "mask").mask_correlation is None
    assert one(flat, np.nextafter(flat, 1, dtype=np.float32), "mask").mask_correlation is None
    assert one(flat, lively, "mask").mask_correlation is None
    # A mask that died is not excused for having no spread.
    assert one(lively, flat, "mask").mask_correlation == 0
    assert one(lively, 0.5 - lively, "mask").mask_correlation == pytest.approx(-1)


def test_nan_infinity_and_shapes_are_told() -> None:
    want = np.ones((2, 3), np.float32)
    bad = want.copy()
    bad[0, 1] = np.nan
    assert said(want, bad) == (
        "output 'y': 1 of its 6 values are NaN or infinite (channel 0, input 0), against the form raw"
    )
    assert "its shape is (3, 2), (2, 3) was expected" in str(said(want, want.T))
    assert "its shape is (3,), (2,) was expected" in str(said([1, 2], [1, 2, 3]))
    assert "the expected answer itself has NaN" in str(said(bad, want))
    # Above 65504 float16 is infinite.
    with np.errstate(over="ignore"):
        assert "NaN or infinite" in str(said(want * 1e5, (want * 1e5).astype(np.float16), "int4"))
    assert "no measure for complex64 against float32" in str(said(want, want.astype(np.complex64)))
    assert "no measure for <U1 against float32" in str(said(want, np.full((2, 3), "a")))


def test_missing_answers_are_told() -> None:
    y = np.ones(3)
    for got, text in (
        ([[[y]], [[y]]], "2 channels came, 1 were expected"),
        ([[[y], [y]]], "channel 0: 2 answers came, 1 were expected"),
        ([[[y, y]]], "channel 0, input 0: 2 outputs came, 1 were expected"),
    ):
        quality = assess([[[y]]], got, ["y"], {})
        assert quality.mismatch == text
        assert text in str(judge(quality, "int4"))


def test_other_types_are_compared_as_numbers() -> None:
    want = np.linspace(-1, 1, 101, dtype=np.float32)
    figures = one(want, want.astype(np.float16))
    assert 0 < float(figures.relative_to_peak or 0) < 2**-11
    assert said(want, want.astype(np.float16), "fp16") is None
    assert said(want, want.astype(np.float16), "fp32") is not None
    assert one(want, want.astype(np.float64)).max_abs_error == 0
    assert one([0.0, 2.0], np.array([0, 2])).relative_to_peak == 0


def test_whole_numbers_are_counted() -> None:
    labels = np.arange(8)
    other = np.where(labels == 3, 0, labels)
    assert one(labels, other).differing == 1 / 8
    assert "the share of differing values is 0.125, above 0 (fp32)" in str(said(labels, other))
    assert said(labels, other, "int4") is None
    assert one(labels, labels.astype(np.int32)).differing == 0
    assert one(np.array([True, False]), np.array([1, 1], np.uint8)).differing == 0.5
    assert one(np.array([0, 1], np.uint8), np.array([1, 1], np.uint8)).differing == 0.5


def test_pcm_may_move_by_a_step() -> None:
    # 16-bit audio is rounded: a quiet passage would else be refused for a step that nobody chose.
    pcm = np.array([0, 3, -3, 2], np.int16)
    assert said(pcm, pcm + np.int16(1)) is None
    assert one(pcm, pcm + np.int16(1)).max_abs_error == 1
    assert "2.33, above 0.0001" in str(said(pcm, pcm + np.int16(7)))


def test_scores_are_judged_by_shift_and_flips_alone() -> None:
    want, have = np.array([[0.51], [0.2]]), np.array([[0.49], [0.21]])
    assert one(want, have, "score").flips == 1
    assert one(want, have).flips is None
    assert "the number of scores across 0.5 is 1, above 0 (int8)" in str(said(want, have, "int8", "score"))
    assert said(want, want + 0.01, "int8", "score") is None
    assert "a score moved by 0.01, above 0.001 (fp32)" in str(said(want, want + 0.01, "fp32", "score"))
    # Half of almost nothing is almost nothing: a probability of 0.001 may come as 0.0005.
    assert said([1e-3], [5e-4], "fp32", "score") is None
    assert said([1e-3], [5e-4], "fp32") is not None
    # Nor may the call with the worst ratio hide the one that moved furthest.
    calls = [[[np.array([0.9])], [np.array([0.001])]]], [[[np.array([0.6])], [np.array([0.002])]]]
    assert "a score moved by 0.3" in str(judge(assess(*calls, ["p"], {"p": "score"}), "int8"))
    assert "a score moved by 1" in str(said(np.array([True]), np.array([False]), "int4", "score"))


def test_the_worst_call_counts_and_means_are_over_all() -> None:
    good, worse = np.array([0.0, 0.4]), np.array([0.0, 0.2])
    calls = [[[good], [good]], [[good], [worse]]]
    figures = assess([[[good]] * 2] * 2, calls, ["m"], {"m": "mask"}).outputs[0]
    assert figures.relative_to_peak == 0.5
    assert figures.mask_mae == pytest.approx(0.1)
    assert figures.mask_mean_expected == pytest.approx(0.2)
    assert figures.mask_mean_got == pytest.approx((3 * 0.2 + 0.1) / 4)


def test_every_output_counts_and_the_sentence_names_the_worst() -> None:
    loud, quiet = np.full(100, 1000.0), np.linspace(0, 1e-3, 100)
    quality = assess([[[loud, quiet]]], [[[loud + 1, quiet * 1.01]]], ["loud", "quiet"], {"quiet": "mask"})
    assert quality.worst.output == "quiet"
    assert quality.worst.mask_mae == quality.outputs[1].mask_mae
    assert quality.worst.mask_mean_got == quality.outputs[1].mask_mean_got
    assert judge(quality, "fp32") == (
        "output 'quiet': the largest error over the peak is 0.01, above 0.0001 (fp32), against the form raw"
    )


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("relative_to_peak", 0.6, "the largest error over the peak is 0.6, above 0.5 (int8)"),
        ("snr_db", 14.0, "the signal-to-error ratio is 14 dB, below 15 dB (int8)"),
        ("cosine", 0.97, "the cosine is 0.97, below 0.98 (int8)"),
        ("spectral_convergence", 0.19, "the spectral convergence is 0.19, above 0.18 (int8)"),
        ("mask_correlation", 0.89, "the mask's correlation is 0.89, below 0.9 (int8)"),
        ("mask_mae", 0.041, "the mask's mean absolute error is 0.041, above 0.04 (int8)"),
        ("differing", 0.11, "the share of differing values is 0.11, above 0.1 (int8)"),
        ("max_abs_error", 0.11, "a score moved by 0.11, above 0.1 (int8)"),
        ("flips", 1, "the number of scores across 0.5 is 1, above 0 (int8)"),
    ],
)
def test_every_limit_holds_by_itself(figure: str, value: Any, text: str) -> None:
    figures = Figures("y", kind="score" if figure in {"max_abs_error", "flips"} else "other", **{figure: value})
    assert judge(Quality((figures,), figures), "int8") == f"output 'y': {text}, against the form raw"


def test_mixes_take_the_loosest_of_each() -> None:
    assert limits("int8+fp32") == limits("fp32+int8") == limits("int8")
    with pytest.raises(ModelError, match=r"fp8.*fp64, fp32, tf32"):
        limits("fp8")
    assert said([1.0, 2.0], [1.0, 1.9], "int8 + fp32") is None
    assert said([1.0, 2.0], [1.0, 1.9], "fp32") is not None


def test_every_precision_a_form_can_have_has_limits() -> None:
    assert {entry.precision for entry in PASSES.values()} <= set(TABLE)
    assert set(TABLE) == {"fp64", "fp32", "tf32", "fp16", "bf16", "int8", "int4"}
    # Rewrites of fp32 are held to what engines of fp32 are held to.
    for name in ("max_abs_relative_to_peak", "snr_db_min"):
        assert getattr(limits("fp32"), name) == getattr(tolerance("fp32"), name)
    # Looser from entry to entry, in every figure.
    order = [limits(name) for name in ("fp32", "tf32", "fp16", "bf16", "int8", "int4")]
    for entry in fields(Limits):
        values = [getattr(one, entry.name) for one in order]
        assert values == sorted(values, reverse=entry.name.endswith("_min"))


def test_spectrogram_counts_every_sample_alike() -> None:
    # A click has the same energy wherever it falls, the ends included.
    energy = []
    for place in range(0, 256, 5):
        click = np.zeros((1, 256))
        click[0, place] = 1
        energy.append(float(np.square(spectrogram(click)).sum()))
    assert max(energy) / min(energy) < 1.001


@pytest.mark.parametrize(("length", "size"), [(1, 32), (64, 32), (255, 32), (256, 64), (2048, 512), (48000, 2048)])
def test_spectrogram_frames_follow_the_length(length: int, size: int) -> None:
    signal = np.random.default_rng(0).standard_normal((1, length, 1) if length > 1 else (1,))
    frames = spectrogram(signal)
    assert frames.shape[-1] == size // 2 + 1
    assert frames.shape[-2] == -(-length // (size // 4)) + 3


def test_audio_is_compared_by_its_spectrum() -> None:
    # A phase that is off by half a turn is inaudible: no error of magnitudes, all error of samples.
    time = np.arange(4096)
    tone, shifted = np.sin(0.3 * time), np.sin(0.3 * time + math.pi)
    figures = one(tone, shifted, "audio")
    assert figures.spectral_convergence == pytest.approx(0, abs=1e-9)
    assert figures.cosine == pytest.approx(-1)
    assert float(one(tone, np.sin(0.6 * time), "audio").spectral_convergence or 0) > 1


def test_figures_travel_as_json() -> None:
    quality = assess([[[np.ones(4)]]], [[[np.ones(4)]]], ["y"], {})
    assert json.loads(json.dumps(asdict(quality)))["worst"]["relative_to_peak"] == 0


def test_empty_outputs_are_no_error() -> None:
    for kind in (np.float32, np.int64):
        assert said(np.empty((0, 4), kind), np.empty((0, 4), kind), "fp32", "mask") is None


def test_told_apart() -> None:
    assert told_apart(0.00010000001, 1e-4) == ("0.00010000001", "0.0001")
    assert told_apart(0.5, 0.1) == ("0.5", "0.1")


def test_the_page_has_every_limit() -> None:
    page = (ROOT / "docs/quality.md").read_text()
    rows = {
        match[1]: [cell.strip() for cell in match[2].strip(" |").split("|")]
        for match in re.finditer(r"^\| `(\w+)` \|(.+)\|$", page, re.MULTILINE)
        if match[1] in {entry.name for entry in fields(Limits)}
    }
    for entry in fields(Limits):
        assert [float(cell) for cell in rows[entry.name]] == [TABLE[name][entry.name] for name in TABLE], entry.name
    header = re.search(r"^\| limit \|(.+)\|$", page, re.MULTILINE)
    assert header is not None
    assert [cell.strip(" `") for cell in header[1].split("|")] == list(TABLE)
