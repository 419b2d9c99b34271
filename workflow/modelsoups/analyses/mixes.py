"""Mixes: weighted sums of a sweep's models, and what a network scores there.

A *plan* says which mixes an analysis needs (one function a kind, `PLANS`); `evaluate_mixes`
evaluates them all in one job, with the data sets opened once and one model for all of them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from modelsoups.analyses.parts import Parts
from modelsoups.evaluation.evaluator import EvaluationSet, Evaluator, open_set
from modelsoups.evaluation.metrics import METRICS, is_correct
from modelsoups.evaluation.paired import pack
from modelsoups.soups.ensembles import mean_of
from modelsoups.study.groups import members_of
from modelsoups.study.search import INITIALIZATION, RunSpec, pairs_below, select, select_all
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import why_no_weights
from modelsoups.weights.geometry import (
    angle,
    displacement_products,
    is_repeated_weight,
    plane_coefficients,
    plane_coordinates,
    plane_grid,
)

logger = logging.getLogger(__name__)

MIX_METRICS = {name: METRICS[name] for name in ("accuracy", "nll", "ece")}
HEAD = "head."  # what the names of a head's tensors begin with

Files = Mapping[str, Path]  # model -> its weights
Runs = Mapping[str, RunSpec]


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A place in weight space."""

    coefficients: Mapping[str, float]  # model -> coefficient
    about: Mapping[str, Any] = field(default_factory=dict)  # columns of its own in the result
    ensemble: bool = False  # not of weights: the mean of its models' outputs, whatever coefficients


def interpolation(first: str, second: str, alpha: float) -> dict[str, float]:
    """Coefficients of (1 - alpha) times the first plus alpha times the second model."""
    weights = {first: 1 - alpha, second: alpha}
    return {model: weight for model, weight in weights.items() if weight}


def plan_mixes(plan: Mapping[str, Any], runs: Runs, files: Files) -> list[Mix]:
    """The mixes of a plan; runs that failed and were skipped are left out.

    Args:
        plan: its `kind`, one of `PLANS`, and what the kind asks for.
        runs: those of the sweep, with their hyper-parameters; existing checkpoints have none and
            are no part of it. files: of the initialisation if there is one, the runs, and soups.
    Raises: ValueError if the models that the plan needs are not there.
    """
    failures = {model: why_no_weights(path) for model, path in files.items()}
    for model, why in failures.items():
        if why is not None:
            logger.warning("%s is left out: %s", model, why)
    files = {model: path for model, path in files.items() if failures[model] is None}
    runs = {name: spec for name, spec in runs.items() if name in files}
    kind = plan["kind"]
    if kind != "pairs" and INITIALIZATION not in files:
        raise ValueError(
            f"mixes of kind {kind}: expected the model that the runs start from, found only "
            f"{', '.join(files)}; give the sweep an `initialization`"
        )
    if mixes := PLANS[kind](plan, runs, files):
        return mixes
    raise ValueError(
        f"mixes of kind {kind}: found none among {len(runs)} runs with hyper-parameters for "
        f"{dict(plan)}; change the plan, or the sweep it is about"
    )


def plan_plane(plan: Mapping[str, Any], runs: Runs, files: Files) -> list[Mix]:
    """A grid on the plane of the initialisation and two runs, then the three and the middle of the
    two (Figures 2, J.1).

    plan: `first`, `second`: hyper-parameters of the runs; `resolution`: mixes along a side.
    """
    corners_of = (INITIALIZATION, select(runs, plan["first"]), select(runs, plan["second"]))
    start, *ends = (files[model] for model in corners_of)
    corners = plane_coordinates(displacement_products(start, ends))
    named = [("", xy) for xy in plane_grid(corners, plan["resolution"])]
    named += list(zip(("start", "first", "second"), corners, strict=True))
    named += [("middle", (corners[1] + corners[2]) / 2)]
    return [
        Mix(
            coefficients=dict(zip(corners_of, plane_coefficients(corners, xy), strict=True)),
            about={"corner": corner, "x": float(xy[0]), "y": float(xy[1])},
        )
        for corner, xy in named
    ]


