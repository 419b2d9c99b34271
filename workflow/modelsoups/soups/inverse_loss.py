"""The inverse-loss average: the lower a candidate's held-out loss, the more it counts.

    soup = sum of c_k theta_k,  c_k = L_k^-p / sum of L_j^-p

with L_k the mean negative log-likelihood of the held-out labels, from stored logits: no model runs
but the soup, once. Weights of 1 / loss are a common baseline of ensembles and of federated
averages; p = 0 is the uniform soup.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modelsoups.base.progress import Trace
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.metrics import nll
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool, soup_of_all
from modelsoups.soups.registry import InverseLossSpec
from modelsoups.weights.average import average


def inverse_loss(
    spec: InverseLossSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The mean of all candidates, each by its held-out loss to the power -p."""
    accuracies = check_pool(candidates, held_out)
    losses = [nll(read_logits(each.logits).logits, held_out.labels) for each in candidates]
    coefficients = coefficients_of(losses, spec.power)
    weights = average([candidate.weights for candidate in candidates], coefficients)
    name = "the inverse-loss average"
    return soup_of_all(weights, coefficients, candidates, accuracies, held_out, name, losses=losses)


def coefficients_of(losses: Sequence[float], power: float) -> list[float]:
    """Coefficients of sum one; of losses of zero, those alone count.

    Args: losses: (num_candidates,) at least 0.
    """
    values = np.asarray(losses, dtype=np.float64)
    best = values.min()
    factors = (values / best) ** -power if best else (values == 0).astype(np.float64)
    return (factors / factors.sum()).tolist()
