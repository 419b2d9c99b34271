"""Metrics: pure functions from logits (n, C) or predictions (n,), and labels (n,), to a number.

One is of groups of examples too, (n,) integers: a style, a region; -1 is an example of none. Those
of other targets than classes (`targets`) are functions of outputs and targets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf, sqrt
from typing import Any, Literal

import numpy as np

from modelsoups.base.functions import import_function
from modelsoups.evaluation.calibration import expected_calibration_error
from modelsoups.evaluation.targets import (
    Array,
    Kind,
    absolute_errors,
    all_labels_right,
    binary_losses,
    labels_f1,
    mean_average_precision,
    r2,
    shares_of_labels,
    squared_errors,
)

MetricOption = str | Mapping[str, Any]  # as a recipe names a metric: see `metric_of`


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric, and what of a model's outputs it depends on."""

    reads: Literal["predictions", "logits"]
    function: Callable[..., float]  # of what it reads, labels and, `by_group`, groups
    by_group: bool = False
    # Number of classes up to which it never falls when a wrong prediction becomes right. So it is
    # at most what it would be with the labels in place of predictions that are not made yet.
    monotone_up_to: float = 0
    # Of logits (n, C) and labels the numbers (n,) that it is the mean of, each of its own example
    # and at most 1. So it is at most what it would be with 1 where none is yet; with any number of
    # classes: `monotone_up_to` is infinite.
    per_example: Callable[[Array, Array], Array] | None = None
    lower: bool = False  # the less the better; it is then 1 minus what tables show

    def __call__(self, logits: Array, labels: Array, groups: Array | None = None) -> float:
        """Of logits (n, C) and labels (n,)."""
        read = logits.argmax(axis=1) if self.reads == "predictions" else logits
        return self.of(read, labels, groups)

    def of(self, read: Array, labels: Array, groups: Array | None = None) -> float:
        """Of what it reads: predictions (n,) or logits (n, C).

        Raises: ValueError if it is of groups, and no example has one.
        """
        if not self.by_group:
            return self.function(read, labels)
        if groups is None or not (groups >= 0).any():
            raise ValueError(
                "a metric of groups needs examples with a group, found none; name the column that "
                "has it as `group` of the data set"
            )
        return self.function(read, labels, groups)


def is_correct(logits: Array, labels: Array) -> Array:
    """1.0 where the largest logit is the label's, else 0.0: (n,). Of equal logits the first is."""
    return (logits.argmax(axis=1) == labels).astype(np.float64)


def accuracy(logits: Array, labels: Array) -> float:
    """Fraction of examples whose largest logit is the label's; of equal logits the first counts."""
    return accuracy_of_predictions(logits.argmax(axis=1), labels)


def accuracy_of_predictions(predictions: Array, labels: Array) -> float:
    """Fraction of examples whose prediction is the label."""
    return float((predictions == labels).mean())


def worst_group_accuracy(predictions: Array, labels: Array, groups: Array) -> float:
    """Accuracy in the group where it is lowest; examples of no group (-1) do not count.

    WILDS-FMoW's `acc_worst_region`, whose images of no known region are of no group.
    """
    known = groups >= 0
    counts = np.bincount(groups[known])
    right = np.bincount(groups[known], weights=(predictions == labels)[known])
    return float((right[counts > 0] / counts[counts > 0]).min())


def macro_f1(predictions: Array, labels: Array) -> float:
    """Mean of the classes' F1 scores, over the classes that occur as label.

    WILDS-iWildCam's `F1-macro_all`. Counted here, not by scikit-learn, because a bootstrap calls it
    ten thousand times: 0.03 ms in place of 2.
    """
    size = int(max(predictions.max(), labels.max())) + 1
    there = np.bincount(labels, minlength=size)
    said = np.bincount(predictions, minlength=size)
    hits = np.bincount(labels[predictions == labels], minlength=size)
    return float((2 * hits / np.maximum(there + said, 1))[there > 0].mean())


def accuracy_f1(predictions: Array, labels: Array) -> float:
    """Mean of accuracy and F1 score of class 1, MRPC's metric; of more classes the macro F1."""
    if labels.max() > 1:
        f1 = macro_f1(predictions, labels)
    else:
        said, there = predictions == 1, labels == 1
        f1 = 2 * (said & there).sum() / max(1, said.sum() + there.sum())
    return float((accuracy_of_predictions(predictions, labels) + f1) / 2)


def matthews(predictions: Array, labels: Array) -> float:
    """Matthews' correlation coefficient; 0 if predictions or labels are all the same.

    Of two classes, a share p of class 1 and a share q predicted as it, r rightly, it is
    (r - pq) / sqrt(p(1 - p)q(1 - q)), which rises with r and q together as long as r <= q; and so
    for the other class. Of three it may fall: a prediction that becomes right makes the rest less
    even (a test has an example). Counted here for the reason that `macro_f1` is.
    """
    n = len(labels)
    size = int(max(predictions.max(), labels.max())) + 1
    there, said = np.bincount(labels, minlength=size), np.bincount(predictions, minlength=size)
    hits = int((predictions == labels).sum())
    spread = [n * n - int((counts * counts).sum()) for counts in (there, said)]
    if 0 in spread:
        return 0.0
    return (hits * n - int((there * said).sum())) / sqrt(spread[0] * spread[1])


def nll(logits: Array, labels: Array) -> float:
    """Mean negative log-likelihood of the labels under the softmax of the logits, in nats."""
    # Five times as fast as scipy.special.logsumexp on 50,000 x 1,000; subtracting the largest
    # keeps exp from overflowing.
    shifted = logits.astype(np.result_type(logits, np.float32))
    shifted -= shifted.max(axis=1, keepdims=True)
    norm = np.log(np.exp(shifted).sum(axis=1, dtype=np.float64))
    return float((norm - shifted[np.arange(len(labels)), labels]).mean())


