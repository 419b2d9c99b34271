"""Linear-probe heads: a linear classifier on cached features, the start of fine-tuning (Sec. 3.1,
"LP initialization")."""

import logging
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, linear

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LinearProbeSpec:
    """How a linear probe is fitted."""

    l2: tuple[float, ...]  # regularisation strengths tried; the held-out set picks one
    max_iterations: int = 200  # of L-BFGS, per strength


@dataclass(frozen=True)
class Head:
    """A linear head: weight (num_classes, num_features) and bias (num_classes,), float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def accuracy(self, features: torch.Tensor, labels: torch.Tensor) -> float:
        """Accuracy in [0, 1] on features (n, num_features) with labels (n,)."""
        predictions = linear(features, self.weight, self.bias).argmax(dim=1)
        return (predictions == labels).double().mean().item()


def fit_head(
    features: torch.Tensor, labels: torch.Tensor, start: Head, l2: float, max_iterations: int
) -> Head:
    """Minimise mean cross-entropy + l2/2 * |weight|^2 by full-batch L-BFGS from `start`.

    Args:
        features: (n, num_features) float32.
        labels: (n,) int64.
    """
    weight = start.weight.clone().requires_grad_()
    bias = start.bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iterations,
        history_size=20,
        tolerance_grad=1e-6,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (
            cross_entropy(linear(features, weight, bias), labels) + l2 / 2 * weight.square().sum()
        )
        loss.backward()
        return loss

    optimizer.step(closure)
    return Head(weight.detach(), bias.detach())


def fit_linear_probe(
    spec: LinearProbeSpec,
    features: torch.Tensor,
    labels: torch.Tensor,
    held_out_features: torch.Tensor,
    held_out_labels: torch.Tensor,
    num_classes: int,
) -> tuple[Head, list[dict[str, float]]]:
    """The head whose regularisation does best on the held-out set (ties: the stronger one).

    Strengths are tried from the strongest on, each from the last one's solution.

    Args:
        features, labels: of the training set, (n, num_features) float32 and (n,) int64.
        held_out_features, held_out_labels: the same of the held-out set.
    Returns:
        the head, and for every strength its `l2` and `held_out_accuracy`.
    """
    weight = features.new_zeros(num_classes, features.shape[1])
    head = Head(weight, features.new_zeros(num_classes))
    best, best_accuracy, trials = head, -1.0, []
    for l2 in sorted(spec.l2, reverse=True):
        head = fit_head(features, labels, head, l2, spec.max_iterations)
        accuracy = head.accuracy(held_out_features, held_out_labels)
        logger.info("l2 %.1e: held-out accuracy %.4f", l2, accuracy)
        trials.append({"l2": l2, "held_out_accuracy": accuracy})
        if accuracy > best_accuracy:
            best, best_accuracy = head, accuracy
    return best, trials
