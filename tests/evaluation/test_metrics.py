"""Metrics against numbers worked out by hand."""

from math import log

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from modelsoups.evaluation.metrics import METRICS, accuracy, is_correct, macro_f1, matthews, nll


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


def test_macro_f1_is_the_mean_over_classes() -> None:
    # Class 0: 1 hit, 1 missed: F1 2/3. Class 1: 2 hits, 1 false: 4/5. Class 2 does not occur.
    assert macro_f1(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])) == pytest.approx(11 / 15)


def test_matthews_is_the_correlation_of_predictions_and_labels() -> None:
    # Two classes: (2 * 1 - 1 * 0) / sqrt(3 * 2 * 2 * 1).
    found = matthews(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
    assert found == pytest.approx(2 / 12**0.5)


def test_f1_and_matthews_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    for num_classes in (2, 3, 30):  # of 30 some do not occur
        predictions, labels = random.integers(0, num_classes, (2, 40))
        predictions[:20] = labels[:20]
        wanted = f1_score(labels, predictions, average="macro", zero_division=0)
        assert macro_f1(predictions, labels) == pytest.approx(wanted, abs=1e-14)
        wanted = matthews_corrcoef(labels, predictions)
        assert matthews(predictions, labels) == pytest.approx(wanted, abs=1e-14)


def test_matthews_of_constant_predictions_is_0() -> None:
    assert matthews(np.array([1, 1]), np.array([0, 1])) == 0
    assert matthews(np.array([1, 1]), np.array([1, 1])) == 0


def test_every_metric_takes_logits_and_labels() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.standard_normal((40, 3)), random.integers(0, 3, 40)
    values = {name: metric(logits, labels) for name, metric in METRICS.items()}
    assert list(values) == ["accuracy", "nll", "macro_f1", "matthews", "ece"]
    assert values["accuracy"] == accuracy(logits, labels)
    assert values["macro_f1"] == macro_f1(logits.argmax(1), labels)


def test_scores_of_examples_have_the_metric_as_their_mean() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.standard_normal((40, 3)), random.integers(0, 3, 40)
    bounded = {name: metric for name, metric in METRICS.items() if metric.per_example}
    assert list(bounded) == ["accuracy"]
    for metric in bounded.values():
        scores = metric.per_example(logits, labels)
        assert scores.mean() == pytest.approx(metric(logits, labels))
        assert 0 <= scores.min() <= scores.max() <= 1
    assert is_correct(np.zeros((2, 2)), np.array([0, 1])).tolist() == [1, 0]
