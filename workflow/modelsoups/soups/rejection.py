"""The held-out score of a soup in the making, evaluated no further than a decision needs.

*Exact early rejection.* A soup is beaten as soon as even full marks on all examples not yet looked
at would not do: for accuracy, as soon as it has made as many mistakes as the soup it has to beat.
Whatever order the examples come in, the decision is that of a full evaluation. To make it early,
examples come first that the soup will probably get wrong. Stored logits tell which: those of
averaged weights are close to the average of the logits (paper Sec. 4), so examples are ordered by
the margin of that average for the true class: first what it gets wrong, then what is contested.
"""

from collections.abc import Callable
from math import fsum

import numpy as np

from modelsoups.evaluation.metrics import METRICS
from modelsoups.soups.pool import HeldOut
from modelsoups.soups.selection import Attempt

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]  # logits (b, C), labels (b,) -> (b,)


def score_all(metric: str, logits: np.ndarray, labels: np.ndarray) -> float:
    """The metric of all examples: logits (n, C), labels (n,)."""
    per_example = METRICS[metric].per_example
    if per_example is None:
        return METRICS[metric](logits, labels)
    return fsum(per_example(logits, labels)) / len(labels)


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the label's logit is above all others: (n,), negative where the model errs."""
    others = logits.copy()
    rows = np.arange(len(labels))
    others[rows, labels] = -np.inf
    return logits[rows, labels] - others.max(axis=1)


def attempt_per_example(
    held_out: HeldOut, scores: Scores, order: np.ndarray, to_beat: float, accept_ties: bool
) -> tuple[Attempt, np.ndarray | None]:
    """Score the model, on examples in `order`, until it is certain to be rejected, or on all.

    Args: scores: `per_example` of a metric.
    Returns:
        the attempt and, if all examples were evaluated, their logits (n, C), by index.
    """
    num_examples = len(order)
    logits: np.ndarray | None = None
    found: list[float] = []
    for start in range(0, num_examples, held_out.batch_size):
        indices = order[start : start + held_out.batch_size]
        batch = held_out.logits(indices)
        if logits is None:
            logits = np.empty((num_examples, batch.shape[1]), np.float32)
        logits[indices] = batch
        found.extend(scores(batch, held_out.labels[indices]).tolist())
        # fsum rounds correctly, whatever the order, so a bound is never below what it bounds.
        bound = fsum([*found, num_examples - len(found)]) / num_examples
        rejected = bound < to_beat or (bound == to_beat and not accept_ties)
        if rejected and len(found) < num_examples:
            return Attempt(score=None, bound=bound, num_evaluated=len(found)), None
    return Attempt(score=bound, bound=None, num_evaluated=num_examples), logits


def order_is_free(held_out: HeldOut, logits: np.ndarray) -> tuple[bool, bool]:
    """Whether the model's logits ignore the order of examples, and agree with those given.

    Looked at on one batch, of the examples nearest to another prediction.

    Args:
        logits: (n, C), of the same model, from elsewhere.

    Returns:
        whether a shuffled batch has equal logits, bit for bit; and whether its predictions are
        those of `logits`.
    """
    nearest = np.abs(margins(logits, held_out.labels)).argsort(kind="stable")
    indices = nearest[: held_out.batch_size]
    shuffle = np.random.default_rng(0).permutation(len(indices))
    found = held_out.logits(indices)
    free = np.array_equal(found[shuffle], held_out.logits(indices[shuffle]))
    return free, np.array_equal(found.argmax(axis=1), logits[indices].argmax(axis=1))
