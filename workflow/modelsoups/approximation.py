"""The analytic approximation of the soup-ensemble loss difference (paper Sec. 4, eq. 1, App. K).

    L_soup - L_ens  ~  a (1 - a) / 2 (- d2/da2 L_soup + beta^2 E_x Var_Y[df_Y])

with df the end's minus the start's logits and Y drawn from softmax(beta f(theta_a)). The minus sign
follows from Appendix K.3 (and from the text: "convexity of the loss indeed favors the soup"); the
text version of eq. 1 has lost it. The derivative is exact: nested forward-mode differentiation
gives the first two derivatives of the logits along the line, from which that of the loss follows
for any beta by the chain rule of K.3.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import nn
from torch.func import functional_call, jvp
from tqdm import tqdm

from modelsoups.calibration import fit_inverse_temperature
from modelsoups.metrics import accuracy, nll
from modelsoups.points import INITIALIZATION, Runs, select
from modelsoups.statistics import bootstrap_interval
from modelsoups.weights import Weights

Logits = Callable[[torch.Tensor], torch.Tensor]  # alpha (scalar) -> logits (b, C)


def derivatives(f: Logits, alpha: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """f and its first and second derivative at alpha, by forward mode over forward mode."""
    at, one = torch.tensor(alpha), torch.tensor(1.0)
    values, slopes = jvp(lambda a: jvp(f, (a,), (one,)), (at,), (one,))  # type: ignore[misc]
    return values[0], values[1], slopes[1]


@torch.no_grad()
def derivatives_on_line(
    model: nn.Module,
    start: Weights,
    end: Weights,
    alpha: float,
    images: np.ndarray,
    batch_size: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits and their first and second derivative in alpha at (1 - alpha) start + alpha end.

    Args:
        model: in evaluation mode, on `device`; its own weights are not used.
        images: (n, H, W, 3) uint8.
    Returns: three arrays (n, C) float32.
    """
    origin = {k: v.to(device) for k, v in start.items()}
    step = {
        k: end[k].to(device) - v
        for k, v in origin.items()
        if v.is_floating_point() and not end[k].equal(start[k])
    }
    parts = []
    for first in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[first : first + batch_size])).to(device)
        pixels = batch.permute(0, 3, 1, 2)

        def f(a: torch.Tensor, pixels: torch.Tensor = pixels) -> torch.Tensor:
            weights = {k: v + a * step[k] if k in step else v for k, v in origin.items()}
            return functional_call(model, weights, (pixels,))

        parts.append([output.cpu().numpy() for output in derivatives(f, alpha)])
    value, slope, curvature = (np.concatenate(part) for part in zip(*parts, strict=True))
    return value, slope, curvature


def loss_curvature(
    logits: np.ndarray, first: np.ndarray, second: np.ndarray, labels: np.ndarray, beta: float
) -> float:
    """Second derivative in alpha of the mean cross-entropy of beta times the logits (K.3).

    Args: logits, first, second: (n, C), the logits and their derivatives. labels: (n,).
    """
    logits, first, second = (x.astype(np.float64) for x in (logits, first, second))
    probabilities = softmax(beta * logits, axis=1)
    gradient = probabilities.copy()
    gradient[np.arange(len(labels)), labels] -= 1
    bend = beta * (gradient * second).sum(axis=1)
    return float((beta**2 * variance(probabilities, first) + bend).mean())


