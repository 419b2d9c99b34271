"""Ensembles: the average of models' logits, made from stored logits without any forward pass.

"We ensemble the logits (unnormalized outputs) of models" (paper Section 3.1): the mean of raw
logits, every ingredient alike. The greedy ensemble picks its ingredients as Recipe 1 picks those of
the greedy soup. Files are read one at a time into a running float64 sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelsoups.base.files import sha256, versions
from modelsoups.evaluation.failures import without_failures
from modelsoups.evaluation.logits import (
    check_same_images,
    read_logits,
    read_predictions,
    write_logits,
)
from modelsoups.evaluation.metrics import accuracy
from modelsoups.evaluation.scores import the_dataset
from modelsoups.soups.greedy import GreedySpec, choose, order_candidates
from modelsoups.soups.rejection import Attempt

Files = Mapping[str, Path]  # model -> its logits on one dataset


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec:
    """How an ensemble is made."""

    kind: Literal["uniform", "greedy"]  # of all candidates, or of those that help on the held-out
    order: Literal["held-out", "random"] = "held-out"  # greedy: by accuracy, best first, or seeded
    seed: int = 0  # greedy: of the random order
    accept_ties: bool = False  # greedy: also keep a candidate that leaves accuracy as it was

    def __post_init__(self) -> None:
        for name, allowed in (("kind", ("uniform", "greedy")), ("order", ("held-out", "random"))):
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"ensemble: {name} is {value!r}, allowed: {', '.join(allowed)}")


def choose_ingredients(spec: EnsembleSpec, held_out: Files) -> list[dict[str, Any]]:
    """The candidates in the order they were tried, each with its decision.

    Greedy decides as the greedy soup does (`soups.greedy`), on the accuracy of mean logits.

    Args: held_out: every candidate's logits on the held-out set, in the order of the pool.
    Returns: name, held_out_accuracy (of the candidate alone), decision (kept or rejected) and, for
        greedy, score: held-out accuracy of the ensemble with it.
    """
    names, paths = list(held_out), list(held_out.values())
    accuracies = [_stored_accuracy(path) for path in paths]
    if spec.kind == "uniform":
        return [
            {"name": name, "held_out_accuracy": alone, "decision": "kept"}
            for name, alone in zip(names, accuracies, strict=True)
        ]
    recipe = GreedySpec(order=spec.order, seed=spec.seed, accept_ties=spec.accept_ties)
    order = order_candidates(accuracies, recipe)
    running = _RunningSum([paths[i] for i in order])
    decisions = choose(
        [names[i] for i in order],
        [accuracies[i] for i in order],
        recipe,
        attempt=running.attempt,
        keep=running.keep,
    )
    return [asdict(decision) for decision in decisions]


class _RunningSum:
    """The summed logits of the ensemble so far, and with the candidate last attempted.

    Predictions of a sum are those of the mean.
    """

    def __init__(self, paths: Sequence[Path]):
        self._paths = paths
        self._first = self._offered = read_logits(paths[0])
        self._sum = np.zeros(self._first.logits.shape)
        self._trial = np.empty_like(self._sum)  # reused: fresh memory costs more than the sums

    def attempt(self, place: int, to_beat: float | None) -> Attempt:
        """Score the ensemble with the candidate at a place."""
        self._offered = read_logits(self._paths[place])
        check_same_images(self._paths[0], self._first, self._paths[place], self._offered)
        np.add(self._sum, self._offered.logits, out=self._trial)
        score = accuracy(self._trial, self._offered.labels)
        return Attempt(score=score, bound=None, images_evaluated=len(self._trial))

    def keep(self, place: int) -> None:
        """Add the candidate last attempted."""
        self._sum += self._offered.logits


def mean_logits(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of models' raw logits: logits (n, C) float64 and labels (n,) (paper Section 3.1)."""
    first = read_logits(paths[0])
    total = first.logits.astype(np.float64)
    for path in paths[1:]:
        outputs = read_logits(path)
        check_same_images(paths[0], first, path, outputs)
        total += outputs.logits
    return total / len(paths), first.labels


def make_ensemble(
    spec: EnsembleSpec,
    *,
    model: str,
    sweep: str,
    files: Mapping[str, Files],
    roles: Mapping[str, str],
    outputs: Files,
    dtype: Literal["float32", "float16"] = "float32",
) -> dict[str, Any]:
    """Choose on the held-out set, write the ensemble's logits on every dataset, return its record.

    Args:
        model, sweep: names of the ensemble and of its sweep.
        files: dataset -> candidate -> its logits.
        roles: dataset -> role. outputs: dataset -> where to write. dtype: of the stored logits.
    Returns: the content of record.json; `inputs` has the SHA-256 of each candidate's held-out
        logits, which is what the choice depends on.
    Raises: ValueError unless just one of the datasets has role held_out.
    """
    held_out = the_dataset({dataset: roles[dataset] for dataset in files}, "held_out")
    kept, skipped = without_failures(list(files[held_out]), list(files[held_out].values()))
    pool = {name: files[held_out][name] for name in kept}
    candidates = choose_ingredients(spec, pool)
    ingredients = [c["name"] for c in candidates if c["decision"] == "kept"]
    made_by = {"model": model, "kind": "ensemble", "sweep": sweep, "recipe": asdict(spec)}
    for dataset, output in outputs.items():
        logits, labels = mean_logits([files[dataset][name] for name in ingredients])
        metadata = {"dataset": dataset, **made_by, "ingredients": ingredients}
        write_logits(output, logits, labels, metadata, dtype)
    return {
        **made_by,
        "candidates": candidates,
        "ingredients": ingredients,
        "coefficients": [1 / len(ingredients)] * len(ingredients),
        "held_out_accuracy": _stored_accuracy(outputs[held_out]),
        "skipped": skipped,
        "inputs": {name: sha256(path) for name, path in pool.items()},
        "versions": versions(),
    }


def group_files(
    paths: Sequence[str], datasets: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, Path]]:
    """Dataset -> name -> file, from files listed dataset by dataset and within one name by name."""
    grouped: dict[str, dict[str, Path]] = {dataset: {} for dataset in datasets}
    for (dataset, name), path in zip(product(datasets, names), paths, strict=True):
        grouped[dataset][name] = Path(path)
    return grouped


def _stored_accuracy(path: Path) -> float:
    table = read_predictions(path)
    return float((table["prediction"] == table["label"]).mean())
