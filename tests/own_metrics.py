"""Metrics as a user writes them: of outputs (n, C) and targets (n,)."""

import numpy as np


def brier(outputs, targets):
    """Squared error of the probabilities of each example: 0 is best."""
    odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    return ((probabilities - np.eye(outputs.shape[1])[targets]) ** 2).sum(axis=1)


def mean_brier(outputs, targets):
    return brier(outputs, targets).mean()


def sharp_brier(outputs, targets):
    """Of outputs that are surer of themselves."""
    return brier(20 * outputs, targets)


def mean_sharp_brier(outputs, targets):
    return sharp_brier(outputs, targets).mean()


def rank_of_target(outputs, targets):
    """How many classes are above the target's, in each example."""
    return (outputs > outputs[np.arange(len(targets)), targets, None]).sum(axis=1)


def worst_class(outputs, targets):
    """Accuracy of the class that is worst: no mean over examples."""
    right = outputs.argmax(axis=1) == targets
    return min(right[targets == label].mean() for label in np.unique(targets))


def share_of_errors(outputs, targets):
    """Of all errors, that of each example: no number of that example alone."""
    errors = brier(outputs, targets)
    return errors / errors.sum()


def half_if_right(outputs, targets):
    return 0.5 * (outputs.argmax(axis=1) == targets)
