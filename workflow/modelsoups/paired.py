"""Which images each model of a sweep has right: what paired tests and their intervals read.

One table a sweep: `dataset` (or the name of a label set), `index` (the image's place in it), and
one boolean column a model. It is small enough to keep: a bit an image and model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from modelsoups.failures import without_failures
from modelsoups.label_sets import is_right
from modelsoups.logits import read_predictions
from modelsoups.statistics import (
    difference_interval,
    mcnemar_test,
    permutation_test,
)

Models = Sequence[str]  # of one row of a table; their scores on an image are averaged


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """First minus second, on the same images."""

    difference: float  # of accuracies, fractions
    low: float  # 95 % bootstrap interval over images, stratified by set
    high: float
    p: float  # two-sided, not corrected
    test: str  # mcnemar or permutation


def collect_correct(
    files: Mapping[str, Mapping[str, Path]],
    label_sets: Mapping[str, tuple[str, Sequence[Sequence[int]]]],
) -> pd.DataFrame:
    """Whether each model is right on each image. Runs that failed and were skipped are left out.

    Args:
        files: dataset -> model -> its logits.
        label_sets: name -> dataset and the classes of each of its images; images without any are
            left out.
    """
    parts = []
    for dataset, paths in files.items():
        kept, _ = without_failures(list(paths), list(paths.values()))
        stored = {model: read_predictions(paths[model]) for model in kept}
        index = next(iter(stored.values()))["index"]
        right = {model: table["prediction"] == table["label"] for model, table in stored.items()}
        parts.append(pd.DataFrame({"dataset": dataset, "index": index, **right}))
        for name, (of, labels) in label_sets.items():
            if of == dataset:
                values = {
                    m: is_right(t["prediction"].to_numpy(), labels) for m, t in stored.items()
                }
                part = pd.DataFrame({"dataset": name, "index": index, **values}).dropna()
                parts.append(part.astype(dict.fromkeys(stored, bool)))
    return pd.concat(parts, ignore_index=True)


def accuracy_of(correct: pd.DataFrame, models: Models, datasets: Sequence[str]) -> float:
    """Unweighted mean over the datasets of the models' mean accuracy."""
    return float(np.mean([_scores(correct, models, dataset).mean() for dataset in datasets]))


def compare(
    correct: pd.DataFrame, first: Models, second: Models, datasets: Sequence[str], seed: int = 0
) -> Comparison:
    """Compare two models, or means of models, on one dataset or on the mean of several.

    Two models on one dataset: exact McNemar, for ensembles too, whose predictions are right or
    wrong as any model's. Means of models or datasets: a permutation test.
    """
    differences = [
        _scores(correct, first, dataset) - _scores(correct, second, dataset) for dataset in datasets
    ]
    low, high = difference_interval(differences, seed)
    if len(datasets) == len(first) == len(second) == 1:
        test, rows = "mcnemar", correct["dataset"] == datasets[0]
        p = mcnemar_test(*(correct.loc[rows, models[0]].to_numpy() for models in (first, second)))
    else:
        test, p = "permutation", permutation_test(differences, seed)
    difference = float(np.mean([d.mean() for d in differences]))
    return Comparison(difference=difference, low=low, high=high, p=p, test=test)


def _scores(correct: pd.DataFrame, models: Models, dataset: str) -> np.ndarray:
    rows = correct.loc[correct["dataset"] == dataset, list(models)]
    return rows.to_numpy(dtype=float).mean(axis=1)
