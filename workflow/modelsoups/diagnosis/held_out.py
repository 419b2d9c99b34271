"""Scores of weights on the held-out set, for a diagnosis."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from modelsoups.diagnosis.trials import Evaluate, Scores
from modelsoups.evaluation.metrics import is_correct
from modelsoups.soups.pool import HeldOut
from modelsoups.weights.checkpoints import Weights


def scores_of(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Accuracy and loss (nats) of every example: logits (n, C), labels (n,)."""
    values = torch.from_numpy(np.array(logits, dtype=np.float32))
    loss = cross_entropy(values, torch.from_numpy(labels.astype(np.int64)), reduction="none")
    return {"accuracy": is_correct(logits, labels), "loss": loss.double().numpy()}


def evaluate_on(held_out: HeldOut) -> Evaluate:
    """From weights to their scores on all held-out examples.

    Outputs that are not finite, as of the soup with a run that diverged, are wrong and of infinite
    loss.
    """

    def evaluate(weights: Weights) -> Scores:
        held_out.pour(weights, "a mix of the pool")
        try:
            return scores_of(held_out.logits(), held_out.labels)
        except ValueError as error:
            if "NaN or infinite" not in str(error):
                raise
            nothing = np.zeros(len(held_out))
            return {"accuracy": nothing, "loss": nothing + np.inf}

    return evaluate


def estimate_on(held_out: HeldOut) -> Callable[[Weights], Weights]:
    """From weights to the same with BatchNorm statistics of the held-out images."""

    def estimate(weights: Weights) -> Weights:
        held_out.pour(weights, "a mix of the pool")
        return weights | held_out.estimate()

    return estimate
