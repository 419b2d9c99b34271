"""Which examples each model of a sweep has right: what paired tests and their intervals read.

One table a sweep, and one a sweep and label set: `dataset` (or the name of the label set), `index`
(the example's place in it), and one boolean column a model. They are small enough to keep: a bit an
example and model. With a label set whose accuracy is averaged by class there is also `stratum`: the
class of an example there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from modelsoups.data.label_sets import is_right
from modelsoups.evaluation.failures import without_failures
from modelsoups.evaluation.logits import read_predictions
from modelsoups.evaluation.statistics import (
    mcnemar_test,
    permutation_test,
)

Models = Sequence[str]  # of one row of a table; their scores on an image are averaged


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """First minus second, on the same images."""

    difference: float  # of accuracies, fractions
    p: float  # two-sided, not corrected
    test: str  # mcnemar or permutation


def collect_correct(files: Mapping[str, Mapping[str, Path]]) -> pd.DataFrame:
    """Whether each model is right on each example. Runs that failed and were skipped are left out.

    Args: files: dataset -> model -> its logits.
    """
    parts = []
    for dataset, paths in files.items():
        stored = _read_kept(paths)
        right = {model: table["prediction"] == table["label"] for model, table in stored.items()}
        index = next(iter(stored.values()))["index"]
        parts.append(pd.DataFrame({"dataset": dataset, "index": index, **right}))
    return pd.concat(parts, ignore_index=True)


def judge_label_set(name: str, paths: Mapping[str, Path], labels: pd.DataFrame) -> pd.DataFrame:
    """As `collect_correct`, by a second label set of one dataset; `dataset` is the set's name.

    Args:
        paths: model -> its logits on that dataset.
        labels: what `make_label_set` gives for its examples; those without any label are left out.
    Raises: ValueError if there are not as many labels as examples.
    """
    stored = _read_kept(paths)
    index = next(iter(stored.values()))["index"]
    if len(labels) != len(index):
        raise ValueError(
            f"label set {name}: expected labels of the {len(index)} examples that models were "
            f"evaluated on, found {len(labels)}; make it again from the dataset's index"
        )
    right = {
        model: is_right(table["prediction"].to_numpy(), labels["labels"])
        for model, table in stored.items()
    }
    about = {"dataset": name, "index": index, **labels.filter(["stratum"])}
    return pd.DataFrame({**about, **right}).dropna().astype(dict.fromkeys(stored, bool))


def read_correct(paths: Sequence[str | Path]) -> pd.DataFrame:
    """The tables of a sweep and of its label sets as one; `stratum` is -1 where there is none."""
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    return table.fillna({"stratum": -1}) if "stratum" in table else table


def pack(right: np.ndarray) -> str:
    """Which examples (n,) are right, as text: four of them a hexadecimal digit."""
    return np.packbits(np.asarray(right, dtype=bool)).tobytes().hex()


def unpack(text: str, num_examples: int) -> np.ndarray:
    """What was packed: (n,) float64, 1 where right."""
    bits = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
    return np.unpackbits(bits, count=int(num_examples)).astype(np.float64)


def _read_kept(paths: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Model -> predictions, of those that did not fail."""
    kept, _ = without_failures(list(paths), list(paths.values()))
    return {model: read_predictions(paths[model]) for model in kept}


def accuracy_of(correct: pd.DataFrame, models: Models, datasets: Sequence[str]) -> float:
    """Unweighted mean over the datasets of the models' mean accuracy.

    Of a label set that is averaged by class it is the mean over the classes.
    """
    return float(np.mean([scores.mean() for scores in strata(correct, models, datasets)]))


def compare(
    correct: pd.DataFrame, first: Models, second: Models, datasets: Sequence[str]
) -> Comparison:
    """Compare two models, or means of models, on one dataset or on the mean of several.

    Two models on one dataset: exact McNemar, for ensembles too, whose predictions are right or
    wrong as any model's. Means of models, datasets or classes: a permutation test.
    """
    differences = minus(*(strata(correct, models, datasets) for models in (first, second)))
    if len(differences) == len(first) == len(second) == 1:
        test, rows = "mcnemar", correct["dataset"] == datasets[0]
        p = mcnemar_test(*(correct.loc[rows, models[0]].to_numpy() for models in (first, second)))
    else:
        test, p = "permutation", permutation_test(differences)
    difference = float(np.mean([d.mean() for d in differences]))
    return Comparison(difference=difference, p=p, test=test)


def minus(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The first scores minus the second ones of the same examples, set by set: (n,) each."""
    return [ours - theirs for ours, theirs in zip(first, second, strict=True)]


def strata(correct: pd.DataFrame, models: Models, datasets: Sequence[str]) -> list[np.ndarray]:
    """The models' mean score (n,) on each example, by the sets whose means count alike: a dataset
    each or, of a label set that is averaged by class, which is to be the only one, a class each."""
    parts = []
    for dataset in datasets:
        table = correct[correct["dataset"] == dataset]
        scores = table[list(models)].to_numpy(dtype=float).mean(axis=1)
        if "stratum" not in table or (table["stratum"] < 0).all():
            parts.append(scores)
        else:
            parts += [scores[places] for places in table.groupby("stratum").indices.values()]
    return parts
