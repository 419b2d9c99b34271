"""Calibration error and temperature against hand-computed numbers."""

import numpy as np
import pytest
from scipy.special import softmax

from modelsoups.evaluation.calibration import expected_calibration_error, fit_inverse_temperature


def two_class_logits(*confidences: float) -> np.ndarray:
    """Logits (n, 2) that predict class 0 with these probabilities."""
    p = np.array(confidences)
    return np.stack([np.log(p), np.log(1 - p)], axis=1)


def test_ece_by_hand() -> None:
    # Sorted by confidence in two bins of two: (0.6, 0.7), right 1 of 2, gap 0.15; (0.8, 0.9), both
    # right, gap 0.15. Their mean over images is 0.15.
    logits = two_class_logits(0.9, 0.6, 0.8, 0.7)
    labels = np.array([0, 0, 0, 1])
    assert expected_calibration_error(logits, labels, num_bins=2) == pytest.approx(0.15)
    # In one bin confidence is 0.75 and accuracy 3/4.
    assert expected_calibration_error(logits, labels, num_bins=1) == pytest.approx(0)


def test_ece_bins_have_equal_mass_not_equal_width() -> None:
    # Bins of two images: gaps |1 - 0.905| and |0 - 0.965|; of equal width all would share a bin.
    logits = two_class_logits(0.90, 0.91, 0.96, 0.97)
    labels = np.array([0, 0, 1, 1])
    expected = (0.095 + 0.965) / 2
    assert expected_calibration_error(logits, labels, num_bins=2) == pytest.approx(expected)


def test_confidence_is_that_of_the_prediction() -> None:
    # Predicts class 1 with 0.8, and is right.
    assert expected_calibration_error(two_class_logits(0.2), np.array([1])) == pytest.approx(0.2)


def test_temperature_undoes_a_scale() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 4)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert fit_inverse_temperature(3 * logits, labels) == pytest.approx(1 / 3, rel=0.05)


def test_temperature_makes_confidence_the_accuracy() -> None:
    # All images alike with two classes: the best probability is the frequency, 3/4, so
    # beta * log(9) = log(3): one half.
    logits = two_class_logits(0.9, 0.9, 0.9, 0.9)
    assert fit_inverse_temperature(logits, np.array([0, 0, 0, 1])) == pytest.approx(0.5, abs=1e-4)
