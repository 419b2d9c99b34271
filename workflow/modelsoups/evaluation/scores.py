"""Scores: one tidy table a sweep, and the rule that nothing is chosen on a test or shift set.

A dataset's *role* says what it is for: choices are made on the set with role `held_out`; sets with
role `test` and `shift` are reported, never chosen on. Roles are a mapping from dataset to role.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modelsoups.base.files import publish
from modelsoups.evaluation.failures import why_no_logits
from modelsoups.evaluation.logits import Logits, read_logits
from modelsoups.evaluation.metrics import METRICS_OF, Metric, MetricOption, metric_of, name_of
from modelsoups.evaluation.targets import kind_of

Kind = Literal["initialization", "start", "run", "average", "soup", "ensemble"]
COLUMNS = ("model", "kind", "dataset", "metric", "value", "n")  # accuracy is a fraction
KEY = ["model", "dataset", "metric"]


def score(outputs: Logits, own: Sequence[MetricOption] = ()) -> dict[str, float]:
    """Every metric of a model on a dataset that takes no groups.

    What reads predictions reads the stored ones, which no rounding to float16 has touched.

    Args: own: metrics of the user's own (`metrics.metric_of`); the value is what they return.
    Raises: ValueError if two metrics have one name.
    """
    logits = outputs.logits
    of = {"predictions": outputs.predictions, "logits": logits}
    metrics = METRICS_OF[kind_of(outputs.labels)]
    found = {
        name: _value(metric, of[metric.reads], outputs.labels)
        for name, metric in metrics.items()
        if not metric.by_group
    }
    for each in own:
        name = name_of(each)
        if name in found:
            raise ValueError(
                f"{each}: there is another metric {name}; give the function a new name"
            )
        wide = logits.astype(np.result_type(logits, np.float32))
        found[name] = _value(metric_of(each), wide, outputs.labels)
    return found


def _value(metric: Metric, read: np.ndarray, labels: np.ndarray) -> float:
    """What tables show of a metric: as its function has it, be more better or less."""
    value = metric.of(read, labels)
    return 1 - value if metric.lower else value


def score_files(
    paths: Sequence[str | Path],
    models: Sequence[str],
    kinds: Sequence[str],
    datasets: Sequence[str],
    own: Sequence[MetricOption] = (),
) -> pd.DataFrame:
    """Tidy scores of files of logits, one row a model, dataset and metric, in the order given.

    A run that failed and was skipped has none.

    Args:
        paths, models, kinds, datasets: parallel sequences, the n-th file has the logits of the n-th
            model, of the n-th kind, on the n-th dataset.
        own: of `score`.
    Returns: columns `COLUMNS`; n is the number of images.
    Raises: ValueError if lengths differ or the files do not make a valid table.
    """
    rows = []
    for path, model, kind, dataset in zip(paths, models, kinds, datasets, strict=True):
        if why_no_logits(path) is not None:
            continue
        outputs = read_logits(path)
        for metric, value in score(outputs, own).items():
            rows.append((model, kind, dataset, metric, value, len(outputs.labels)))
    scores = pd.DataFrame(rows, columns=list(COLUMNS))
    _check("the files given", scores)
    return scores


def write_scores(path: str | Path, scores: pd.DataFrame) -> None:
    """Write tidy scores, atomically."""
    _check(path, scores)
    with publish(path) as draft:
        pq.write_table(pa.Table.from_pandas(scores, preserve_index=False), draft)


def read_scores(path: str | Path) -> pd.DataFrame:
    """Read tidy scores: model, kind, dataset, metric, value, n.

    Raises: ValueError if a column is missing, a kind unknown or a score there twice.
    """
    scores = pd.read_parquet(path)
    _check(path, scores)
    return scores[list(COLUMNS)]


def accuracies_by_model(
    scores: pd.DataFrame, datasets: Sequence[str]
) -> tuple[pd.DataFrame, pd.Series]:
    """Accuracies, one row a model and one column a dataset, and the datasets' numbers of images.

    Raises: ValueError if a model lacks an accuracy or a dataset has not one number of images.
    """
    scores = scores[scores["metric"] == "accuracy"]
    accuracies = scores.pivot(index="model", columns="dataset", values="value")
    accuracies = accuracies.reindex(columns=datasets)
    if (missing := accuracies.isna().stack()).any():
        raise ValueError(
            f"expected an accuracy of every model on {list(datasets)}, found none for "
            f"{list(missing.index[missing])}; evaluate these models on these datasets"
        )
    sizes = scores.groupby("dataset")["n"].agg(["min", "max"]).loc[datasets]
    if len(different := sizes[sizes["min"] != sizes["max"]]):
        raise ValueError(
            f"expected one number of images a dataset, found {different.T.to_dict('list')}; "
            "evaluate all models on one version of the dataset"
        )
    return accuracies, sizes["min"]


def datasets_of(roles: Mapping[str, str], role: str) -> list[str]:
    """The datasets with a role, in the order of the mapping."""
    return [dataset for dataset, found in roles.items() if found == role]


def the_dataset(roles: Mapping[str, str], role: str) -> str:
    """The one dataset with a role; a ValueError if there is none or several."""
    if len(found := datasets_of(roles, role)) != 1:
        raise ValueError(
            f"expected one dataset with role {role}, found {found or 'none'} in {dict(roles)}; "
            "correct the roles in the config"
        )
    return found[0]


def require_held_out(dataset: str, roles: Mapping[str, str]) -> None:
    """Raise a ValueError unless the dataset's role is held_out: the guard of all that selects."""
    if (role := roles.get(dataset)) != "held_out":
        raise ValueError(
            f"{dataset}: choosing needs a dataset with role held_out, found role {role}; "
            "a choice made on a test or shift set would flatter the result, "
            f"choose on {' or '.join(datasets_of(roles, 'held_out')) or 'a held-out set'}"
        )


def rank(
    scores: pd.DataFrame, dataset: str, roles: Mapping[str, str], metric: str = "accuracy"
) -> pd.Series:
    """Scores on the held-out set by model, best first.

    Of equal scores the later row comes first, as in the order of the greedy soup.

    Raises: ValueError if the dataset is not a held-out set or has no scores.
    """
    require_held_out(dataset, roles)
    chosen = scores[(scores["dataset"] == dataset) & (scores["metric"] == metric)]
    if chosen.empty:
        raise ValueError(
            f"expected scores with metric {metric} on {dataset}, found datasets "
            f"{sorted(set(scores['dataset']))} and metrics {sorted(set(scores['metric']))}; "
            "evaluate the models on it"
        )
    return chosen.set_index("model")["value"].sort_values(kind="stable")[::-1]


def _check(where: str | Path, scores: pd.DataFrame) -> None:
    if missing := [name for name in COLUMNS if name not in scores]:
        raise ValueError(
            f"{where}: column {', '.join(missing)} is missing, found {', '.join(scores)}; "
            "delete the file and run again"
        )
    if unknown := sorted(set(scores["kind"]) - set(get_args(Kind))):
        raise ValueError(
            f"{where}: expected kinds {', '.join(get_args(Kind))}, found {', '.join(unknown)}"
        )
    if (twice := scores.duplicated(KEY)).any():
        first = ", ".join(scores.loc[twice, KEY].iloc[0])
        raise ValueError(
            f"{where}: {twice.sum()} scores are there twice, the first is {first}; "
            "give every model a name of its own"
        )
