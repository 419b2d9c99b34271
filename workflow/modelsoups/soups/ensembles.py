"""Ensembles: the average of models' logits, made from stored logits without any forward pass.

"We ensemble the logits (unnormalized outputs) of models" (paper Section 3.1): the mean of raw
logits, every ingredient alike. The greedy ensemble picks its ingredients as Recipe 1 picks those of
the greedy soup. Choosing reads the held-out logits alone; the other sets are averaged afterwards,
from the record of that choice. Files are read one at a time into a running float64 sum.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from modelsoups.base.files import cached_sha256, versions
from modelsoups.evaluation.failures import without_failures
from modelsoups.evaluation.logits import (
    check_same_images,
    read_logits,
    read_metadata,
    read_predictions,
    write_logits,
)
from modelsoups.evaluation.metrics import accuracy_of_predictions, metric_for, metric_of, shown
from modelsoups.evaluation.targets import kind_of
from modelsoups.soups.registry import (
    ENSEMBLES,
    GreedyEnsembleSpec,
    GreedySpec,
    UniformEnsembleSpec,
    full_config,
    function_of,
    parse_ensemble,
)
from modelsoups.soups.selection import Attempt, choose, order_candidates

Files = Mapping[str, Path]  # model -> its logits on one data set
Dtype = Literal["float32", "float16"]


def uniform(spec: UniformEnsembleSpec, held_out: Files) -> list[dict[str, Any]]:
    """Every candidate, kept: name, held_out_accuracy (of the candidate alone), decision.

    Of other targets than classes, here and below, what they are judged by stands for accuracy.
    """
    return [
        {"name": name, **score_for_record(path), "decision": "kept"}
        for name, path in held_out.items()
    ]


def greedy(spec: GreedyEnsembleSpec, held_out: Files) -> list[dict[str, Any]]:
    """The candidates in the order they were tried, each with its decision.

    Decided as the greedy soup is (`soups.selection`), on the accuracy of mean logits.

    Args: held_out: every candidate's logits on the held-out set, in the order of the pool.
    Returns: the fields of `selection.Decision`; `score` is the held-out accuracy of the ensemble
        with the candidate.
    """
    names, paths = list(held_out), list(held_out.values())
    accuracies = [score_of_file(path)[1] for path in paths]
    recipe = GreedySpec(order=spec.order, seed=spec.seed, accept_ties=spec.accept_ties)
    order = order_candidates(accuracies, recipe)
    running = RunningSum([paths[i] for i in order])
    decisions = choose(
        [names[i] for i in order],
        [accuracies[i] for i in order],
        recipe,
        attempt=running.attempt,
        keep=running.keep,
    )
    records = [asdict(decision) for decision in decisions]
    if score_of_file(paths[0])[0] == "accuracy":
        return records
    for each in records:
        del each["held_out_accuracy"]
    return [{**each, **score_for_record(held_out[each["name"]])} for each in records]


class RunningSum:
    """The summed logits of the ensemble so far, and with the candidate last attempted."""

    def __init__(self, paths: Sequence[Path]):
        self._paths = paths
        self._first = self._offered = read_logits(paths[0])
        self._sum = np.zeros(self._first.logits.shape)
        self._trial = np.empty_like(self._sum)  # reused: fresh memory costs more than the sums
        self._mean, self._count = self._trial, 0  # predictions of a sum are those of the mean

    def attempt(self, position: int, to_beat: float | None) -> Attempt:
        """Score the ensemble with the candidate at a position."""
        self._offered = read_logits(self._paths[position])
        check_same_images(self._paths[0], self._first, self._paths[position], self._offered)
        np.add(self._sum, self._offered.logits, out=self._trial)
        metric = metric_of(metric_for(kind_of(self._offered.labels)))
        if metric.reads == "logits":  # of the mean itself
            self._mean = self._trial / (self._count + 1)
        score = metric(self._mean, self._offered.labels)
        return Attempt(score=score, bound=None, num_evaluated=len(self._trial))

    def keep(self, position: int) -> None:
        """Add the candidate last attempted."""
        self._sum += self._offered.logits
        self._count += 1


def mean_logits(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of models' raw logits: logits (n, C) float64 and labels (n,) (paper Section 3.1)."""
    first = read_logits(paths[0])

    def each() -> Iterator[np.ndarray]:
        yield first.logits
        for path in paths[1:]:
            outputs = read_logits(path)
            check_same_images(paths[0], first, path, outputs)
            yield outputs.logits

    return mean_of(each()), first.labels


