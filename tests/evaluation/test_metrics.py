"""Metrics against numbers worked out by hand."""

from math import log

import numpy as np
import pytest

from modelsoups.evaluation.metrics import accuracy, nll


def test_accuracy_is_the_fraction_of_images_whose_largest_logit_is_the_labels() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, -5.0], [1.0, 0.0]])
    assert accuracy(logits, np.array([0, 1, 1, 0])) == 3 / 4


def test_of_equal_logits_the_first_counts() -> None:
    assert accuracy(np.zeros((2, 2)), np.array([0, 1])) == 1 / 2


def test_nll_is_in_nats() -> None:
    # softmax of (log 3, 0) is (3/4, 1/4): mean of -log 3/4 and -log 1/4 is log 4 - log(3) / 2.
    logits = np.array([[log(3), 0.0], [log(3), 0.0]])
    assert nll(logits, np.array([0, 1])) == pytest.approx(log(4) - log(3) / 2)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nll_of_huge_logits_is_finite_and_leaves_them_alone(dtype: str) -> None:
    logits = np.array([[60_000.0, 0.0]]).astype(dtype)
    before = logits.copy()
    assert nll(logits, np.array([1], np.int16)) == pytest.approx(float(logits[0, 0]))
    np.testing.assert_array_equal(logits, before)
