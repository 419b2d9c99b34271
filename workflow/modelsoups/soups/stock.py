"""Model Stock (Jang, Yun and Han, ECCV 2024, arXiv 2403.19522).

Fine-tuned weights lie on a thin shell around a center; the point nearest to it on the plane of K
models and the initialisation theta_0 follows from their angles alone:

    soup = t mean + (1 - t) theta_0,   t = K c / (1 + (K - 1) c)

with c the mean cosine of the K (K - 1) / 2 pairs of displacements theta_k - theta_0. Here one t a
tensor, as its authors' code has it, or one a layer or model. No image is read but to score the
soup. Where displacements are nearly orthogonal t is near zero, and the soup falls back to the
initialisation: look at the t of the record.

What the formula leaves open:

- c below zero is taken as zero: t would be negative, and the soup on the other side of theta_0.
- A candidate that does not move in a group is in no pair of its mean. Without any pair t is 1.
- A candidate that moves nowhere is the initialisation, which is none of the K: it is left out.
- Statistics of BatchNorms are tensors like any other.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool
from modelsoups.soups.registry import StockSpec
from modelsoups.study.search import INITIALIZATION
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import Checkpoint
from modelsoups.weights.geometry import products_by_group
from modelsoups.weights.layers import GROUPINGS


def stock(
    spec: StockSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """Between the mean of all candidates and the initialisation, as far as their angles say.

    The ingredients are the candidates and, last, the initialisation.
    """
    assert initialization is not None, "checked with the config"
    accuracies = check_pool(candidates, held_out)
    group_of = GROUPINGS[spec.ratio_per]
    start = Checkpoint(initialization)
    files = [Checkpoint(each.weights) for each in candidates]
    products = products_by_group(files, lambda key, entry: group_of(key), start)
    moves = np.sum([each.diagonal() for each in products.values()], axis=0) > 0  # (num_candidates,)
    moving = [each for each, moved in zip(candidates, moves, strict=True) if moved]
    if not moving:
        raise ValueError(
            f"Model Stock: expected fine-tuned candidates, found weights equal to {initialization}"
        )
    cosines = {group: mean_cosine(each[np.ix_(moves, moves)]) for group, each in products.items()}
    ratios = {group: ratio_of(cosine, len(moving)) for group, cosine in cosines.items()}
    coefficients = {group: [*[t / len(moving)] * len(moving), 1 - t] for group, t in ratios.items()}
    by_key = {
        key: coefficients[group_of(key)] for key in start.entries if group_of(key) in coefficients
    }
    weights = average([*(each.weights for each in moving), initialization], by_key)
    held_out.pour(weights, "the Model Stock")
    return Soup(
        weights=weights,
        ingredients=[*(each.name for each in moving), INITIALIZATION],
        coefficients=coefficients["model"] if spec.ratio_per == "model" else coefficients,
        candidates=[
            {
                "name": each.name,
                **held_out.alone(alone),
                "decision": "kept" if each in moving else "rejected",
            }
            for each, alone in zip(candidates, accuracies, strict=True)
        ],
        held_out_score=held_out.reported(held_out.logits()),
        details={"ratios": ratios, "cosines": cosines},
    )


def mean_cosine(products: np.ndarray) -> float | None:
    """Mean cosine of all pairs of displacements; None without a pair that both move.

    Args: products: (K, K) their inner products.
    """
    lengths = np.sqrt(products.diagonal())
    first, second = np.triu_indices(len(products), 1)
    both = lengths[first] * lengths[second]
    pairs = both > 0
    if not pairs.any():
        return None
    return float((products[first, second][pairs] / both[pairs]).mean())


def ratio_of(cosine: float | None, num_models: int) -> float:
    """How far the soup is from the initialisation to the mean: t in [0, 1]."""
    if cosine is None:
        return 1.0
    cosine = min(max(cosine, 0.0), 1.0)
    return num_models * cosine / (1 + (num_models - 1) * cosine)
