"""The judge: too strict, and a right engine is accused; too lenient, and a wrong one ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.compare import Tolerance, compare, tolerance, verdict
from models.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBJECT = "rt48/raw, input 2"


def judge(
    expected: Sequence[Any], got: Sequence[Any], precision: str = "fp32", names: Sequence[str] = ("mask",)
) -> str | None:
    return verdict(compare(expected, got, names), precision, "the reference evaluator", subject=SUBJECT)


def test_exact_answer_has_no_ratio() -> None:
    answer = [np.linspace(-1, 1, 9, dtype=np.float32)]
    error = compare(answer, answer, ["y"])
    assert (error.max_abs_error, error.snr_db, error.cosine, error.peak) == (0.0, None, 1.0, 1.0)
    assert judge(answer, answer) is None


def test_numbers_by_hand() -> None:
    error = compare([np.array([3.0, 4.0])], [np.array([3.0, 4.5])], ["y"])
    assert error.max_abs_error == 0.5
    assert error.snr_db == pytest.approx(20.0)
    assert error.cosine == pytest.approx((9 + 18) / (5 * np.hypot(3, 4.5)))


def test_sentence_says_against_what() -> None:
    want = [np.full(10, 0.5, np.float32)]
    got = [want[0] + np.float32(0.013)]
    assert judge(want, got) == (
        "output 'mask' of rt48/raw, input 2: max abs error 1.3e-02 is above 5.0e-05 (fp32) "
        "against the reference evaluator's answer for exactly this model, form and input"
    )
    assert judge(want, got, "bf16") is None


def test_the_quiet_output_is_judged_by_its_own_peak() -> None:
    loud, quiet = np.full(100, 1000.0), np.full(100, 1e-3)
    error = compare([loud, quiet], [loud, quiet * 1.01], ["loud", "quiet"])
    assert error.output == "quiet"
    assert "quiet" in str(verdict(error, "fp32", "o", subject="s"))


def test_ratio_names_its_own_output() -> None:
    # Every value a little off stays below the peak's tolerance, and is noise all the same.
    want = np.zeros(1000)
    want[0] = 1.0
    text = judge([np.ones(4), want], [np.ones(4), want + 9e-5], names=("a", "b"))
    assert "'b'" in str(text)
    assert "signal-to-error ratio" in str(text)


def test_nan_shape_type_and_count() -> None:
    want = [np.ones((2, 3), np.float32)]
    bad = want[0].copy()
    bad[1, 2] = np.nan
    assert "1 of its 6 values are NaN" in str(judge(want, [bad]))
    assert "shape is (3, 2)" in str(judge(want, [want[0].T]))
    assert "float64" in str(judge(want, [want[0].astype(np.float64)]))
    assert "2 outputs came, 1" in str(judge(want, want * 2))


def test_whole_numbers_are_exact() -> None:
    want = [np.arange(8)]
    got = [np.arange(8)]
    got[0][3] = 0
    assert compare(want, got, ["label"]).differing == 1 / 8
    assert "1 of 8 values differ, none may" in str(judge(want, got, "int4", ("label",)))
    assert judge(want, want, names=("label",)) is None


def test_silence_is_judged_at_full_scale() -> None:
    silence = [np.zeros(5, np.float32)]
    assert judge(silence, [silence[0] + np.float32(1e-7)]) is None
    assert judge(silence, [silence[0] + np.float32(1e-2)]) is not None


def test_stale_and_swapped_answers_fail_even_at_four_bits() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.uniform(0, 0.5, (2, 1, 513, 48)).astype(np.float32)
    assert judge([left], [right], "int4") is not None
    assert judge([left], [np.flip(left, axis=-1)], "int4") is not None


def test_mixed_precisions_take_the_loosest() -> None:
    assert tolerance("fp32") == Tolerance(1e-4, 80.0)
    assert tolerance("fp32+int8") == tolerance("int8")
    with pytest.raises(ModelError, match=r"fp8.*fp32, tf32"):
        tolerance("fp8")
    assert tolerance("fp64") == tolerance("fp32")


def test_rounded_types_may_miss_by_a_step_and_indices_may_not() -> None:
    samples = np.linspace(-32767, 32767, 32768).astype(np.int16)
    for kind, far in ((np.int16, 100), (np.uint16, 100)):
        want = (samples.astype(np.int64) + (32768 if kind is np.uint16 else 0)).astype(kind)
        near, wrong = want.copy(), want.copy()
        near[[5, 6, 7]] += kind(1)
        wrong[[5, 6, 7]] += kind(far)
        assert judge([want], [near]) is None
        text = str(judge([want], [wrong]))
        assert "3 of 32768 values differ, by up to 100" in text
        assert "%" not in text
    for kind in (np.int32, np.int64, np.uint32, np.uint64):
        index = np.arange(1, 9, dtype=kind)
        off = index.copy()
        off[0] += kind(1)
        assert "1 of 8 values differ, none may" in str(judge([index], [off], "int4"))
    assert judge([np.array([True, False])], [np.array([True, True])], "int4") is not None


def test_a_large_index_off_by_less_than_float64_sees() -> None:
    want = np.array([2**62], np.int64)
    assert judge([want], [want + 1]) is not None


def test_quantised_values_follow_the_precision_and_masks_are_exact() -> None:
    want = np.array([-128, 0, 100], np.int8)
    got = np.array([-118, 0, 100], np.int8)
    assert judge([want], [got], "int8") is None
    assert judge([want], [got], "fp32") is not None
    # The difference of two int8 does not fit int8.
    assert judge([want], [np.array([127, 0, 100], np.int8)], "int8") is not None
    mask = np.array([0, 1, 1, 0], np.uint8)
    assert judge([mask], [1 - mask], "int8") is not None


def test_a_wrong_output_is_not_hidden_by_a_worse_looking_right_one() -> None:
    small, large = np.array([2, 3], np.int16), np.array([30000, 0], np.int16)
    text = judge([small, large], [small + np.int16(1), large - np.int16(50)], names=("a", "b"))
    assert "'b'" in str(text)
