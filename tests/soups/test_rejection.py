"""Early rejection: bounds worked out by hand."""

import numpy as np
import pytest

from modelsoups.evaluation.metrics import METRICS, is_correct
from modelsoups.soups.pool import HeldOut
from modelsoups.soups.rejection import attempt_per_example, margins, score_all
from modelsoups.soups.selection import Attempt


class Script(HeldOut):
    """A held-out set of one feature: the image's index; a model that is right where told."""

    def __init__(self, right, batch_size=2):
        self.right, self.batch_size = np.array(right), batch_size
        self.labels = np.zeros(len(right), dtype=np.int64)

    def logits(self, indices=None):
        return np.stack([self.right[indices], 1 - self.right[indices]], axis=1).astype(np.float32)


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
    attempt, logits = attempt_per_example(held_out, is_correct, order, to_beat, accept_ties)
    assert attempt == Attempt(score=score, bound=bound, num_evaluated=images)
    assert (logits is None) == (score is None)
    if logits is not None:
        assert logits[:, 0].tolist() == [1, 1, 1, 0, 0, 0]  # in the images' own order


def test_graded_scores_an_example_are_bounded_exactly():
    """A bound that rounding put below the score would reject what full evaluation keeps."""
    scores = lambda logits, labels: np.full(len(labels), 0.1)  # noqa: E731
    held_out = Script([1] * 10, batch_size=3)
    mean = 0.1  # the correctly rounded mean of ten 0.1; a running sum gives 0.09999999999999999
    attempt, _ = attempt_per_example(held_out, scores, np.arange(10), mean, accept_ties=True)
    assert attempt.score == mean


def test_margin_is_the_labels_logit_above_the_largest_other():
    logits = np.array([[1.0, 4.0, 2.0], [3.0, 0.0, 2.5]])
    assert margins(logits, np.array([1, 2])).tolist() == [2.0, -0.5]


@pytest.mark.parametrize("metric", [name for name in METRICS if name != "nll"])
def test_the_score_of_all_examples_is_the_metric(metric):
    random = np.random.default_rng(0)
    logits, labels = random.standard_normal((50, 3)), random.integers(0, 3, 50)
    assert score_all(metric, logits, labels) == pytest.approx(METRICS[metric](logits, labels))
