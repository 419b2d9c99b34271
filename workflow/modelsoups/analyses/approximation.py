"""The analytic approximation of the soup-ensemble loss difference (paper Sec. 4, eq. 1, App. K).

    L_soup - L_ens  ~  a (1 - a) / 2 (- d2/da2 L_soup + beta^2 E_x Var_Y[df_Y])

with df the end's minus the start's logits and Y drawn from softmax(beta f(theta_a)). The minus sign
follows from Appendix K.3 (and from the text: "convexity of the loss indeed favors the soup"); the
text version of eq. 1 has lost it.

The derivative comes in two forms. `forward_mode` (analyses/line.py) is exact at one alpha: nested
forward mode gives the first two derivatives of the logits along the line, from which that of the
loss follows for any beta by the chain rule of K.3. It suits smooth networks, as the paper's ViTs. A
network of ReLUs is piecewise smooth: its loss bends at kinks, which a derivative at one alpha does
not see. `differences` does: (L(a - h) - 2 L(a) + L(a + h)) / h^2 with h = STEP.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from tqdm import tqdm

from modelsoups.analyses.line import Line
from modelsoups.analyses.mixes import Runs
from modelsoups.analyses.parts import Parts, RowsOfPart
from modelsoups.evaluation.calibration import fit_inverse_temperature
from modelsoups.evaluation.evaluator import EvaluationSet, Evaluator, sample
from modelsoups.evaluation.failures import without_failures
from modelsoups.evaluation.metrics import accuracy, nll
from modelsoups.evaluation.statistics import (
    NEAR_ONE,
    Estimate,
    correlation,
    correlation_estimate,
    estimate,
    jackknife_error,
)
from modelsoups.study.search import INITIALIZATION, select
from modelsoups.weights.checkpoints import Weights

STEP = 0.1  # of finite differences in alpha; the spacing of the paper's alphas (K.4)

Pair = tuple[str, str, str, float]  # start, end, what they differ in, the larger learning rate


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


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the true differences are measured on: logits (n, C) of a soup and of its ends."""

    soup: np.ndarray
    start: np.ndarray
    end: np.ndarray
    labels: np.ndarray  # (n,)

    def ensemble(self, alpha: float) -> np.ndarray:
        """Logits (n, C) float64 of the ensemble with the soup's coefficients."""
        return (1 - alpha) * self.start.astype(np.float64) + alpha * self.end.astype(np.float64)


def compare_with_ensemble(
    alpha: float,
    soup: tuple[np.ndarray, np.ndarray, np.ndarray],
    beside: tuple[np.ndarray, np.ndarray],
    start: np.ndarray,
    end: np.ndarray,
    labels: np.ndarray,
    every: Truth | None = None,
) -> list[dict[str, Any]]:
    """The true difference of soup and ensemble and its approximation, calibrated and with beta = 1.

    "For every model pair, value of alpha and test set, we take beta = argmin of the soup's loss"
    (K.4): beta is part of the analysis, no model is chosen by it.

    Args:
        soup: its logits and their two derivatives. beside: its logits at alpha - STEP and + STEP.
        start, end: (n, C) logits of the two models.
        every: the same of all images, where these are a sample: of them beta and the true
            differences are. Derivatives alone are costly.
    Returns: a row a beta: calibrated, beta, loss_difference, error_difference (soup minus
        ensemble), and the approximation with either curvature: forward_mode, differences.
    """
    difference = end.astype(np.float64) - start.astype(np.float64)
    every = every or Truth(soup=soup[0], start=start, end=end, labels=labels)
    ensemble = every.ensemble(alpha)
    rows = []
    for calibrated in (True, False):
        beta = fit_inverse_temperature(every.soup, every.labels) if calibrated else 1.0
        scaled = soup[0].astype(np.float64) * beta
        losses = [nll(beta * logits.astype(np.float64), labels) for logits in beside]
        curvatures = {
            "forward_mode": loss_curvature(*soup, labels, beta),
            "differences": (losses[0] - 2 * nll(scaled, labels) + losses[1]) / STEP**2,
        }
        rows.append(
            {
                "calibrated": calibrated,
                "beta": beta,
                "loss_difference": nll(beta * every.soup.astype(np.float64), every.labels)
                - nll(beta * ensemble, every.labels),
                "error_difference": accuracy(ensemble, every.labels)
                - accuracy(every.soup, every.labels),
                **{
                    name: approximate(alpha, curvature, soup[0], difference, beta)
                    for name, curvature in curvatures.items()
                },
            }
        )
    return rows


