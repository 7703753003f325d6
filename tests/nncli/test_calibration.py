"""Reliability bins and the calibration error: by hand, by scikit-learn, by published numbers."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from nncli.calibration import (
    expected_calibration_error,
    reliability_bins,
    softmax,
    top_confidence,
)


def reference_case():
    """2,000 answers over 5 classes, half of them too sharp and half too flat."""
    rng = np.random.default_rng(7)
    label = rng.integers(0, 5, 2000)
    logits = rng.standard_normal((2000, 5))
    logits[np.arange(2000), label] += 1.6
    return logits * np.where(rng.random(2000) < 0.5, 2.6, 0.7)[:, None], label


def test_four_answers_by_hand():
    bins = reliability_bins(np.array([0.1, 0.3, 0.9, 1.0]), np.array([1, 0, 1, 0]), bins=2)
    assert bins.count.tolist() == [2, 2]
    assert bins.confidence.tolist() == [0.2, 0.95]
    assert bins.accuracy.tolist() == [0.5, 0.5]
    assert expected_calibration_error(bins) == pytest.approx((0.3 + 0.45) / 2)


def test_the_error_of_a_reference_case_is_what_netcal_1_4_says():
    confidence, hit = top_confidence(softmax(reference_case()[0]), reference_case()[1])
    error = expected_calibration_error(reliability_bins(confidence, hit))
    assert error == pytest.approx(0.13399020668552938, abs=1e-12)


def test_bins_agree_with_scikit_learn():
    confidence, hit = top_confidence(softmax(reference_case()[0]), reference_case()[1])
    bins = reliability_bins(confidence, hit)
    accuracy, mean = calibration_curve(hit, confidence, n_bins=15, strategy="uniform")
    there = bins.count > 0
    np.testing.assert_allclose(bins.accuracy[there], accuracy, atol=1e-12)
    np.testing.assert_allclose(bins.confidence[there], mean, atol=1e-12)


def test_bins_hold_their_lower_end_and_the_last_one_both():
    # sixteenths are exact in binary, so that the ends are hit exactly
    bins = reliability_bins(np.arange(17) / 16, np.ones(17), bins=16)
    assert bins.count.tolist() == [1] * 15 + [2]


def test_an_empty_bin_has_no_mean_and_no_weight():
    bins = reliability_bins(np.array([0.95, 0.97]), np.array([1, 1]), bins=10)
    assert np.isnan(bins.accuracy[:9]).all()
    assert expected_calibration_error(bins) == pytest.approx(0.04)


def test_perfect_and_worst_answers_have_errors_0_and_1():
    sure = np.ones(5)
    assert expected_calibration_error(reliability_bins(sure, np.ones(5))) == 0
    assert expected_calibration_error(reliability_bins(sure, np.zeros(5))) == 1


def test_of_equal_probabilities_the_first_class_is_the_answer():
    confidence, hit = top_confidence(np.full((2, 4), 0.25), np.array([0, 1]))
    assert confidence.tolist() == [0.25, 0.25]
    assert hit.tolist() == [True, False]


def test_softmax_of_huge_logits_does_not_overflow():
    shares = softmax(np.array([[1e4, 0.0], [-1e4, -1e4]], np.float32))
    np.testing.assert_allclose(shares, [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize("confidence", [[], [1.5], [-0.1], [float("nan")]])
def test_no_answers_and_no_probabilities_are_refused(confidence):
    with pytest.raises(ValueError, match=r"no answers|outside 0 to 1"):
        reliability_bins(np.array(confidence), np.zeros(len(confidence)))
