"""Recipes: from a pool of candidates to one soup, its file and its record.

A recipe is a function and a spec in `RECIPES`; its kind is the word in the config.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from modelsoups.base.files import sha256, versions, write_json
from modelsoups.evaluation.failures import without_failures
from modelsoups.soups.greedy import GreedySpec, greedy
from modelsoups.soups.learned import LearnedSpec, learned
from modelsoups.soups.pool import Candidate, HeldOut, Soup, Trace, check_pool
from modelsoups.soups.rejection import score_all
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import write_weights


@dataclass(frozen=True, kw_only=True)
class UniformSpec:
    """The mean of all candidates (paper Sec. 2)."""

    statistics: Literal["average", "estimate"] = "average"  # of BatchNorms

    def __post_init__(self) -> None:
        if self.statistics not in ("average", "estimate"):
            raise ValueError(
                f"uniform: statistics is {self.statistics!r}, allowed: average, estimate"
            )


def uniform(
    spec: UniformSpec, candidates: Sequence[Candidate], held_out: HeldOut, trace: Trace
) -> Soup:
    """The mean of all candidates."""
    accuracies = check_pool(candidates, held_out)
    weights = average([candidate.weights for candidate in candidates])
    held_out.pour(weights)
    if spec.statistics == "estimate":
        weights |= held_out.estimate()
    names = [candidate.name for candidate in candidates]
    return Soup(
        weights=weights,
        ingredients=names,
        coefficients=[1 / len(names)] * len(names),
        candidates=[
            {"name": name, "held_out_accuracy": accuracy, "decision": "kept"}
            for name, accuracy in zip(names, accuracies, strict=True)
        ],
        held_out_accuracy=score_all("accuracy", held_out.logits(), held_out.labels),
    )


Recipe = Callable[[Any, Sequence[Candidate], HeldOut, Trace], Soup]
RECIPES: dict[str, tuple[type, Recipe]] = {
    "uniform": (UniformSpec, uniform),
    "greedy": (GreedySpec, greedy),
    "learned": (LearnedSpec, learned),
}


def parse_recipe(config: Mapping[str, Any]) -> tuple[Any, Recipe]:
    """Spec and function of a recipe's config: its `kind`, and the fields of the kind's spec.

    Raises:
        ValueError: no such kind or field; the message has those allowed.
    """
    kind = config.get("kind")
    if kind not in RECIPES:
        raise ValueError(f"recipe kind {kind!r} is unknown, allowed: {', '.join(RECIPES)}")
    spec, function = RECIPES[kind]
    allowed = [field.name for field in fields(spec)]
    if unknown := sorted(config.keys() - {"kind", *allowed}):
        raise ValueError(
            f"recipe of kind {kind}: {', '.join(unknown)} unknown, allowed: {', '.join(allowed)}"
        )
    return spec(**{key: value for key, value in config.items() if key != "kind"}), function


def cook(
    recipe: Mapping[str, Any],
    *,
    model: str,
    sweep: str,
    names: Sequence[str],
    weights: Sequence[str | Path],
    logits: Sequence[str | Path],
    held_out: HeldOut,
    output: str | Path,
    record: str | Path,
) -> None:
    """Cook a soup; write its weights and its record. If interrupted, the next call goes on.

    Args:
        recipe: config of a recipe, see `parse_recipe`.
        model, sweep: names of the soup and its sweep.
        names, weights, logits: of the candidates, in the order of the pool; logits are those on
            the held-out set.
        output, record: files to write.
    """
    spec, function = parse_recipe(recipe)
    kept, skipped = without_failures(names, logits)
    candidates = [
        Candidate(name=name, weights=Path(path), logits=Path(stored))
        for name, path, stored in zip(names, weights, logits, strict=True)
        if name in kept
    ]
    inputs = {candidate.name: sha256(candidate.weights) for candidate in candidates}
    recipe = {"kind": recipe["kind"], **asdict(spec)}
    made_by = {"model": model, "kind": "soup", "sweep": sweep, "recipe": recipe}
    trace = Trace(Path(output).with_name(f"{model}.progress.json"), [made_by, inputs])
    soup = function(spec, candidates, held_out, trace)
    result = {
        "candidates": soup.candidates,
        "ingredients": soup.ingredients,
        "coefficients": soup.coefficients,
        "held_out_accuracy": soup.held_out_accuracy,
        **soup.details,
        "skipped": skipped,
        "inputs": inputs,
        "versions": versions(),
    }
    provenance = {key: result[key] for key in ("ingredients", "coefficients", "inputs")}
    write_weights(output, soup.weights, {**made_by, **provenance})
    write_json(record, {**made_by, **result})
    trace.remove()