def list_pairs(plan: Mapping[str, Any], runs: Runs) -> list[Pair]:
    """The pairs of K.4.

    plan: `learning_rates`, `levels` (hyper-parameters of each level of augmentation), `seeds` (the
    first one is that of the pairs that do not differ in it).
    """

    def name(lr: float, level: Mapping[str, Any], seed: int) -> str:
        return select(runs, {"lr": lr, "seed": seed, **level})

    rates, levels, seeds = plan["learning_rates"], plan["levels"], plan["seeds"]
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


def without_failed(pairs: Sequence[Pair], logits: Mapping[str, Path]) -> list[Pair]:
    """The pairs of models that did not fail.

    Args: logits: model -> its logits on any data set.
    Raises: ValueError if no pair is left.
    """
    kept, _ = without_failures(list(logits), list(logits.values()))
    if found := [pair for pair in pairs if pair[0] in kept and pair[1] in kept]:
        return found
    raise ValueError(f"expected pairs of models that did not fail, found none of {len(pairs)}")


def approximate_pairs(
    evaluator: Evaluator,
    read: Callable[[str], Weights],
    sets: Sequence[EvaluationSet],
    outputs: Callable[[str, str], np.ndarray],
    pairs: Sequence[Pair],
    alphas: Sequence[float],
    parts: Parts | None = None,
    max_images: int | None = None,
) -> pd.DataFrame:
    """Every pair, alpha and data set: what `compare_with_ensemble` finds (Figure K.1).

    Args:
        evaluator: has the backbone's classifier. read: model's name -> its weights.
        outputs: name, data set -> stored logits of all its examples.
        pairs: as `list_pairs` gives them. alphas: in (0, 1); at the ends both sides are zero.
        parts: what is finished already; a part is a pair on one data set.
        max_images: of a data set, that derivatives are taken on; all if None. The true differences
            are of all images.
    Returns: start, end, varied, larger_lr, alpha, dataset, n, num_derived, and the columns of
        `compare_with_ensemble`.
    """
    parts = parts or Parts()
    rows: RowsOfPart = []
    for start, end, what, larger_lr in tqdm(pairs, unit="pair", disable=None):
        about = {"start": start, "end": end, "varied": what, "larger_lr": larger_lr}
        name = f"{what} {start} {end}"
        missing = [each for each in sets if parts.find(each.dataset, name) is None]
        weights = {model: read(model) for model in (start, end) if missing}
        for each in missing:
            ends = outputs(start, each.dataset), outputs(end, each.dataset)
            chosen = sample(len(each.labels), max_images or len(each.labels))
            examples, labels = each.examples.take(chosen), each.labels[chosen]
            some = replace(each, examples=examples, labels=labels)
            line = Line(evaluator, weights[start], weights[end], some)
            is_all = len(chosen) == len(each.labels)
            whole = None if is_all else Line(evaluator, weights[start], weights[end], each)
            made = approximate_along(line, whole, *ends, each, alphas, about, chosen)
            parts.add(each.dataset, name, made)
        rows += [row for each in sets for row in parts.find(each.dataset, name) or []]
    return pd.DataFrame(rows)


