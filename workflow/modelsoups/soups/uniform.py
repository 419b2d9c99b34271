"""The uniform soup: the mean of all candidates (paper Sec. 2)."""

from collections.abc import Sequence
from pathlib import Path

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool
from modelsoups.soups.registry import UniformSpec
from modelsoups.soups.rejection import score_all
from modelsoups.weights.average import average


def uniform(
    spec: UniformSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The mean of all candidates."""
    accuracies = check_pool(candidates, held_out)
    weights = average([candidate.weights for candidate in candidates])
    held_out.pour(weights, "the uniform soup")
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
