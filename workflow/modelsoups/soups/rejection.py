"""The held-out score of a soup in the making, evaluated no further than a decision needs.

*Exact early rejection.* A soup is beaten as soon as even full marks on all examples not yet looked
at would not do: for accuracy, as soon as it has made as many mistakes as the soup it has to beat.
So it is with every metric that never falls when a wrong prediction becomes right
(`Metric.monotone_up_to`): with the labels in place of the predictions not yet made it is an upper
bound, in floating point too, since rounding keeps the order of sums and of quotients. And so with
the mean of values of examples of at most 1 each (`Metric.per_example`), with 1 in place of those
not yet known. Whatever order the examples come in, the decision is that of a full evaluation. To
make it early, examples come first that the soup will probably get wrong. Stored logits tell which:
those of averaged weights are close to the average of the logits (paper Sec. 4), so examples are
ordered by the margin of that average for the true class: first what it gets wrong, then what is
contested.
"""

import numpy as np

from modelsoups.evaluation.metrics import MetricOption, metric_of, name_of
from modelsoups.soups.pool import HeldOut
from modelsoups.soups.selection import Attempt

ORDER_COUNTS = "logits depend on the order of examples on this device"


def why_in_full(metric: MetricOption, num_classes: int) -> str:
    """Why a soup has to be evaluated on all examples by a metric; empty if a part can reject it."""
    chosen = metric_of(metric)
    if num_classes <= chosen.monotone_up_to:
        return ""
    if chosen.reads == "logits":
        return f"{name_of(metric)} is of all examples together: a part of them does not bound it"
    return (
        f"{metric} of {num_classes} classes may fall when a wrong prediction becomes right: a part "
        "of the examples does not bound it"
    )


def describe_rejection(why_in_full: str) -> str:
    """What a record says: `exact`, or `off` and why."""
    return f"off: {why_in_full}" if why_in_full else "exact"


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the label's logit is above all others: (n,), negative where the model errs."""
    others = logits.copy()
    rows = np.arange(len(labels))
    others[rows, labels] = -np.inf
    return logits[rows, labels] - others.max(axis=1)


def contested_first(expected: np.ndarray, held_out: HeldOut, metric: MetricOption) -> np.ndarray:
    """Numbers of the held-out examples, first those that decide: (n,).

    By a metric of groups, first those of the group that it will be lowest in.

    Args: expected: (n, C) about what the model's logits will be.
    """
    chosen = metric_of(metric)
    if held_out.kind != "class":
        assert chosen.per_example is not None  # `why_in_full` has nothing against it
        return chosen.per_example(expected, held_out.labels).argsort(kind="stable")
    margin = margins(expected, held_out.labels)
    if not chosen.by_group:
        return margin.argsort(kind="stable")
    groups = held_out.groups
    assert groups is not None  # the metric has been computed of each candidate alone
    right, counts = np.bincount(groups + 1, margin > 0), np.bincount(groups + 1)
    share = right / np.maximum(counts, 1)
    share[0] = np.inf  # of no group
    return np.lexsort((margin, share[groups + 1]))


def attempt_early(
    held_out: HeldOut, metric: MetricOption, order: np.ndarray, to_beat: float, accept_ties: bool
) -> tuple[Attempt, np.ndarray | None]:
    """Score the model, on examples in `order`, until it is certain to be rejected, or on all.

    Args: metric: one that `why_in_full` has nothing against.
    Returns:
        the attempt and, if all examples were evaluated, their logits (n, C), by index.
    """
    num_examples = len(order)
    bounded = metric_of(metric)
    logits: np.ndarray | None = None
    values = np.ones(num_examples)  # full marks where nothing has been predicted
    predictions = held_out.labels.copy()  # of classes
    bound = 0.0
    for start in range(0, num_examples, held_out.batch_size):
        indices = order[start : start + held_out.batch_size]
        batch = held_out.logits(indices)
        if logits is None:
            logits = np.empty((num_examples, batch.shape[1]), np.float32)
        logits[indices] = batch
        if bounded.per_example is not None:
            values[indices] = bounded.per_example(batch, held_out.labels[indices])
            bound = float(values.mean())
        else:
            predictions[indices] = batch.argmax(axis=1)
            bound = bounded.of(predictions, held_out.labels, held_out.groups)
        rejected = bound < to_beat or (bound == to_beat and not accept_ties)
        num_evaluated = start + len(indices)
        if rejected and num_evaluated < num_examples:
            return Attempt(score=None, bound=bound, num_evaluated=num_evaluated), None
    return Attempt(score=bound, bound=None, num_evaluated=num_examples), logits


def order_is_free(held_out: HeldOut, logits: np.ndarray) -> tuple[bool, bool]:
    """Whether the model's logits ignore the order of examples, and agree with those given.

    Looked at on one batch, of the examples nearest to another prediction; of other targets than
    classes on the first, and no more is asked of what was given.

    Args:
        logits: (n, C), of the same model, from elsewhere.

    Returns:
        whether a shuffled batch has equal logits, bit for bit; and whether its predictions are
        those of `logits`.
    """
    if held_out.kind == "class":
        nearest = np.abs(margins(logits, held_out.labels)).argsort(kind="stable")
    else:
        nearest = np.arange(len(logits))
    indices = nearest[: held_out.batch_size]
    shuffle = np.random.default_rng(0).permutation(len(indices))
    found = held_out.logits(indices)
    free = np.array_equal(found[shuffle], held_out.logits(indices[shuffle]))
    return free, np.array_equal(found.argmax(axis=1), logits[indices].argmax(axis=1))
