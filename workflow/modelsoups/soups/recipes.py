"""Cooking: from a pool of candidates to one soup, its file, its record and what it took.

`registry` has the recipes; each is a function in a module of its own, imported when it is cooked.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelsoups.base.files import cached_sha256, versions, write_json
from modelsoups.base.progress import Trace
from modelsoups.evaluation.failures import without_failures
from modelsoups.soups.costs import measure
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.registry import RECIPES, full_config, function_of, parse_recipe
from modelsoups.weights.checkpoints import write_weights


def cook(
    recipe: Mapping[str, Any],
    *,
    model: str,
    sweep: str,
    names: Sequence[str],
    weights: Sequence[str | Path],
    logits: Sequence[str | Path],
    held_out: HeldOut,
    held_out_files: Sequence[str | Path],
    output: str | Path,
    record: str | Path,
    cost: str | Path,
    initialization: str | Path | None = None,
) -> None:
    """Cook a soup; write its weights, its record and what it took.

    If interrupted, the next call goes on.

    Args:
        recipe: config of a recipe, see `registry.parse_recipe`.
        model, sweep: names of the soup and its sweep.
        names, weights, logits: of the candidates, in the order of the pool; logits are those on
            the held-out set.
        held_out: the held-out set, and held_out_files: what it was read from, examples and labels.
        output, record, cost: files to write.
        initialization: weights that fine-tuning started from, where there are such.
    """
    spec = parse_recipe(recipe)
    kept, skipped = without_failures(names, logits)
    candidates = [
        Candidate(name=name, weights=Path(path), logits=Path(stored))
        for name, path, stored in zip(names, weights, logits, strict=True)
        if name in kept
    ]
    start = None if initialization is None else Path(initialization)
    # Whatever decides the result: a soup that was interrupted goes on only if all are the same.
    inputs = {candidate.name: cached_sha256(candidate.weights) for candidate in candidates}
    chosen_on = {
        "files": [cached_sha256(path) for path in held_out_files],
        "logits": {candidate.name: cached_sha256(candidate.logits) for candidate in candidates},
        **({} if start is None else {"initialization": cached_sha256(start)}),
    }
    made_by = {"model": model, "kind": "soup", "sweep": sweep, "recipe": full_config(recipe)}
    progress = Path(output).with_name(f"{model}.progress.json")
    trace = Trace(progress, [made_by, inputs, chosen_on])
    function = function_of(RECIPES[recipe["kind"]])
    soup, took = measure(
        lambda: function(spec, candidates, held_out, trace, start),
        held_out,
        resumed=trace.load() is not None,
    )
    result = {
        "candidates": soup.candidates,
        "ingredients": soup.ingredients,
        "coefficients": soup.coefficients,
        **held_out.alone(soup.held_out_score),
        **({} if held_out.kind == "class" else {"reports": held_out.reports}),
        **soup.details,
        "skipped": skipped,
        "inputs": inputs,
        "chosen_on": chosen_on,
        "versions": versions(),
    }
    provenance = {key: result[key] for key in ("ingredients", "coefficients", "inputs")}
    write_weights(output, soup.weights, {**made_by, **provenance})
    write_json(record, {**made_by, **result})
    write_json(cost, took)
    trace.remove()