def plan_angles(plan: Mapping[str, Any], runs: Runs, files: Files) -> list[Mix]:
    """Runs below a learning rate, and the middles of their pairs with their angle (Figure 3).

    plan: `below_lr`, `pairs` (see `pairs_below`). Without a pair there are no mixes.
    """
    chosen, pairs = pairs_below(runs, plan["below_lr"], plan["pairs"])
    if not pairs:
        return []
    products = displacement_products(
        files[INITIALIZATION], [files[name] for name in chosen], is_repeated_weight
    )
    mixes = [
        Mix(coefficients={name: 1.0}, about={"first": name, "second": name}) for name in chosen
    ]
    for (first, second), what in pairs.items():
        about: dict[str, Any] = {"first": first, "second": second, "varied": what}
        about["angle"] = angle(products, chosen.index(first), chosen.index(second))
        mixes.append(Mix(coefficients=interpolation(first, second, 0.5), about=about))
    return mixes


def random_pairs(names: Sequence[str], num_pairs: int, seed: int) -> list[tuple[str, str]]:
    """Different pairs of names, drawn without replacement; all of them if there are no more."""
    pairs = list(combinations(names, 2))
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [pairs[i] for i in sorted(order[:num_pairs])]


def plan_pairs(plan: Mapping[str, Any], runs: Runs, files: Files) -> list[Mix]:
    """The middles of random pairs of runs (Figure 4). plan: `num_pairs`, `seed`."""
    return [
        Mix(
            coefficients=interpolation(first, second, 0.5),
            about={
                "first": first,
                "second": second,
                "larger_lr": max(runs[first].lr, runs[second].lr),
            },
        )
        for first, second in random_pairs(list(runs), plan["num_pairs"], plan["seed"])
    ]


def plan_wise(plan: Mapping[str, Any], runs: Runs, files: Files) -> list[Mix]:
    """From the initialisation to each run and soup: WiSE-FT curves (Figure D.1).

    plan: `alphas` above 0. All models of `files` have a curve, in their order.
    """
    start = Mix(coefficients={INITIALIZATION: 1.0}, about={"model": INITIALIZATION, "alpha": 0.0})
    return [start] + [
        Mix(
            coefficients=interpolation(INITIALIZATION, model, alpha),
            about={"model": model, "alpha": alpha},
        )
        for model in files
        if model != INITIALIZATION
        for alpha in plan["alphas"]
    ]


def plan_endpoints(plan: Mapping[str, Any], runs: Runs, files: Files) -> list[Mix]:
    """The averages of the two ends of every part of one-dimensional grids (Figure F.1).

    plan: `grids`: name -> the hyper-parameters of its runs, in order. A mix says the places of its
    ends in the grid, and which runs lie from one to the other; those that failed end no part.
    """
    mixes = []
    for grid, matches in plan["grids"].items():
        found = {
            place: select(runs, match)
            for place, match in enumerate(matches)
            if select_all(runs, match)
        }
        for (i, first), (j, second) in combinations(found.items(), 2):
            between = " ".join(run for place, run in found.items() if i <= place <= j)
            about = {"grid": grid, "first": i, "second": j, "between": between}
            mixes.append(Mix(coefficients=interpolation(first, second, 0.5), about=about))
    return mixes


def plan_groups(plan: Mapping[str, Any], runs: Runs, files: Files) -> list[Mix]:
    """The mean of each group of runs or of averages along them, of weights or of outputs
    (Appendix L).

    plan: `groups` (`study.groups`). One with a run that failed is left out.
    """
    found = [(group, members_of(runs, group)) for group in plan["groups"]]
    return [
        Mix(
            coefficients=dict.fromkeys(models, 1 / len(models)),
            about={**group["about"], "models": " ".join(models)},
            ensemble=group.get("ensemble", False),
        )
        for group, models in found
        if models
    ]


PLANS: dict[str, Callable[[Mapping[str, Any], Runs, Files], list[Mix]]] = {
    "plane": plan_plane,
    "angles": plan_angles,
    "pairs": plan_pairs,
    "wise": plan_wise,
    "endpoints": plan_endpoints,
    "groups": plan_groups,
}