def approximate_along(
    line: Line,
    whole: Line | None,
    start: np.ndarray,
    end: np.ndarray,
    each: EvaluationSet,
    alphas: Sequence[float],
    about: Mapping[str, Any],
    chosen: np.ndarray,
) -> RowsOfPart:
    """The rows of `approximate_pairs` of one pair and data set.

    Args:
        line: on the images `chosen`. whole: on all of them; None if these are all.
        start, end: (n, C) logits of the two models on all images. about: columns of the pair.
    """
    rows = []
    for alpha in alphas:
        beside = line.logits(alpha - STEP), line.logits(alpha + STEP)
        soup = line.derivatives(alpha)
        every = None
        if whole is not None:
            every = Truth(soup=whole.logits(alpha), start=start, end=end, labels=each.labels)
        some = soup, beside, start[chosen], end[chosen], each.labels[chosen]
        common = {**about, "alpha": alpha, "dataset": each.dataset, "n": len(each.labels)}
        for row in compare_with_ensemble(alpha, *some, every):
            rows.append({**common, "num_derived": len(chosen), **row})
    return rows


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well the approximation predicts a column of `approximate_pairs`.

    Intervals are from a jackknife over models, since pairs share them.
    """

    correlation: Estimate  # Pearson's
    # Fraction of rows whose approximation and truth have one sign, minus a half; rows where either
    # is zero do not count.
    same_sign: Estimate
    n: int  # rows
    num_pairs: int  # of models


def agreement(table: pd.DataFrame, truth: str, curvature: str, above: float = 0) -> Agreement:
    """Args: curvature: forward_mode or differences. above: null value of the correlation."""
    num_models, rows_of = _rows_of_models(table)
    x, y = table[curvature].to_numpy(), table[truth].to_numpy()
    agree = np.where((x != 0) & (y != 0), np.sign(x) == np.sign(y), np.nan)

    def signs(chosen: np.ndarray) -> float:
        found = agree[rows_of(chosen)]
        return float(np.nanmean(found) - 0.5) if not np.isnan(found).all() else nan

    number = len(table[["start", "end"]].drop_duplicates())
    if number < 2:
        return Agreement(
            correlation=estimate(nan, nan),
            same_sign=estimate(nan, nan),
            n=len(table),
            num_pairs=number,
        )
    every = np.arange(num_models)
    return Agreement(
        correlation=correlation_estimate(
            lambda chosen: correlation(x[rows_of(chosen)], y[rows_of(chosen)]),
            num_models,
            above,
            jackknife_error,
        ),
        same_sign=estimate(signs(every), jackknife_error(signs, num_models), num_models - 1),
        n=len(table),
        num_pairs=number,
    )


def _rows_of_models(table: pd.DataFrame) -> tuple[int, Callable[[np.ndarray], np.ndarray]]:
    """The number of models, and from some of their numbers to the rows of pairs among them."""
    models, numbers = np.unique(table[["start", "end"]].astype(str), return_inverse=True)
    start, end = numbers.reshape(-1, 2).T
    return len(models), lambda chosen: np.isin(start, chosen) & np.isin(end, chosen)


def gain_of_calibration(table: pd.DataFrame, truth: str, curvature: str) -> Estimate:
    """Correlation with calibrated logits minus that with beta = 1, by Fisher's transform.

    Args: as of `agreement`, with rows of either kind.
    """
    kinds = [table[table["calibrated"] == calibrated] for calibrated in (True, False)]
    columns = [(rows[curvature].to_numpy(), rows[truth].to_numpy()) for rows in kinds]
    (num_models, first), (_, second) = map(_rows_of_models, kinds)

    def gain(chosen: np.ndarray) -> float:
        values = []
        for (x, y), rows_of in zip(columns, (first, second), strict=True):
            r = correlation(x[rows_of(chosen)], y[rows_of(chosen)])
            values.append(np.arctanh(np.clip(r, -NEAR_ONE, NEAR_ONE)))
        return float(values[0] - values[1])

    if len(kinds[0][["start", "end"]].drop_duplicates()) < 2:
        return estimate(nan, nan)
    value = gain(np.arange(num_models))
    return estimate(value, jackknife_error(gain, num_models), num_models - 1)