def mean_of(logits: Iterable[np.ndarray], factors: Sequence[float] | None = None) -> np.ndarray:
    """Mean of logits (n, C), each times its factor if there are factors: float64."""
    total, count = np.zeros(1), 0
    for values in logits:
        scaled = values if factors is None else factors[count] * values.astype(np.float64)
        total = scaled.astype(np.float64) if count == 0 else np.add(total, scaled, out=total)
        count += 1
    return total / count


def choose_ensemble(
    config: Mapping[str, Any],
    *,
    model: str,
    sweep: str,
    held_out: str,
    names: Sequence[str],
    logits: Sequence[str | Path],
    output: str | Path,
    dtype: Dtype = "float32",
) -> dict[str, Any]:
    """Choose an ensemble's ingredients, write its logits on the held-out set, return its record.

    Args:
        config: of an ensemble, see `registry.parse_ensemble`.
        model, sweep: names of the ensemble and of its sweep.
        held_out: name of the held-out set.
        names, logits: of the candidates, in the order of the pool; logits on the held-out set.
        output: where to write. dtype: of the stored logits.
    Returns: the content of record.json; `inputs` has the SHA-256 of each candidate's logits, which
        is what the choice depends on.
    Raises: ValueError if logits are those of another set: choices are made on the held-out set.
    """
    spec = parse_ensemble(config)
    files = dict(zip(names, map(Path, logits), strict=True))
    require_set(held_out, files)
    kept, skipped = without_failures(list(files), list(files.values()))
    pool = {name: files[name] for name in kept}
    candidates = function_of(ENSEMBLES[config["kind"]])(spec, pool)
    ingredients = [c["name"] for c in candidates if c["decision"] == "kept"]
    record = {
        **{"model": model, "kind": "ensemble", "sweep": sweep},
        "recipe": full_config(config, ensemble=True),
        "candidates": candidates,
        "ingredients": ingredients,
        "coefficients": [1 / len(ingredients)] * len(ingredients),
    }
    average_ensemble(record, {held_out: files}, {held_out: Path(output)}, dtype)
    return {
        **record,
        **score_for_record(output),
        "skipped": skipped,
        "inputs": {name: cached_sha256(path) for name, path in pool.items()},
        "versions": versions(),
    }


def average_ensemble(
    record: Mapping[str, Any],
    files: Mapping[str, Files],
    outputs: Files,
    dtype: Dtype = "float32",
) -> None:
    """Write an ensemble's logits on other sets: the mean of those of its ingredients.

    Args:
        record: of `choose_ensemble`. files: data set -> model -> its logits.
        outputs: data set -> where to write. dtype: of the stored logits.
    """
    made_by = {key: record[key] for key in ("model", "kind", "sweep", "recipe", "ingredients")}
    for dataset, output in outputs.items():
        if missing := [name for name in record["ingredients"] if name not in files[dataset]]:
            raise ValueError(
                f"ensemble {record['model']}: expected logits of all its ingredients on {dataset}, "
                f"found none of {', '.join(missing)}; choose it anew from the pool as it is now"
            )
        logits, labels = mean_logits([files[dataset][name] for name in record["ingredients"]])
        write_logits(output, logits, labels, {"dataset": dataset, **made_by}, dtype)


def require_set(dataset: str, files: Files) -> None:
    """Raise a ValueError unless all logits are those on this data set."""
    found = {name: read_metadata(path).get("dataset") for name, path in files.items()}
    if other := {name: on for name, on in found.items() if on != dataset}:
        name, on = next(iter(other.items()))
        raise ValueError(
            f"expected logits on the held-out set {dataset}, found those of {len(other)} models on "
            f"another set, the first are {name}'s on {on}; a choice made on a test or shift set "
            "would flatter the result"
        )


def group_files(
    paths: Sequence[str], datasets: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, Path]]:
    """Dataset -> name -> file, from files listed dataset by dataset and within one name by name."""
    grouped: dict[str, dict[str, Path]] = {dataset: {} for dataset in datasets}
    for (dataset, name), path in zip(product(datasets, names), paths, strict=True):
        grouped[dataset][name] = Path(path)
    return grouped


def score_of_file(path: str | Path) -> tuple[str, float]:
    """The metric that a file's kind of targets is judged by, and its score; more is better."""
    if "prediction" in pq.read_schema(path).names:
        stored = read_predictions(path)
        labels = stored["label"].to_numpy()
        return "accuracy", accuracy_of_predictions(stored["prediction"].to_numpy(), labels)
    outputs = read_logits(path)
    metric = metric_for(kind_of(outputs.labels))
    return metric, metric_of(metric)(outputs.logits.astype(np.float32), outputs.labels)


def score_for_record(path: str | Path) -> dict[str, float]:
    """The same as a record has it."""
    metric, score = score_of_file(path)
    return {f"held_out_{metric}": shown(metric, score)}