METRICS: dict[str, Metric] = {
    "accuracy": Metric(reads="predictions", function=accuracy_of_predictions, monotone_up_to=inf),
    "nll": Metric(reads="logits", function=nll),
    "macro_f1": Metric(reads="predictions", function=macro_f1, monotone_up_to=inf),
    "matthews": Metric(reads="predictions", function=matthews, monotone_up_to=2),
    "accuracy_f1": Metric(reads="predictions", function=accuracy_f1, monotone_up_to=inf),
    "ece": Metric(reads="logits", function=expected_calibration_error),
    "worst_group_accuracy": Metric(
        reads="predictions",
        function=worst_group_accuracy,
        by_group=True,
        monotone_up_to=inf,
    ),
}


def _mean_output(lower: bool, outputs: Array, targets: Array) -> float:
    mean = float(outputs.mean())
    return 1 - mean if lower else mean


def _complement(scores: Callable[[Array, Array], Array], outputs: Array, targets: Array) -> Array:
    return 1 - scores(outputs, targets)


def _mean(scores: Callable[[Array, Array], Array], outputs: Array, targets: Array) -> float:
    return float(scores(outputs, targets).mean())


def of_examples(scores: Callable[[Array, Array], Array], lower: bool = False) -> Metric:
    """The metric that is the mean of examples' scores, at most 1; `lower`: of 1 minus each."""
    each = partial(_complement, scores) if lower else scores
    return Metric(
        reads="logits",
        function=partial(_mean, each),
        monotone_up_to=inf,
        per_example=each,
        lower=lower,
    )


# Kind of targets -> its metrics, of which the first is what it is judged by if nothing is said.
METRICS_OF: dict[Kind, dict[str, Metric]] = {
    "class": METRICS,
    "labels": {
        "average_precision": Metric(reads="logits", function=mean_average_precision),
        "labels_f1": Metric(reads="logits", function=labels_f1),
        "share_of_labels": of_examples(shares_of_labels),
        "all_labels": of_examples(all_labels_right),
        "binary_loss": of_examples(binary_losses, lower=True),
    },
    "numbers": {
        "mae": of_examples(absolute_errors, lower=True),
        "mse": of_examples(squared_errors, lower=True),
        "r2": Metric(reads="logits", function=r2),
    },
    "score": {},
}
NAMED = {name: metric for metrics in METRICS_OF.values() for name, metric in metrics.items()}


def metric_for(kind: Kind) -> str:
    """The metric that models are judged by if nothing else is said; of scores there is none."""
    return next(iter(METRICS_OF[kind]))


def shown(metric: MetricOption, value: float) -> float:
    """What tables and records have of a score in which more is better."""
    return 1 - value if metric_of(metric).lower else value


def metric_of(metric: MetricOption) -> Metric:
    """The metric that a recipe names: one of METRICS_OF, or a function of the user's own.

    The latter is given outputs (n, C) and targets (n,) as arrays, and returns a number, or one for
    each example whose mean counts. Scores are such that more is better: where less is, they are 1
    minus what the function returns. Those of examples must not be above 1 (so what is to be low not
    below 0), and each depends on its own example alone: on that rests early rejection.

    Args: metric: a name, `package.module:function`, or a mapping with `function`, `better`
        (higher or lower) and `per_example`; or with `evaluates`: the function has given each
        example its output, and their mean counts.
    Raises: ValueError if there is no such function; or, once it is used, if what it returns is not
        what the config says.
    """
    if isinstance(metric, str) and metric in NAMED:
        return NAMED[metric]
    said = {"function": metric} if isinstance(metric, str) else metric
    lower = said.get("better", "higher") == "lower"
    if said.get("evaluates"):
        return Metric(reads="logits", function=partial(_mean_output, lower), lower=lower)
    given = partial(_call_own, import_function(said["function"]), said["function"], lower)
    if said.get("per_example"):
        return replace(of_examples(partial(given, True)), lower=lower)
    return Metric(reads="logits", function=partial(given, False), lower=lower)


def name_of(metric: MetricOption) -> str:
    """What tables and records call a metric."""
    function = metric if isinstance(metric, str) else metric["function"]
    return function.rpartition(":")[2]


def _call_own(
    function: Callable[..., Any],
    name: str,
    lower: bool,
    per_example: bool,
    outputs: Array,
    targets: Array,
) -> Any:
    found = np.asarray(function(outputs, targets), dtype=np.float64)
    wanted = (len(targets),) if per_example else ()
    if found.shape != wanted or not np.isfinite(found).all():
        raise ValueError(
            f"{name}: expected {'a number an example' if per_example else 'one number'}, shape "
            f"{wanted}, found shape {found.shape}, {(~np.isfinite(found)).sum()} not finite; "
            "`per_example` says which of the two it returns"
        )
    scores = 1 - found if lower else found
    if per_example and (scores > 1).any():
        raise ValueError(
            f"{name}: of examples it has to be {'0 or more' if lower else 'at most 1'}, found "
            f"{found.min() if lower else found.max()}; scale it, or leave `per_example` out"
        )
    if per_example and not np.allclose(function(outputs[:1], targets[:1]), found[:1]):
        raise ValueError(
            f"{name}: expected the number of each example from that example alone, found another "
            "for the first when it is given by itself; leave `per_example` out"
        )
    return scores if per_example else float(scores)
