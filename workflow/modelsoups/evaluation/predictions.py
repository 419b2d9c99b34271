"""What each model of a sweep predicts for each example: what metrics of whole sets are made from.

One table a sweep: `dataset`, `role`, `index` (the example's place in the set), `label`, `group` (a
style, a region; empty for none), and one integer column a model.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from modelsoups.evaluation.failures import without_failures
from modelsoups.evaluation.logits import read_predictions
from modelsoups.evaluation.metrics import METRICS
from modelsoups.evaluation.statistics import (
    Estimate,
    bootstrap_error,
    estimate,
    paired_difference,
)


def collect_predictions(
    files: Mapping[str, Mapping[str, Path]],
    indexes: Mapping[str, Path],
    roles: Mapping[str, str],
) -> pd.DataFrame:
    """The table of a sweep. Runs that failed and were skipped are left out.

    Args:
        files: dataset -> model -> its logits. indexes, roles: dataset -> its index, its role.
    Raises: ValueError if a model was evaluated on other examples than the index has.
    """
    parts = []
    for dataset, paths in files.items():
        index = pd.read_parquet(indexes[dataset], columns=["label", "group"])
        kept, _ = without_failures(list(paths), list(paths.values()))
        columns = {}
        for model in kept:
            stored = read_predictions(paths[model])
            if not np.array_equal(stored["label"], index["label"]):
                raise ValueError(
                    f"{paths[model]}: its labels are not those of {indexes[dataset]}, which has "
                    f"{len(index)} examples; evaluate the model on this version of {dataset}"
                )
            columns[model] = stored["prediction"]
        about = {
            "dataset": dataset,
            "role": roles[dataset],
            "index": np.arange(len(index)),
            "label": index["label"],
            "group": index["group"].fillna(""),
        }
        parts.append(pd.DataFrame({**about, **columns}))
    return pd.concat(parts, ignore_index=True)


def code_groups(rows: pd.DataFrame) -> np.ndarray:
    """The groups of rows as metrics take them: (n,) integers from 0, -1 for none."""
    codes, _ = pd.factorize(rows["group"].replace("", None), sort=True)
    return codes


def score_predictions(rows: pd.DataFrame, metric: str, models: list[str]) -> pd.Series:
    """A metric of each model on all rows together, whichever datasets they are of."""
    labels, groups = rows["label"].to_numpy(), code_groups(rows)
    scores = {model: METRICS[metric].of(rows[model].to_numpy(), labels, groups) for model in models}
    return pd.Series(scores, dtype=float)


def score_difference(
    rows: pd.DataFrame, metric: str, first: str, second: str, num_resamples: int = 1000
) -> Estimate:
    """A metric of the first model minus that of the second, on the same examples.

    Of accuracy the interval is that of paired proportions; of other metrics, which are no means
    over examples, it is normal, with the standard error of examples resampled in pairs: by a metric
    of groups of those that have one, so that every resample has a group.
    """
    if METRICS[metric].by_group:
        rows = rows[code_groups(rows) >= 0]
    labels, groups = rows["label"].to_numpy(), code_groups(rows)
    ours, theirs = (rows[model].to_numpy() for model in (first, second))
    if metric == "accuracy":
        return paired_difference([(ours == labels) * 1.0 - (theirs == labels)])

    def difference(chosen: np.ndarray) -> float:
        score = METRICS[metric].of
        truth = labels[chosen], groups[chosen]
        return score(ours[chosen], *truth) - score(theirs[chosen], *truth)

    value = difference(np.arange(len(rows)))
    if (ours == theirs).all():
        return estimate(value, 0.0)
    return estimate(value, bootstrap_error(difference, len(rows), num_resamples=num_resamples))
