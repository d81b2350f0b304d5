"""The detection chain: were it deaf, it would agree with every form, however wrong."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.quality import limits
from models.verdict import Agreement, judge, verdict_agreement
from models.verdict_features import (
    DEVIATIONS,
    FLOOR,
    MEANS,
    calibration_residuals,
    local_mean,
    median,
    planes,
    raw_planes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Calls = list[list[list[Any]]]
SHAPE = (1, 1, 40, 24)


def calls(channels: int = 2, rotations: int = 3, shape: tuple[int, ...] = SHAPE) -> Calls:
    """Residuals in which the parts differ, ``[channel][rotation]`` -> the only output."""
    residuals = iter(calibration_residuals(channels * rotations, *shape[-2:]))
    return [[[next(residuals).reshape(shape)] for _ in range(rotations)] for _ in range(channels)]


def changed(answers: Calls, change: Callable[[Any], Any]) -> Calls:
    return [[[change(output) for output in outputs] for outputs in channel] for channel in answers]


def nothing(answers: Calls) -> list[list[dict[str, Any]]]:
    return [[{} for _ in channel] for channel in answers]


def agreement(expected: Calls, got: Calls, make_scorer: Any = None) -> Agreement:
    found = verdict_agreement(expected, got, nothing(expected), ["residual"], {"residual": "spectrum"}, make_scorer)
    assert found is not None
    return found


def loudness(bins: int, frames: int) -> Callable[[Any], float]:
    """A stand-in whose verdict is known by hand: the mean of the residual."""
    assert (bins, frames) == SHAPE[-2:]
    return lambda residual: float(residual.mean())


def flat(*means: Sequence[float]) -> Calls:
    return [[[np.full(SHAPE, value)] for value in track] for track in means]


def test_the_same_residuals_have_the_same_verdict() -> None:
    answers = calls()
    found = agreement(answers, answers)
    assert (found.score_shift, found.flips, found.tracks_agreeing) == (0, 0, 2)
    assert found.scores_expected == found.scores_got
    assert found.residual == "output 'residual'"
    assert judge(found, "fp32") is None


def test_scores_live() -> None:
    # A network that says the same to everything, or only 0 and 1, would see no difference between forms.
    scores = [score for track in agreement(calls(3, 4), calls(3, 4)).scores_expected for score in track]
    assert len(set(scores)) == 12
    assert all(0.001 < float(score or 0) < 0.999 for score in scores)
    assert np.std([float(score or 0) for score in scores]) > 0.05


@pytest.mark.parametrize(
    "damage",
    [
        lambda x: 0.9 * x,
        lambda x: 1.1 * x,
        lambda x: x * (1 + 0.1 * np.random.default_rng(1).standard_normal(x.shape)),
    ],
    ids=["quieter", "louder", "noisier"],
)
def test_a_residual_damaged_by_a_tenth_is_noticed(damage: Callable[[Any], Any]) -> None:
    answers = calls()
    found = agreement(answers, changed(answers, damage))
    assert found.score_shift is not None
    assert found.score_shift > 10 * limits("fp32").score_shift_max
    text = str(judge(found, "fp32"))
    assert "moved by" in text or "flipped" in text


def test_what_fp32_and_fp16_round_is_not() -> None:
    answers = calls()
    for change in (lambda x: x.astype(np.float16), lambda x: x * (1 + np.float32(1e-6))):
        assert judge(agreement(answers, changed(answers, change)), "fp32") is None


def test_a_verdict_flips_through_the_real_chain() -> None:
    # The residual of another track in place of one's own: the wrong channel, a stale buffer.
    answers = calls(1, 24)
    scores = agreement(answers, answers).scores_expected[0]
    low, high = (int(pick([float(score or 0) for score in scores])) for pick in (np.argmin, np.argmax))
    assert float(scores[low] or 0) < 0.5 < float(scores[high] or 0)
    found = agreement([[answers[0][low]]], [[answers[0][high]]])
    assert (found.flips, found.tracks_agreeing) == (2, 0)
    assert judge(found, "int4") == (
        "verdicts on output 'residual' flipped at 0.5: 2 (0 of 1 tracks agree), above 0 (int4), against the form raw"
    )


def test_shift_and_flips_by_hand() -> None:
    found = agreement(flat([0.1, 0.2, 0.7], [0.6, 0.7, 0.8]), flat([0.1, 0.2, 0.71], [0.45, 0.7, 0.8]), loudness)
    assert found.tracks_expected == pytest.approx((0.2, 0.7))
    assert found.score_shift == pytest.approx(0.15)
    # One chunk, and no track: the median holds.
    assert (found.flips, found.tracks_agreeing) == (1, 2)
    assert "flipped at 0.5: 1 (2 of 2 tracks agree)" in str(judge(found, "fp32"))
    steady = replace(found, flips=0, score_shift=0.0011)
    assert judge(steady, "fp32") == (
        "P(AI) of output 'residual' moved by 0.0011, above 0.001 (fp32), against the form raw"
    )
    assert judge(steady, "int8+fp32") is None


def test_a_track_flips_with_its_median() -> None:
    found = agreement(flat([0.1, 0.51, 0.9]), flat([0.1, 0.49, 0.9]), loudness)
    assert (found.flips, found.tracks_agreeing) == (2, 0)


def test_masks_are_multiplied_and_summed() -> None:
    mask, x = np.random.default_rng(0).random((2, 1, 2, 16, 12))
    seen = []

    def score(residual: Any) -> float:
        seen.append(residual)
        return 0.3

    found = verdict_agreement(
        [[[mask]]],
        [[[mask.astype(np.float16)]]],
        [[{"noise": x[0], "x": x}]],
        ["mask"],
        {"mask": "mask"},
        lambda *_: score,
    )
    assert found is not None
    assert found.residual == "mask × x"
    assert np.allclose(seen[0], mask[0, 0] * x[0, 0] + mask[0, 1] * x[0, 1])
    assert np.allclose(seen[1], seen[0], atol=1e-3)


def test_equal_residuals_are_scored_once() -> None:
    asked = []

    def score(residual: Any) -> float:
        asked.append(residual)
        return 0.3

    answers = calls(2, 3)
    agreement(answers, changed(answers, np.copy), lambda *_: score)
    assert len(asked) == 6


@pytest.mark.parametrize(
    "damage", [lambda x: x * np.nan, lambda x: x + np.inf, lambda x: x[..., :-1], np.ravel, lambda x: x.sum()]
)
def test_residuals_without_a_score_are_no_agreement(damage: Callable[[Any], Any]) -> None:
    answers = flat([0.1, 0.2, 0.3])
    found = agreement(answers, changed(answers, damage), loudness)
    assert (found.score_shift, found.flips, found.tracks_got) == (None, 4, (None,))
    assert "gives no P(AI)" in str(judge(found, "int4"))


def test_a_mask_of_another_shape_is_no_agreement() -> None:
    mask = np.full(SHAPE, 0.3)
    feeds = [[{"x": np.ones(SHAPE)}]]
    found = verdict_agreement([[[mask]]], [[[mask[..., :-1]]]], feeds, ["mask"], {"mask": "mask"}, loudness)
    assert found is not None
    assert found.score_shift is None


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("residual", "audio", SHAPE),  # samples
        ("clean", "spectrum", SHAPE),
        ("mask", "mask", (1, 22)),  # gains per band
        ("mask", "mask", (1, 1, 40, 23)),  # no input of that size
        ("residual", "spectrum", (1, 1, 40, 7)),
    ],
)
def test_other_models_have_no_verdict(name: str, kind: str, shape: tuple[int, ...]) -> None:
    answer, feeds = [[[np.ones(shape)]]], [[{"x": np.ones(SHAPE)}]]
    assert verdict_agreement(answer, answer, feeds, [name], {name: kind}) is None
    assert verdict_agreement(answer, answer, feeds, [name], {}) is None
    assert verdict_agreement([], [], [], [name], {name: kind}) is None


def test_the_normalisation_is_that_of_its_seeded_residuals() -> None:
    values = np.concatenate([raw_planes(residual).reshape(7, -1) for residual in calibration_residuals()], axis=1)
    assert np.allclose(values.mean(axis=1), MEANS, atol=1e-3)
    assert np.allclose(values.std(axis=1), DEVIATIONS, atol=1e-3)
    normal = np.concatenate([planes(one, (0.6, 0.36)).reshape(7, -1) for one in calibration_residuals()], axis=1)
    assert np.allclose(normal.mean(axis=1), 0.6, atol=5e-3)
    assert np.allclose(normal.std(axis=1), 0.6, atol=5e-3)


def test_a_gain_is_not_normalised_away() -> None:
    loud = 100 * calibration_residuals(1)[0]
    change = planes(loud, (0, 1))[0] - planes(0.9 * loud, (0, 1))[0]
    assert np.mean(change) == pytest.approx(-np.log(0.9) / DEVIATIONS[0], rel=0.01)


def test_medians_tell_lines_from_clicks() -> None:
    line, click = np.zeros((2, 40, 40))
    line[20], click[:, 20] = 1, 1
    assert raw_planes(line)[3][20].min() > 0.999
    assert raw_planes(click)[3][:, 20].max() < 0.001
    assert np.all(raw_planes(line * 0)[3] == 0.5)
    assert np.allclose(raw_planes(line)[1], np.log(line + FLOOR), atol=0.01)
    assert np.allclose(raw_planes(click)[2], np.log(click + FLOOR), atol=0.01)


def test_differences_are_zero_at_the_first_edge() -> None:
    rising = np.exp(np.add.outer(0.1 * np.arange(12.0), 0.01 * np.arange(9.0)))
    _, _, _, _, time, frequency, _ = raw_planes(rising)
    assert np.all(time[:, 0] == 0)
    assert np.all(frequency[0] == 0)
    assert np.allclose(time[:, 1:], 0.01, atol=2e-3)
    assert np.allclose(frequency[1:], 0.1, atol=2e-3)


def test_filters_by_hand() -> None:
    values = np.array([[1.0, 9.0, 2.0, 3.0]])
    # Mirrored: 1 1 9 2 3 3.
    assert median(values, 1, 3).tolist() == [[1.0, 2.0, 3.0, 3.0]]
    assert median(values, 0, 3).tolist() == values.tolist()
    assert np.allclose(local_mean(values, 3), [[11 / 3, 4.0, 14 / 3, 8 / 3]])


def test_agreement_travels_as_json() -> None:
    answers = flat([0.1, 0.2, 0.3])
    assert json.loads(json.dumps(asdict(agreement(answers, answers, loudness))))["flips"] == 0
