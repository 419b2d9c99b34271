"""Scores of weights on the held-out set, for a diagnosis."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from modelsoups.diagnosis.trials import Evaluate, Scores
from modelsoups.evaluation.metrics import MetricOption, is_correct, metric_of, name_of
from modelsoups.evaluation.targets import (
    absolute_errors,
    binary_losses,
    kind_of,
    shares_of_labels,
)
from modelsoups.soups.pool import HeldOut
from modelsoups.weights.checkpoints import Weights


def scores_of(
    outputs: np.ndarray, labels: np.ndarray, reports: MetricOption | None = None
) -> Scores:
    """What decides of every example, and its loss: of outputs (n, C) and targets (`targets`).

    Of classes accuracy and the loss in nats; of labels the share of them that is right and their
    loss; of numbers the mean absolute error, with a minus; of scores what they are.

    Args: reports: of scores the metric that they are.
    """
    kind = kind_of(labels)
    if kind == "score":
        assert reports is not None
        values = np.asarray(outputs, dtype=np.float64)[:, 0]
        return {name_of(reports): -values if metric_of(reports).lower else values}
    if kind == "numbers":
        return {"minus mae": -absolute_errors(outputs, labels)}
    if kind == "labels":
        loss = binary_losses(outputs, labels)
        return {"share of labels": shares_of_labels(outputs, labels), "loss": loss}
    logits = torch.from_numpy(np.array(outputs, dtype=np.float32))
    each = cross_entropy(logits, torch.from_numpy(labels.astype(np.int64)), reduction="none")
    return {"accuracy": is_correct(outputs, labels), "loss": each.double().numpy()}


def worst_of(held_out: HeldOut) -> Scores:
    """The scores of outputs that are not finite: wrong, and of infinite loss."""
    nothing = np.zeros((len(held_out), max(1, held_out.labels[:1].size)))
    wrong = scores_of(nothing, held_out.labels, held_out.reports)
    shares = held_out.kind in ("class", "labels")
    return {
        name: np.full(len(held_out), np.inf if name == "loss" else 0.0 if shares else -np.inf)
        for name in wrong
    }


def evaluate_on(held_out: HeldOut) -> Evaluate:
    """From weights to their scores on all held-out examples.

    Outputs that are not finite, as of the soup with a run that diverged, are wrong and of infinite
    loss.
    """

    def evaluate(weights: Weights) -> Scores:
        held_out.pour(weights, "a mix of the pool")
        try:
            return scores_of(held_out.logits(), held_out.labels, held_out.reports)
        except ValueError as error:
            if "NaN or infinite" not in str(error):
                raise
            return worst_of(held_out)

    return evaluate


def estimate_on(held_out: HeldOut) -> Callable[[Weights], Weights]:
    """From weights to the same with BatchNorm statistics of the held-out images."""

    def estimate(weights: Weights) -> Weights:
        held_out.pour(weights, "a mix of the pool")
        return weights | held_out.estimate()

    return estimate
