"""Early rejection: bounds worked out by hand."""

import numpy as np
import pytest

from modelsoups.soups.pool import HeldOut
from modelsoups.soups.rejection import (
    attempt_early,
    contested_first,
    describe_rejection,
    margins,
    why_in_full,
)
from modelsoups.soups.selection import Attempt


class Script(HeldOut):
    """A held-out set of one feature: the image's index; a model that is right where told."""

    def __init__(self, right, batch_size=2, labels=None, groups=None):
        self.right, self.batch_size = np.array(right), batch_size
        self.labels = np.zeros(len(right), dtype=np.int64) if labels is None else labels
        self.groups = groups

    def logits(self, indices=None):
        logits = np.zeros((len(indices), 2), np.float32)
        said = np.where(self.right[indices], self.labels[indices], 1 - self.labels[indices])
        logits[np.arange(len(indices)), said] = 1
        return logits


@pytest.mark.parametrize(
    ("to_beat", "accept_ties", "score", "bound", "images"),
    [
        (0.50, False, None, 0.50, 4),  # 3 of 6 right by the 4th image at most: cannot beat 3
        (0.50, True, 0.50, None, 6),  # but can equal it, and does
        (0.60, True, None, 0.50, 4),
        (0.40, False, 0.50, None, 6),
        (0.90, False, None, 4 / 6, 2),
        (1.00, False, None, 4 / 6, 2),
    ],
)
def test_evaluation_stops_where_the_rest_cannot_help(to_beat, accept_ties, score, bound, images):
    held_out = Script([1, 1, 1, 0, 0, 0])
    order = np.array([3, 4, 5, 0, 1, 2])  # the wrong ones first
    attempt, logits = attempt_early(held_out, "accuracy", order, to_beat, accept_ties)
    assert attempt == Attempt(score=score, bound=bound, num_evaluated=images)
    assert (logits is None) == (score is None)
    if logits is not None:
        assert logits[:, 0].tolist() == [1, 1, 1, 0, 0, 0]  # in the images' own order


@pytest.mark.parametrize(
    ("to_beat", "score", "bound", "images"),
    [
        # A half for each that is right, nothing for others; 1 for those not seen.
        (0.70, None, 4 / 6, 2),  # two wrong
        (0.60, None, 2.5 / 6, 4),  # then one more and one right
        (0.30, 1.5 / 6, None, 6),  # nothing is left to bound
    ],
)
def test_examples_not_seen_count_as_1_in_a_mean_of_the_users_own(to_beat, score, bound, images):
    metric = {"function": "own_metrics:half_if_right", "per_example": True}
    held_out = Script([1, 1, 1, 0, 0, 0])
    tried, _ = attempt_early(held_out, metric, np.array([3, 4, 5, 0, 1, 2]), to_beat, False)
    assert tried == Attempt(score=score, bound=bound, num_evaluated=images)


GROUPS = np.array([0, 0, 0, 1, 1, -1])


@pytest.mark.parametrize(
    ("to_beat", "score", "bound", "images"),
    [
        (0.60, None, 1 / 2, 2),  # one of two wrong in group 1: it has 1/2 at most
        (0.50, None, 1 / 2, 2),
        (0.40, None, 1 / 3, 4),  # then two of three wrong in group 0
        (0.30, 1 / 3, None, 6),
    ],
)
def test_the_worst_group_bounds_all(to_beat, score, bound, images):
    held_out = Script([1, 0, 0, 0, 1, 0], groups=GROUPS)
    order = np.array([3, 4, 1, 2, 0, 5])
    attempt, _ = attempt_early(held_out, "worst_group_accuracy", order, to_beat, False)
    assert attempt == Attempt(score=score, bound=bound, num_evaluated=images)


@pytest.mark.parametrize(
    ("metric", "to_beat", "bound", "images"),
    [
        # Of labels 0 0 0 1 the third and the fourth are wrong. After the fourth: class 0 has three
        # hits of three, predicted four times: 6/7, class 1 none: the mean is 3/7.
        ("macro_f1", 0.43, 3 / 7, 1),
        # After the third too: class 0 two hits, F1 4/6; class 1 no hit: 1/3.
        ("macro_f1", 0.42, 1 / 3, 2),
        # r = 0, p = 1/4, q = 0 after the fourth: 0 by definition.
        ("matthews", 0.1, 0, 1),
        # After the third too p = q = 1/4, r = 0: -1/3.
        ("matthews", -0.1, -1 / 3, 2),
    ],
)
def test_metrics_of_all_predictions_are_bounded_by_full_marks_on_the_rest(
    metric, to_beat, bound, images
):
    held_out = Script([1, 1, 0, 0], batch_size=1, labels=np.array([0, 0, 0, 1]))
    attempt, _ = attempt_early(held_out, metric, np.array([3, 2, 1, 0]), to_beat, False)
    assert attempt.bound == pytest.approx(bound)
    assert attempt.num_evaluated == images


def test_the_group_that_will_be_worst_comes_first_and_within_it_what_is_contested():
    margins_of = np.array([3.0, -1.0, 2.0, -2.0, 1.0, -9.0])
    logits = np.stack([margins_of, np.zeros(6)], axis=1)
    held_out = Script([1] * 6, groups=GROUPS)  # 1 of 3 wrong, 1 of 2 wrong, none
    assert contested_first(logits, held_out, "worst_group_accuracy").tolist() == [3, 4, 1, 2, 0, 5]
    assert contested_first(logits, held_out, "macro_f1").tolist() == [5, 3, 1, 4, 2, 0]


def test_why_every_soup_is_evaluated_in_full_is_said():
    for metric in ("accuracy", "macro_f1", "worst_group_accuracy"):
        assert why_in_full(metric, 1000) == ""
    assert why_in_full("matthews", 2) == ""
    why = why_in_full("matthews", 3)
    assert why.startswith("matthews of 3 classes may fall when a wrong prediction becomes right")
    assert describe_rejection(why) == f"off: {why}"
    assert describe_rejection("") == "exact"


def test_margin_is_the_labels_logit_above_the_largest_other():
    logits = np.array([[1.0, 4.0, 2.0], [3.0, 0.0, 2.5]])
    assert margins(logits, np.array([1, 2])).tolist() == [2.0, -0.5]
