"""What a model is to give for an example: its class, its labels, numbers; or what scores it.

The kind of a data set's targets is told by their array, so that nothing has to say it beside them:

- *class*: (n,) integers. Outputs are logits (n, C), of which the largest counts.
- *labels*: (n, C) bool, any number of C labels an example. Outputs are logits (n, C), each above 0
  where the label is said to be there.
- *numbers*: (n, T) floats. Outputs are such numbers.
- *score*: (n, 0), none. Outputs (n, 1) are what an evaluator of the user's own gave each example.

Functions of outputs and targets to one value an example, (n,), are here; `metrics` has their means.
"""

from typing import Literal

import numpy as np

Array = np.ndarray
Kind = Literal["class", "labels", "numbers", "score"]


def kind_of(targets: Array) -> Kind:
    """The kind of targets, by shape and dtype.

    Raises: ValueError if they are of none.
    """
    if targets.ndim == 1 and targets.dtype.kind in "iu":
        return "class"
    if targets.ndim == 2 and not targets.shape[1]:
        return "score"
    if targets.ndim == 2 and targets.dtype.kind in "bf":
        return "labels" if targets.dtype.kind == "b" else "numbers"
    raise ValueError(
        "expected targets that are classes (n,) of integers, labels (n, C) of bool or numbers "
        f"(n, T) of floats, found {targets.dtype} {targets.shape}"
    )


def no_targets(num_examples: int) -> Array:
    """The targets (n, 0) of examples that a function of the user's own scores."""
    return np.empty((num_examples, 0))


def absolute_errors(outputs: Array, targets: Array) -> Array:
    """Mean absolute error over the T numbers of each example."""
    return np.abs(_wide(outputs) - targets).mean(axis=1)


def squared_errors(outputs: Array, targets: Array) -> Array:
    """Mean squared error over the T numbers of each example."""
    return ((_wide(outputs) - targets) ** 2).mean(axis=1)


def shares_of_labels(logits: Array, labels: Array) -> Array:
    """The share of the C labels that each example has right: 1 minus the Hamming loss."""
    return ((logits > 0) == labels).mean(axis=1)


def all_labels_right(logits: Array, labels: Array) -> Array:
    """1.0 where all labels are right, else 0.0."""
    return ((logits > 0) == labels).all(axis=1).astype(np.float64)


def binary_losses(logits: Array, labels: Array) -> Array:
    """Mean binary cross-entropy over the C labels of each example, in nats."""
    wide = _wide(logits)
    return (np.logaddexp(0, wide) - labels * wide).mean(axis=1)


def mean_average_precision(logits: Array, labels: Array) -> float:
    """Mean of the labels' average precisions, over the labels that some example has.

    Raises: ValueError if no example has a label.
    """
    from sklearn.metrics import average_precision_score

    there = _labels_there(labels)
    return float(average_precision_score(labels[:, there], logits[:, there], average="macro"))


def labels_f1(logits: Array, labels: Array) -> float:
    """Mean of the labels' F1 scores, over the labels that some example has.

    Raises: ValueError if no example has a label.
    """
    # Counted here: scikit-learn takes a single column for two classes, and both have an F1 score.
    there = _labels_there(labels)
    real, said = labels[:, there], logits[:, there] > 0
    hits = (real & said).sum(axis=0)
    return float((2 * hits / (real.sum(axis=0) + said.sum(axis=0))).mean())


def r2(outputs: Array, targets: Array) -> float:
    """Coefficient of determination, the mean over the T numbers."""
    from sklearn.metrics import r2_score

    return float(r2_score(targets, outputs))


def _labels_there(labels: Array) -> Array:
    there = np.asarray(labels.any(axis=0))
    if not there.any():
        raise ValueError("expected examples with labels, found none that has any")
    return there


def _wide(outputs: Array) -> Array:
    return outputs.astype(np.float64)
