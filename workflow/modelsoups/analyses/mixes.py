"""Points in weight space: weighted sums of a sweep's models, and what a network scores there.

A *plan* says which points an analysis needs (one function a kind, `PLANS`); `evaluate_points`
evaluates them all in one job, with the images' arrays and one model for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from modelsoups.data.class_maps import pool_logits
from modelsoups.data.views import ViewOnRead, ViewSpec, open_view
from modelsoups.evaluation.calibration import expected_calibration_error
from modelsoups.evaluation.evaluator import pick_device, predict
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.metrics import METRICS, Metric
from modelsoups.models.backbones import BackboneSpec, build_classifier
from modelsoups.study.search import RunSpec
from modelsoups.weights.average import average, copy_into
from modelsoups.weights.geometry import (
    angle,
    displacement_products,
    is_repeated_weight,
    plane_coefficients,
    plane_coordinates,
    plane_grid,
)

POINT_METRICS: dict[str, Metric] = {**METRICS, "ece": expected_calibration_error}
INITIALIZATION = "initialization"

Files = Mapping[str, Path]  # model -> its weights
Runs = Mapping[str, RunSpec]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point in weight space."""

    coefficients: Mapping[str, float]  # model -> coefficient
    about: Mapping[str, Any] = field(default_factory=dict)  # columns of its own in the result


def interpolation(first: str, second: str, alpha: float) -> dict[str, float]:
    """Coefficients of (1 - alpha) times the first plus alpha times the second model."""
    weights = {first: 1 - alpha, second: alpha}
    return {model: weight for model, weight in weights.items() if weight}


def select(runs: Runs, match: Mapping[str, Any]) -> str:
    """Name of the one run that has these hyper-parameters.

    Raises: ValueError if none has, or several.
    """
    if len(found := select_all(runs, match)) != 1:
        raise ValueError(f"expected one run with {dict(match)}, found {found or 'none'}")
    return found[0]


def select_all(runs: Runs, match: Mapping[str, Any]) -> list[str]:
    """Names of the runs that have these hyper-parameters, in the sweep's order."""
    return [
        name
        for name, spec in runs.items()
        if all(getattr(spec, key) == value for key, value in match.items())
    ]


def varied(first: RunSpec, second: RunSpec) -> str:
    """The hyper-parameter in which two runs differ, or `several`."""
    names = [name for name, value in asdict(first).items() if value != getattr(second, name)]
    return names[0] if len(names) == 1 else "several"


def plan_plane(spec: Mapping[str, Any], runs: Runs, files: Files) -> list[Point]:
    """A grid on the plane of the initialisation and two runs, then the three (Figures 2, J.1).

    spec: `first`, `second`: hyper-parameters of the runs; `resolution`: points along a side.
    """
    corners_of = (INITIALIZATION, select(runs, spec["first"]), select(runs, spec["second"]))
    start, *ends = (files[model] for model in corners_of)
    corners = plane_coordinates(displacement_products(start, ends))
    places = [("", xy) for xy in plane_grid(corners, spec["resolution"])]
    places += list(zip(("start", "first", "second"), corners, strict=True))
    return [
        Point(
            coefficients=dict(zip(corners_of, plane_coefficients(corners, xy), strict=True)),
            about={"corner": corner, "x": float(xy[0]), "y": float(xy[1])},
        )
        for corner, xy in places
    ]


def plan_angles(spec: Mapping[str, Any], runs: Runs, files: Files) -> list[Point]:
    """Runs below a learning rate, and the middles of their pairs with their angle (Figure 3).

    spec: `below_lr`; `pairs`: `all`, or `one` for those that differ in one hyper-parameter.
    """
    chosen = [name for name, run in runs.items() if run.lr < spec["below_lr"]]
    products = displacement_products(
        files[INITIALIZATION], [files[name] for name in chosen], is_repeated_weight
    )
    points = [
        Point(coefficients={name: 1.0}, about={"first": name, "second": name}) for name in chosen
    ]
    for (i, first), (j, second) in combinations(enumerate(chosen), 2):
        what = varied(runs[first], runs[second])
        if spec["pairs"] == "all" or what != "several":
            about: dict[str, Any] = {"first": first, "second": second, "varied": what}
            about["angle"] = angle(products, i, j)
            points.append(Point(coefficients=interpolation(first, second, 0.5), about=about))
    return points


def random_pairs(names: Sequence[str], num_pairs: int, seed: int) -> list[tuple[str, str]]:
    """Different pairs of names, drawn without replacement; all of them if there are no more."""
    pairs = list(combinations(names, 2))
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [pairs[i] for i in sorted(order[:num_pairs])]


def plan_pairs(spec: Mapping[str, Any], runs: Runs, files: Files) -> list[Point]:
    """The middles of random pairs of runs (Figure 4). spec: `num_pairs`, `seed`."""
    return [
        Point(
            coefficients=interpolation(first, second, 0.5),
            about={
                "first": first,
                "second": second,
                "larger_lr": max(runs[first].lr, runs[second].lr),
            },
        )
        for first, second in random_pairs(list(runs), spec["num_pairs"], spec["seed"])
    ]


def plan_wise(spec: Mapping[str, Any], runs: Runs, files: Files) -> list[Point]:
    """From the initialisation to each run and soup: WiSE-FT curves (Figure D.1).

    spec: `alphas` above 0; `soups`: names of recipes.
    """
    start = Point(coefficients={INITIALIZATION: 1.0}, about={"model": INITIALIZATION, "alpha": 0.0})
    return [start] + [
        Point(
            coefficients=interpolation(INITIALIZATION, model, alpha),
            about={"model": model, "alpha": alpha},
        )
        for model in [*runs, *spec["soups"]]
        for alpha in spec["alphas"]
    ]


