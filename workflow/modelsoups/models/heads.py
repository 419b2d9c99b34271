"""Heads that fine-tuning starts from: zero-shot, from the text embeddings of the class names, and
linear probes on cached features (Sec. 3.1, "zero-shot initialization" and "LP initialization")."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    linear,
    normalize,
    one_hot,
)
from tqdm import tqdm

from modelsoups.models.prompts import fill
from modelsoups.weights.checkpoints import read_weights, write_weights

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


def empty_head(num_classes: int, num_features: int) -> Head:
    """A head of zeros, where a linear probe starts that has no better start."""
    return Head(torch.zeros(num_classes, num_features), torch.zeros(num_classes))


def read_head(path: str | Path) -> Head:
    """The head in a file that `write_head` wrote."""
    return Head(**read_weights(path))


def write_head(path: str | Path, head: Head) -> None:
    """Write a head as safetensors `weight` and `bias`, atomically.

    Raises:
        FloatingPointError: a class's weights are not finite; no run could start from there.
    """
    broken = ~(head.weight.isfinite().all(dim=1) & head.bias.isfinite())
    if broken.any():
        raise FloatingPointError(
            f"{path}: {int(broken.sum())} of {len(broken)} classes have weights that are not "
            f"finite, the first is number {int(broken.int().argmax())}; look for such values in "
            "the backbone's weights, or raise the probe's l2"
        )
    write_weights(path, {"weight": head.weight.cpu(), "bias": head.bias.cpu()})


def zero_shot_head(
    embed: Callable[[Sequence[str]], torch.Tensor],
    scale: float,
    names: Sequence[str],
    templates: Sequence[str],
) -> Head:
    """The head whose logits are scaled cosine similarities with the class prompts (Sec. 3.1).

    A class's weight is the mean of the normalised embeddings of its prompts, normalised, times the
    scale; biases are zero. On L2-normalised features this is CLIP's zero-shot classifier.

    Args:
        embed, scale: a text tower's (see `backbones.TextTower`).
        names: English class names in label order.
        templates: texts with one {} for the name each.
    """
    embeddings = [
        normalize(embed(fill(templates, name)).mean(dim=0), dim=0)
        for name in tqdm(names, desc="prompts", unit="class", leave=False, disable=None)
    ]
    return Head(scale * torch.stack(embeddings), torch.zeros(len(names)))


def binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over examples of the sum of the classes' cross-entropies, as in `training.methods`."""
    targets = one_hot(labels, logits.shape[1]).to(logits)
    return binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()


# Mean over logits (n, num_classes) and labels (n,); by the start that is fitted with it. "When
# fine-tuning with binary cross-entropy loss, we use a linear probe that is also trained with binary
# cross-entropy loss" (Appendix J.2.3).
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
PROBES: dict[str, Loss] = {"linear-probe": cross_entropy, "binary-probe": binary_cross_entropy}


def fit_head(
    features: torch.Tensor,
    labels: torch.Tensor,
    start: Head,
    l2: float,
    max_iterations: int,
    loss_of: Loss = cross_entropy,
) -> Head:
    """Minimise mean loss + l2/2 * |weight|^2 by full-batch L-BFGS from `start`.

    Args:
        features: (n, num_features) float32.
        labels: (n,) int64.
        loss_of: cross-entropy, or another of PROBES.
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
        loss = loss_of(linear(features, weight, bias), labels) + l2 / 2 * weight.square().sum()
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
    start: Head,
    loss_of: Loss = cross_entropy,
) -> tuple[Head, list[dict[str, float]]]:
    """The head whose regularisation does best on the held-out set (ties: the stronger one).

    Strengths are tried from the strongest on, the first from `start` and each from the last one's
    solution.

    Args:
        features, labels: of the training set, (n, num_features) float32 and (n,) int64.
        held_out_features, held_out_labels: the same of the held-out set.
        loss_of: as in `fit_head`.
    Returns:
        the head, and for every strength its `l2` and `held_out_accuracy`.
    Raises:
        FloatingPointError: features are not finite.
    """
    for name, rows in {"training": features, "held-out": held_out_features}.items():
        broken = ~rows.isfinite().all(dim=1)
        if broken.any():
            raise FloatingPointError(
                f"linear probe: {int(broken.sum())} of {len(rows)} rows of {name} features are not "
                f"finite, the first is row {int(broken.int().argmax())}; look for such values in "
                "the backbone's weights"
            )
    head = Head(start.weight.to(features), start.bias.to(features))
    best, best_accuracy, trials = head, -1.0, []
    for l2 in sorted(spec.l2, reverse=True):
        head = fit_head(features, labels, head, l2, spec.max_iterations, loss_of)
        accuracy = head.accuracy(held_out_features, held_out_labels)
        logger.info("l2 %.1e: held-out accuracy %.4f", l2, accuracy)
        trials.append({"l2": l2, "held_out_accuracy": accuracy})
        if accuracy > best_accuracy:
            best, best_accuracy = head, accuracy
    return best, trials