class Mixer:
    """An evaluator, and weighted sums of models that are poured into it when they are asked for.

    One that is asked for on several data sets in a row is summed once.
    """

    def __init__(self, evaluator: Evaluator, files: Files):
        """files: weights of the models that sums are made of."""
        self._evaluator, self._files = evaluator, files
        self._poured: Any = None

    def logits(
        self,
        each: EvaluationSet,
        coefficients: Mapping[str, float],
        head_coefficients: Mapping[str, float] | None = None,
    ) -> np.ndarray:
        """Logits (n, T) float32 of a data set's classes, of the sum; the head's may be another."""
        asked = [*coefficients.items()], [*(head_coefficients or {}).items()]
        if asked != self._poured:
            self._pour(coefficients, head_coefficients)
            self._poured = asked
        return self._evaluator.logits(each)

    def _pour(
        self, coefficients: Mapping[str, float], head_coefficients: Mapping[str, float] | None
    ) -> None:
        each = list(coefficients.values())
        factors: Sequence[float] | dict[str, list[float]] = each
        if head_coefficients is not None:
            keys = list(self._evaluator.model.state_dict())
            if not any(key.startswith(HEAD) for key in keys):
                raise ValueError(
                    "a calibrated soup divides each run's head by a temperature: expected tensors "
                    f"named {HEAD}*, found {len(keys)} others, the last {keys[-1]}; leave out "
                    "figureB2 and figureG4 for this backbone"
                )
            of_head = [head_coefficients[model] for model in coefficients]
            factors = {key: of_head if key.startswith(HEAD) else each for key in keys}
        weights = average([self._files[model] for model in coefficients], factors)
        self._evaluator.pour(weights, f"the mix of {', '.join(coefficients)}")


def open_sets(files: Mapping[str, Sequence[str | Path]], **options: Any) -> list[EvaluationSet]:
    """Data set -> its examples, labels and class map, opened. options: of `open_set`."""
    return [open_set(dataset, *paths, **options) for dataset, paths in files.items()]


def evaluate_mixes(
    mixer: Mixer,
    sets: Sequence[EvaluationSet],
    mixes: Sequence[Mix],
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Every metric of every mix on every data set.

    Args: parts: what is finished already; a part is a mix's rows of one data set.
    Returns: one row a mix, data set and metric: mix (number), the columns of `about`, dataset,
        metric, value (accuracy a fraction, nll in nats), n (examples), right (of `score_rows`).
    """
    parts = parts or Parts()
    rows = []
    for number, mix in enumerate(tqdm(mixes, unit="mix", disable=None)):
        about = {"mix": number, **mix.about}
        for each in sets:
            found = parts.find(each.dataset, str(number))
            if found is None:
                made = score_rows(about, each.dataset, outputs(mixer, each, mix), each.labels)
                found = parts.add(each.dataset, str(number), made)
            rows += found
    return pd.DataFrame(rows)


def outputs(mixer: Mixer, each: EvaluationSet, mix: Mix) -> np.ndarray:
    """Logits (n, T) of a mix on a data set: of its weights or, of an ensemble, its models' mean."""
    if not mix.ensemble:
        return mixer.logits(each, mix.coefficients)
    return mean_of(mixer.logits(each, {model: 1.0}) for model in mix.coefficients)


def score_rows(
    about: Mapping[str, Any], dataset: str, logits: np.ndarray, labels: np.ndarray
) -> list[dict[str, Any]]:
    """A row a metric: the columns of `about`, dataset, metric, value, n.

    That of accuracy has which examples are right, too: `right`, packed (`evaluation.paired`).
    """
    common = {**about, "dataset": dataset, "n": len(labels)}
    rows: list[dict[str, Any]] = [
        {**common, "metric": name, "value": metric(logits, labels)}
        for name, metric in MIX_METRICS.items()
    ]
    rows[list(MIX_METRICS).index("accuracy")]["right"] = pack(is_correct(logits, labels))
    return rows
