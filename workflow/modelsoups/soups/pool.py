"""What every recipe works with: a pool of candidates, the held-out set, and the soup it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelsoups.data.examples import Examples
from modelsoups.evaluation.evaluator import Evaluator, open_set
from modelsoups.evaluation.logits import read_logits, read_predictions
from modelsoups.evaluation.metrics import MetricOption, metric_for, metric_of, name_of, shown
from modelsoups.evaluation.own import OwnEvaluator, Unseen
from modelsoups.evaluation.targets import Kind, kind_of, no_targets
from modelsoups.weights.average import estimate_statistics
from modelsoups.weights.checkpoints import PREFIX, Weights, read_weights


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A model's weights offered to a recipe."""

    name: str  # in its own sweep, or `sweep/model`
    weights: Path
    logits: Path  # of this candidate alone on the held-out set


@dataclass(frozen=True, kw_only=True)
class Soup:
    """What a recipe made."""

    weights: Weights
    ingredients: list[str]  # in the order they were added, each once
    coefficients: Any  # (num_ingredients,) floats, or layer -> floats; sum 1
    candidates: list[dict[str, Any]]  # in the order tried, each with its decision
    held_out_score: float  # by the metric that is reported (`HeldOut.reports`); more is better
    details: dict[str, Any] = field(default_factory=dict)  # what else the recipe has to tell


class HeldOut:
    """The held-out examples and labels, and the evaluator that soups are poured into."""

    def __init__(
        self,
        evaluator: Evaluator,
        examples: Examples,
        labels: np.ndarray,
        groups: np.ndarray | None = None,
        reports: MetricOption | None = None,
    ):
        """On a GPU the examples are moved there.

        Args:
            labels: (n,) integers, or targets of another kind (`evaluation.targets`).
            groups: (n,) integers, -1 for none, for metrics of groups.
            reports: the metric that records have whatever a recipe chooses by; if left out that
                of the kind of targets, as accuracy.
        """
        if len(examples) != len(labels) or not len(labels):
            raise ValueError(
                "expected held-out examples with a label each, "
                f"found {len(examples)} examples and {len(labels)} labels"
            )
        self.evaluator = evaluator
        self.examples = examples.to(evaluator.device)
        labels = np.asarray(labels)
        self.labels = labels.astype(np.int64) if kind_of(labels) == "class" else labels
        self.groups = groups
        self.reports = metric_for(self.kind) if reports is None else reports
        self.batch_size = min(evaluator.batch_size, len(labels))
        self.num_images = 0  # that went through the model so far

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def kind(self) -> Kind:
        """The kind of targets."""
        return kind_of(self.labels)

    def pour(self, weights: Mapping[str, torch.Tensor], name: str) -> None:
        """Copy weights into the model. Args: name: of what they are, for errors."""
        self.evaluator.pour(weights, name)

    def batch(self, indices: np.ndarray) -> torch.Tensor:
        """What the model takes for these examples, on its device."""
        self.num_images += len(indices)
        return self.examples.batch(indices).to(self.evaluator.device)

    def score(self, metric: MetricOption, logits: np.ndarray) -> float:
        """A metric of logits (n, C) of all examples."""
        return metric_of(metric)(logits, self.labels, self.groups)

    def reported(self, logits: np.ndarray) -> float:
        """The score of logits (n, C) of all examples by the metric that is reported."""
        return self.score(self.reports, logits)

    def alone(self, score: float) -> dict[str, float]:
        """What a record has of a candidate alone. Args: score: by the metric that is reported."""
        return {f"held_out_{name_of(self.reports)}": shown(self.reports, score)}

    def estimate(self) -> Weights:
        """Normalisation statistics of the model on the held-out examples (labels unused).

        Whole batches in the examples' order; they replace those in the model and are returned.
        """
        starts = range(0, len(self) - self.batch_size + 1, self.batch_size)
        batches = (self.batch(np.arange(start, start + self.batch_size)) for start in starts)
        return estimate_statistics(self.evaluator.model, batches)

    def logits(self, indices: np.ndarray | None = None) -> np.ndarray:
        """Logits (len(indices), C) float32 of the model on these examples, by default on all.

        Raises: ValueError if they are NaN or infinite.
        """
        self.num_images += len(self) if indices is None else len(indices)
        return self.evaluator.outputs(self.examples, indices)