PLANS: dict[str, Callable[[Mapping[str, Any], Runs, Files], list[Point]]] = {
    "plane": plan_plane,
    "angles": plan_angles,
    "pairs": plan_pairs,
    "wise": plan_wise,
}


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images that points are evaluated on."""

    images: np.ndarray | ViewOnRead  # (n, H, W, 3) uint8
    labels: np.ndarray  # (n,)
    class_map: np.ndarray | None = None  # (T, K); None: the model's own classes


Sets = Mapping[str, ImageSet]  # by data set


class Kitchen:
    """One model on a device that weighted sums are poured into, and images it is evaluated on."""

    def __init__(
        self,
        model: nn.Module,
        files: Files,
        sets: Sets,
        device: torch.device,
        batch_size: int = 64,
    ):
        self.sets, self._files, self._batch_size, self._device = sets, files, batch_size, device
        self._model = model.to(device).eval()
        self._forward = torch.compile(self._model) if device.type == "cuda" else self._model

    def pour(
        self,
        coefficients: Mapping[str, float],
        head_coefficients: Mapping[str, float] | None = None,
    ) -> None:
        """Put the weighted sum of the sweep's models into the model; the head's may differ."""
        paths = [self._files[model] for model in coefficients]
        each = list(coefficients.values())
        if head_coefficients is None:
            weights = average(paths, each)
        else:
            head = [head_coefficients[model] for model in coefficients]
            keys = self._model.state_dict()
            weights = average(
                paths, {key: head if key.startswith("head.") else each for key in keys}
            )
        copy_into(self._model, weights)

    def logits(self, dataset: str) -> np.ndarray:
        """Logits (n, T) float32 of a dataset's classes, of what was poured."""
        each = self.sets[dataset]
        logits = predict(self._forward, each.images, self._batch_size, self._device, dataset)
        return logits if each.class_map is None else pool_logits(logits, each.class_map)

    def labels(self, dataset: str) -> np.ndarray:
        """Labels (n,) of a dataset."""
        return self.sets[dataset].labels


def open_kitchen(
    backbone: BackboneSpec,
    num_classes: int,
    files: Files,
    sets: Sets,
    batch_size: int,
) -> Kitchen:
    """The kitchen of a sweep: its backbone's classifier, on the GPU if there is one."""
    model = build_classifier(backbone, num_classes=num_classes)
    return Kitchen(model, files, sets, pick_device(), batch_size)


def evaluate_points(
    kitchen: Kitchen, points: Sequence[Point], metrics: Mapping[str, Metric] = POINT_METRICS
) -> pd.DataFrame:
    """Every metric of every point on every dataset.

    Returns: one row a point, dataset and metric: point (number), the columns of `about`, dataset,
        metric, value (accuracy a fraction, nll in nats), n (images).
    """
    rows = []
    for number, point in enumerate(tqdm(points, unit="point", disable=None)):
        kitchen.pour(point.coefficients)
        about = {"point": number, **point.about}
        for dataset in kitchen.sets:
            outputs, labels = kitchen.logits(dataset), kitchen.labels(dataset)
            rows += score_rows(about, dataset, outputs, labels, metrics)
    return pd.DataFrame(rows)


def score_rows(
    about: Mapping[str, Any],
    dataset: str,
    logits: np.ndarray,
    labels: np.ndarray,
    metrics: Mapping[str, Metric] = POINT_METRICS,
) -> list[dict[str, Any]]:
    """A row a metric: the columns of `about`, dataset, metric, value, n."""
    common = {**about, "dataset": dataset, "n": len(labels)}
    return [
        {**common, "metric": name, "value": metric(logits, labels)}
        for name, metric in metrics.items()
    ]


def read_sets(
    datasets: Sequence[str],
    images: Sequence[str | Path],
    labels: Sequence[str | Path],
    class_maps: Sequence[str | Path],
    max_images: int | None = None,
    view: ViewSpec | None = None,
    column: str = "image",
) -> dict[str, ImageSet]:
    """Each dataset: memory-mapped, or of larger ones a seeded sample.

    Args:
        images: array files, or an index of images that `view` is applied to whenever they are read.
        class_maps: .npy, (T, K). column: as in `views.open_view`.
    """
    sets = {}
    for dataset, *paths in zip(datasets, images, labels, class_maps, strict=True):
        pixels = open_view(paths[0], view, column)
        classes, class_map = np.load(paths[1]), np.load(paths[2])
        if max_images is not None and len(classes) > max_images:
            places = sample(len(classes), max_images)
            pixels, classes = pixels[places], classes[places]
        own = np.array_equal(class_map, np.arange(len(class_map))[:, None])
        sets[dataset] = ImageSet(
            images=pixels, labels=classes, class_map=None if own else class_map
        )
    return sets


def read_sample(path: str | Path, max_images: int | None = None) -> np.ndarray:
    """Stored logits (n, C) of the images that `read_sets` takes of a dataset."""
    logits = read_logits(path).logits
    if max_images is None or len(logits) <= max_images:
        return logits
    return logits[sample(len(logits), max_images)]


def sample(num_images: int, max_images: int) -> np.ndarray:
    """Places of a seeded sample of a dataset's images, in their order."""
    return np.sort(np.random.default_rng(0).permutation(num_images)[:max_images])