def variance(probabilities: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Variance of values (n, C) under each row's probabilities (n, C): (n,)."""
    mean = (probabilities * values).sum(axis=1, keepdims=True)
    return (probabilities * (values - mean) ** 2).sum(axis=1)


def approximate(
    alpha: float,
    curvature: float,
    soup: np.ndarray,
    difference: np.ndarray,
    beta: float,
) -> float:
    """The right-hand side of eq. 1.

    Args:
        curvature: second derivative of the soup's mean loss in alpha, at this beta.
        soup: (n, C) logits of the soup. difference: (n, C), end minus start logits.
    """
    spread = variance(softmax(beta * soup.astype(np.float64), axis=1), difference).mean()
    return float(alpha * (1 - alpha) / 2 * (-curvature + beta**2 * spread))


def compare_with_ensemble(
    alpha: float,
    soup: tuple[np.ndarray, np.ndarray, np.ndarray],
    start: np.ndarray,
    end: np.ndarray,
    labels: np.ndarray,
) -> list[dict[str, Any]]:
    """The true difference of soup and ensemble and its approximation, calibrated and with beta = 1.

    "For every model pair, value of alpha and test set, we take beta = argmin of the soup's loss"
    (K.4): beta is part of the analysis, no model is chosen by it.

    Args: soup: its logits and their two derivatives; start, end: (n, C) logits of the two models.
    Returns: a row a beta: calibrated, beta, loss_difference, error_difference (soup minus
        ensemble), approximation.
    """
    ensemble = (1 - alpha) * start.astype(np.float64) + alpha * end.astype(np.float64)
    difference = end.astype(np.float64) - start.astype(np.float64)
    rows = []
    for calibrated in (True, False):
        beta = fit_inverse_temperature(soup[0], labels) if calibrated else 1.0
        curvature = loss_curvature(*soup, labels, beta)
        scaled = soup[0].astype(np.float64) * beta
        rows.append(
            {
                "calibrated": calibrated,
                "beta": beta,
                "loss_difference": nll(scaled, labels) - nll(beta * ensemble, labels),
                "error_difference": accuracy(ensemble, labels) - accuracy(soup[0], labels),
                "approximation": approximate(alpha, curvature, soup[0], difference, beta),
            }
        )
    return rows


def list_pairs(spec: Mapping[str, Any], runs: Runs) -> list[tuple[str, str, str, float]]:
    """The pairs of K.4: start, end, what they differ in, and the larger learning rate.

    spec: `learning_rates`, `levels` (hyper-parameters of each level of augmentation), `seeds` (the
    first one is that of the pairs that do not differ in it).
    """

    def name(lr: float, level: Mapping[str, Any], seed: int) -> str:
        return select(runs, {"lr": lr, "seed": seed, **level})

    rates, levels, seeds = spec["learning_rates"], spec["levels"], spec["seeds"]
    pairs = [
        (name(a, level, seeds[0]), name(b, level, seeds[0]), "learning rate")
        for level in levels
        for a, b in combinations(rates, 2)
    ]
    pairs += [
        (name(lr, a, seeds[0]), name(lr, b, seeds[0]), "augmentation")
        for lr in rates
        for a, b in combinations(levels, 2)
    ]
    pairs += [
        (name(lr, level, a), name(lr, level, b), "seed")
        for lr in rates
        for level in levels
        for a, b in combinations(seeds, 2)
    ]
    pairs += [
        (INITIALIZATION, name(lr, level, seeds[0]), "initialization")
        for lr in rates
        for level in levels
    ]
    return [
        (start, end, what, max(runs[model].lr for model in (start, end) if model in runs))
        for start, end, what in pairs
    ]


def approximate_pairs(
    model: nn.Module,
    read: Callable[[str], Weights],
    sets: Mapping[str, tuple[np.ndarray, np.ndarray]],
    outputs: Callable[[str, str], np.ndarray],
    pairs: Sequence[tuple[str, str, str, float]],
    alphas: Sequence[float],
    batch_size: int,
    device: torch.device,
) -> pd.DataFrame:
    """Every pair, alpha and dataset: what `compare_with_ensemble` finds (Figure K.1).

    Args:
        model: in evaluation mode on `device`. read: model's name -> its weights.
        sets: dataset -> images and labels. outputs: name, dataset -> stored logits of its images.
        pairs: as `list_pairs` gives them. alphas: in (0, 1); at the ends both sides are zero.
    Returns: start, end, varied, larger_lr, alpha, dataset, n, and the columns of
        `compare_with_ensemble`.
    """

    def rows() -> Iterator[dict[str, Any]]:
        for start, end, what, larger_lr in tqdm(pairs, unit="pair", disable=None):
            weights = read(start), read(end)
            about = {"start": start, "end": end, "varied": what, "larger_lr": larger_lr}
            for alpha in alphas:
                for dataset, (images, labels) in sets.items():
                    soup = derivatives_on_line(model, *weights, alpha, images, batch_size, device)
                    ends = outputs(start, dataset), outputs(end, dataset)
                    for row in compare_with_ensemble(alpha, soup, *ends, labels):
                        yield {**about, "alpha": alpha, "dataset": dataset, "n": len(labels), **row}

    return pd.DataFrame(rows())


def agreement(points: pd.DataFrame, truth: str) -> dict[str, float]:
    """How well the approximation predicts a column of `approximate_pairs`.

    Returns: correlation (Pearson's), low and high (95 %, bootstrap over pairs of models, whose
        points belong together), same_sign (fraction of points whose approximation and truth have
        one sign; points where either is zero do not count), n (points).
    """
    pairs = list(points.groupby(["start", "end"]).indices.values())
    x, y = points["approximation"].to_numpy(), points[truth].to_numpy()

    def correlation(chosen: np.ndarray) -> float:
        places = np.concatenate([pairs[i] for i in chosen])
        return float(np.corrcoef(x[places], y[places])[0, 1])

    low, high = bootstrap_interval(correlation, len(pairs))
    decided = (x != 0) & (y != 0)
    return {
        "correlation": correlation(np.arange(len(pairs))),
        "low": low,
        "high": high,
        "same_sign": float((np.sign(x) == np.sign(y))[decided].mean()),
        "n": len(points),
    }
