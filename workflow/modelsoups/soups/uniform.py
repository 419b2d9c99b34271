"""The uniform soup: the mean of all candidates (paper Sec. 2)."""

from collections.abc import Sequence
from pathlib import Path

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool, of_the_best, soup_of_all
from modelsoups.soups.registry import UniformSpec
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
    kept_as_is, whose = of_the_best(spec, candidates, accuracies)
    weights |= kept_as_is
    if spec.statistics == "estimate":
        held_out.pour(weights, "the uniform soup")
        weights |= held_out.estimate()
    coefficients = [1 / len(candidates)] * len(candidates)
    name = "the uniform soup"
    return soup_of_all(weights, coefficients, candidates, accuracies, held_out, name, **whose)
