"""The weighted soup: candidates with coefficients that the config gives."""

from collections.abc import Sequence
from pathlib import Path

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool, of_the_best, soup_of_all
from modelsoups.soups.registry import WeightedSpec
from modelsoups.weights.average import average


def weighted(
    spec: WeightedSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The sum of the candidates that have a coefficient, each times its own.

    Raises: ValueError if the config names a model that is no candidate.
    """
    accuracies = check_pool(candidates, held_out)
    names = [candidate.name for candidate in candidates]
    if unknown := sorted(spec.coefficients.keys() - {*names}):
        raise ValueError(f"weighted: {unknown} are no candidates; these are {', '.join(names)}")
    pairs = zip(candidates, accuracies, strict=True)
    chosen = [(each, accuracy) for each, accuracy in pairs if each.name in spec.coefficients]
    coefficients = [float(spec.coefficients[each.name]) for each, _ in chosen]
    weights = average([each.weights for each, _ in chosen], coefficients)
    kept_as_is, whose = of_the_best(spec, candidates, accuracies)
    weights |= kept_as_is
    return soup_of_all(
        weights,
        coefficients,
        [each for each, _ in chosen],
        [accuracy for _, accuracy in chosen],
        held_out,
        "the weighted soup",
        **whose,
    )