def open_held_out(
    evaluator: Evaluator,
    examples: str | Path | None,
    labels: str | Path | None,
    logits: str | Path,
    evaluate: Mapping[str, Any] | None = None,
    given: Any = None,
    groups: np.ndarray | None = None,
) -> HeldOut:
    """The held-out set of files, or that which an evaluator of the user's own looks at.

    Args:
        logits: of one of the models on it: tells how many examples the evaluator scores.
        evaluate: the metric that it is (`metrics.metric_of`); given: what it is given.
    """
    if evaluate is not None:
        count = len(read_logits(logits).logits)
        own: Any = OwnEvaluator(evaluator, evaluate["function"], given)
        return HeldOut(own, Unseen(count), no_targets(count), reports=evaluate)  # type: ignore[arg-type]
    assert examples is not None and labels is not None
    opened = open_set("the held-out set", examples, labels)
    return HeldOut(evaluator, opened.examples, opened.labels, groups)


def check_pool(
    candidates: Sequence[Candidate], held_out: HeldOut, metric: MetricOption | None = None
) -> list[float]:
    """Held-out score of each candidate, from its stored predictions or logits.

    Args: metric: by default that which is reported.
    Raises:
        ValueError: an empty pool, a name given twice, predictions of other examples, or no groups
            for a metric that needs them.
    """
    chosen = metric_of(held_out.reports if metric is None else metric)
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"expected a pool of differently named candidates, found {names}")
    scores = []
    for candidate in candidates:
        if chosen.reads == "predictions":
            stored = read_predictions(candidate.logits)
            labels, outputs = stored["label"].to_numpy(), stored["prediction"].to_numpy()
        else:
            read = read_logits(candidate.logits)
            labels = read.labels
            outputs = read.logits.astype(np.result_type(read.logits, np.float32))
        if not np.array_equal(labels, held_out.labels):
            raise ValueError(
                f"{candidate.logits}: its labels are not those of the held-out set ({len(labels)} "
                f"examples, expected {len(held_out)}); evaluate {candidate.name} on this held-out "
                "set"
            )
        scores.append(chosen.of(outputs, held_out.labels, held_out.groups))
    return scores


def of_the_best(
    spec: Any, candidates: Sequence[Candidate], scores: Sequence[float]
) -> tuple[Weights, dict[str, str]]:
    """The tensors that a recipe leaves as they are in the best candidate; none without patterns.

    Args:
        spec: with `only` and `except_`, patterns with `*` of names as the model has them.
        scores: of the candidates alone; of equal ones the later counts, as in a greedy soup.
    Returns: the tensors, and for the record whose they are.
    Raises:
        ValueError: a pattern that fits no tensor, or together they leave nothing to average.
    """
    if not spec.only and not spec.except_:
        return {}, {}
    best = max(range(len(scores)), key=lambda position: (scores[position], position))
    weights = read_weights(candidates[best].weights)
    own = {key: own_name(key) for key in weights}
    for pattern in (*spec.only, *spec.except_):
        if not any(fnmatchcase(name, pattern) for name in own.values()):
            some = ", ".join([*own.values()][:3])
            raise ValueError(f"{pattern!r} fits no tensor; their names are {some}, ...")

    def averaged(name: str) -> bool:
        inside = not spec.only or any(fnmatchcase(name, pattern) for pattern in spec.only)
        return inside and not any(fnmatchcase(name, pattern) for pattern in spec.except_)

    kept = {key: tensor for key, tensor in weights.items() if not averaged(own[key])}
    if len(kept) == len(weights):
        raise ValueError("`only` and `except` together leave no tensor to average")
    return kept, {"other_layers_of": candidates[best].name}


def own_name(key: str) -> str:
    """The name that a model made elsewhere has for a tensor, or that of this project's."""
    return key.removeprefix(PREFIX)


def record_of(decision: Any, held_out: HeldOut) -> dict[str, Any]:
    """What a record has of a decision, a dataclass that calls a candidate's score alone its
    accuracy."""
    fields = asdict(decision)
    name, alone = fields.pop("name"), fields.pop("held_out_accuracy")
    return {"name": name, **held_out.alone(alone), **fields}


def soup_of_all(
    weights: Weights,
    coefficients: Any,
    candidates: Sequence[Candidate],
    alone: Sequence[float],
    held_out: HeldOut,
    name: str,
    **details: Any,
) -> Soup:
    """The soup that has all candidates as ingredients, poured into the model and scored.

    Args:
        coefficients: as in `Soup`. alone: score of each candidate by what is reported.
        name: of the soup, for errors. details: what else the recipe has to tell.
    """
    held_out.pour(weights, name)
    return Soup(
        weights=weights,
        ingredients=[candidate.name for candidate in candidates],
        coefficients=coefficients,
        candidates=[
            {"name": candidate.name, **held_out.alone(score), "decision": "kept"}
            for candidate, score in zip(candidates, alone, strict=True)
        ],
        held_out_score=held_out.reported(held_out.logits()),
        details=details,
    )
