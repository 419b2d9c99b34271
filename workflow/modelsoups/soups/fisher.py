"""The Fisher-weighted average: every parameter by how much a candidate's outputs depend on it.

    soup = sum of F_k theta_k / sum of F_k,   F_k = E_x E_y (d log p_k(y | x) / d theta)^2

element by element (Matena and Raffel 2022, arXiv 2111.09832, eq. 4, all models alike). The diagonal
Fisher information F_k is the mean over held-out images x, with one y each that is drawn from the
candidate's own prediction, as there: labels play no part. Images and draws are the same for all
candidates.

- Each F_k is at least `floor` times its mean over the tensor, so that no single parameter goes to
  one candidate by chance. Where all are zero the plain mean stands.
- A candidate that fits less well has larger gradients and counts more; `normalize` divides each F_k
  by its mean over all parameters.
- Statistics of BatchNorms have no Fisher information; theirs is the plain mean.

Squares of gradients are of single images: one backward pass each. Memory: two sums in float64,
beside one model, its gradient and its F. If interrupted it starts again.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool, soup_of_all
from modelsoups.soups.registry import FisherSpec
from modelsoups.weights.average import check_finite, common_integers
from modelsoups.weights.checkpoints import Checkpoint, Weights, check_alike, find_tied

logger = logging.getLogger(__name__)

TINY = 1e-200  # what counts where no candidate's outputs depend on a parameter


def fisher(
    spec: FisherSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The mean of all candidates, parameter by parameter weighted by Fisher information.

    The record has no coefficients, of which there is one a parameter, but each candidate's mean
    Fisher information.
    """
    accuracies = check_pool(candidates, held_out)
    files = [Checkpoint(candidate.weights) for candidate in candidates]
    entries = check_alike(files)
    fixed, tied = common_integers(files, entries), find_tied(entries)
    keys = [key for key in entries if key not in fixed and key not in tied]
    sums = {key: torch.zeros(entries[key].shape, dtype=torch.float64) for key in keys}
    totals = {key: torch.zeros_like(each) for key, each in sums.items()}
    means = []
    for candidate, file in zip(candidates, files, strict=True):
        weights = file.load()
        check_finite(weights, candidate.weights)
        held_out.pour(weights, candidate.name)
        information = diagonal_fisher(held_out, spec)
        size = sum(each.numel() for each in information.values())
        means.append(sum(each.sum().item() for each in information.values()) / size)
        logger.info("%s: mean Fisher information %.3g", candidate.name, means[-1])
        for key in keys:
            share = share_of(information.get(key), weights[key], spec.floor)
            if spec.normalize and key in information and means[-1]:
                share /= means[-1]
            sums[key] += share * weights[key]
            totals[key] += share
    averaged: Weights = dict(fixed)
    for key in keys:
        averaged[key] = sums[key].div_(totals[key]).to(entries[key].dtype)
    weights = {key: averaged[tied.get(key, key)] for key in entries}
    name = "the Fisher-weighted average"
    return soup_of_all(weights, None, candidates, accuracies, held_out, name, fisher=means)


def share_of(information: Tensor | None, weights: Tensor, floor: float) -> Tensor:
    """What each element of a tensor counts: float64, above 0; 1 without Fisher information."""
    if information is None:
        return torch.ones(weights.shape, dtype=torch.float64)
    values = information.double()
    return values.clamp_(min=floor * values.mean().item()) + TINY


def diagonal_fisher(held_out: HeldOut, spec: FisherSpec) -> dict[str, Tensor]:
    """Mean square of the gradient of each of the model's parameters, on the CPU in float32.

    Parameters that the model ties are under the first of their keys.

    Raises: ValueError if a gradient is NaN or infinite.
    """
    random = np.random.default_rng(spec.seed)
    chosen = np.sort(random.permutation(len(held_out))[: spec.num_images])
    draws = random.random(len(chosen))
    model = held_out.evaluator.model
    parameters: dict[Tensor, str] = {}
    for key, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, nn.Parameter):
            parameters.setdefault(tensor.requires_grad_(), key)  # frozen ones, too
    squares = [torch.zeros_like(each) for each in parameters]
    for index, draw in zip(chosen, draws, strict=True):
        logits = model(held_out.batch(np.array([index])))
        label = draw_label(logits.detach()[0], draw)
        loss = cross_entropy(logits, torch.tensor([label], device=logits.device))
        gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
        for square, gradient in zip(squares, gradients, strict=True):
            if gradient is not None:
                square.addcmul_(gradient, gradient)
    found = {}
    for key, square in zip(parameters.values(), squares, strict=True):
        if not square.isfinite().all():
            raise ValueError(
                f"{held_out.evaluator.name}: the gradient of {key} is NaN or infinite on a "
                "held-out image; leave diverged runs out of the pool"
            )
        found[key] = (square.detach() / len(chosen)).cpu()
    return found


def draw_label(logits: Tensor, draw: float) -> int:
    """A class from the softmax of logits (C,), by a number in [0, 1)."""
    cumulated = logits.double().softmax(dim=0).cumsum(dim=0)
    return int((cumulated <= draw).sum().clamp(max=len(logits) - 1))
