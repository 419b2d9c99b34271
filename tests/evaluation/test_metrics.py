"""Metrics against numbers worked out by hand."""

from math import log

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef

from modelsoups.evaluation.metrics import (
    METRICS,
    accuracy,
    accuracy_f1,
    is_correct,
    macro_f1,
    matthews,
    metric_of,
    name_of,
    nll,
    worst_group_accuracy,
)


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


def test_macro_f1_counts_classes_that_have_an_example_alone() -> None:
    """As iWildCam's: a class that is predicted in vain costs the others their hits, no more."""
    # Class 0: 1 hit of 2: 2/3. Class 1: 2 hits of 2: 1. Class 3, predicted once, has no example.
    assert macro_f1(np.array([0, 3, 1, 1]), np.array([0, 0, 1, 1])) == pytest.approx(5 / 6)


def test_the_worst_group_is_the_one_of_lowest_accuracy() -> None:
    """As FMoW's worst region."""
    predictions, labels = np.array([0, 0, 1, 1, 2, 2, 0]), np.array([0, 1, 1, 1, 2, 0, 1])
    groups = np.array([0, 0, 2, 2, 2, 2, -1])  # 1 of 2, 3 of 4; one of no group, one group empty
    assert worst_group_accuracy(predictions, labels, groups) == 1 / 2
    assert worst_group_accuracy(predictions, labels, np.array([0, 1, 1, 1, 1, -1, -1])) == 3 / 4
    assert worst_group_accuracy(labels, labels, groups) == 1


@pytest.mark.parametrize("groups", [None, np.array([-1, -1])])
def test_a_metric_of_groups_needs_groups(groups: np.ndarray | None) -> None:
    with pytest.raises(ValueError, match="needs examples with a group, found none; name the colu"):
        METRICS["worst_group_accuracy"].of(np.array([0, 1]), np.array([0, 1]), groups)


def test_accuracy_f1_is_mrpcs_metric() -> None:
    # Class 1: 2 hits, 1 false: F1 4/5, and an accuracy of 3/4.
    found = accuracy_f1(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
    assert found == pytest.approx((3 / 4 + 4 / 5) / 2)
    # All of class 0: nothing of class 1 is found.
    assert accuracy_f1(np.array([0, 0]), np.array([0, 1])) == pytest.approx(1 / 4)
    # Three classes: F1 scores 1, 2/3 and 0.
    found = accuracy_f1(np.array([0, 1, 1]), np.array([0, 1, 2]))
    assert found == pytest.approx((2 / 3 + 5 / 9) / 2)


def test_matthews_is_the_correlation_of_predictions_and_labels() -> None:
    # Two classes: (2 * 1 - 1 * 0) / sqrt(3 * 2 * 2 * 1).
    found = matthews(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
    assert found == pytest.approx(2 / 12**0.5)


def test_f1_and_matthews_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    for num_classes in (2, 3, 30):  # of 30 some do not occur
        predictions, labels = random.integers(0, num_classes, (2, 40))
        predictions[:20] = labels[:20]
        present = np.unique(labels)
        wanted = f1_score(labels, predictions, average="macro", labels=present, zero_division=0)
        assert macro_f1(predictions, labels) == pytest.approx(wanted, abs=1e-14)
        wanted = matthews_corrcoef(labels, predictions)
        assert matthews(predictions, labels) == pytest.approx(wanted, abs=1e-14)


def test_matthews_of_constant_predictions_is_0() -> None:
    assert matthews(np.array([1, 1]), np.array([0, 1])) == 0
    assert matthews(np.array([1, 1]), np.array([1, 1])) == 0


def test_every_metric_takes_logits_labels_and_groups() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.standard_normal((40, 3)), random.integers(0, 3, 40)
    groups = random.integers(0, 4, 40)
    values = {name: metric(logits, labels, groups) for name, metric in METRICS.items()}
    assert values["accuracy"] == accuracy(logits, labels)
    assert values["macro_f1"] == macro_f1(logits.argmax(1), labels)
    assert values["worst_group_accuracy"] == min(
        accuracy(logits[groups == group], labels[groups == group]) for group in range(4)
    )
    assert is_correct(np.zeros((2, 2)), np.array([0, 1])).tolist() == [1, 0]


@pytest.mark.parametrize("num_classes", [2, 3, 6])
def test_a_monotone_metric_never_falls_when_a_prediction_becomes_right(num_classes: int) -> None:
    """In floating point: one prediction after the other, in any order, up to full marks."""
    random = np.random.default_rng(num_classes)
    bounded = [name for name in METRICS if num_classes <= METRICS[name].monotone_up_to]
    assert "accuracy" in bounded and "macro_f1" in bounded
    for _ in range(60):
        predictions, labels = random.integers(0, num_classes, (2, 30))
        groups = random.integers(-1, 3, 30)
        found = {name: METRICS[name].of(predictions, labels, groups) for name in bounded}
        for place in random.permutation(30):
            predictions[place] = labels[place]
            now = {name: METRICS[name].of(predictions, labels, groups) for name in bounded}
            assert all(now[name] >= found[name] for name in bounded)
            found = now
        assert found["accuracy"] == found["worst_group_accuracy"] == 1


def test_matthews_of_three_classes_may_fall_when_a_prediction_becomes_right() -> None:
    """So that nothing bounds it, and greedy soups by it are evaluated in full."""
    labels = np.array([1] * 18 + [0, 2])
    predictions = np.array([0] * 17 + [1, 0, 2])
    before = matthews(predictions, labels)
    predictions[0] = 1
    assert matthews(predictions, labels) < before
    assert METRICS["matthews"].monotone_up_to == 2


OUTPUTS = np.log(np.array([[0.5, 0.5], [0.9, 0.1]]))
TARGETS = np.array([0, 0])  # squared errors 0.5^2 + 0.5^2 = 0.5 and 0.1^2 + 0.1^2 = 0.02


def test_function_of_the_users_own_is_a_metric_of_which_more_is_better() -> None:
    own = metric_of({"function": "own_metrics:brier", "better": "lower", "per_example": True})
    assert own.per_example is not None
    np.testing.assert_allclose(own.per_example(OUTPUTS, TARGETS), [0.5, 0.98])
    assert own(OUTPUTS, TARGETS) == pytest.approx(0.74)
    whole = metric_of({"function": "own_metrics:mean_brier", "better": "lower"})
    assert whole.per_example is None and whole.monotone_up_to == 0
    assert whole(OUTPUTS, TARGETS) == pytest.approx(0.74)
    assert metric_of("own_metrics:worst_class")(OUTPUTS, TARGETS) == 1
    assert metric_of("accuracy") is METRICS["accuracy"]
    assert name_of({"function": "a.b:brier"}) == name_of("a.b:brier") == "brier"


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("own_metrics:brier", r"expected one number, shape \(\), found shape \(2,\)"),
        (
            {"function": "own_metrics:mean_brier", "per_example": True},
            r"expected a number an example, shape \(2,\), found shape \(\)",
        ),
        (
            {"function": "own_metrics:rank_of_target", "per_example": True},
            "of examples it has to be at most 1, found 2.0",
        ),
        (
            {"function": "own_metrics:share_of_errors", "better": "lower", "per_example": True},
            "expected the number of each example from that example alone",
        ),
        ("own_metrics:no_such", "own_metrics:no_such: expected `package.module:function`"),
    ],
)
def test_what_a_function_returns_has_to_be_what_the_config_says(metric, message) -> None:
    outputs = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    with pytest.raises(ValueError, match=message):
        metric_of(metric)(outputs, TARGETS)
