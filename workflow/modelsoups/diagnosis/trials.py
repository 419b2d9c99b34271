"""What soups of a pool score: between two models, one block at a time, without one of all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from modelsoups.evaluation.statistics import Estimate, estimate, paired_difference
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import Model, Source, Weights, open_source, read_whole

# Metric -> a value an example (n,), or one of all (1,). The first metric decides, and is higher
# where a model is better; a metric named `loss` is lower.
Scores = Mapping[str, np.ndarray]
Evaluate = Callable[[Weights], Scores]

ALPHAS = (0.25, 0.5, 0.75)


def decisive(scores: Scores) -> np.ndarray:
    """The values of the metric that decides."""
    return next(iter(scores.values()))


def compare(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Mean of the first minus the second, which are of the same examples, with its interval.

    Of a single value nothing is known but itself: its interval is NaN.
    Raises: ValueError if they are not as many.
    """
    if len(first) != len(second):
        raise ValueError(
            f"expected scores of the same examples for all weights, found {len(first)} and "
            f"{len(second)} of them; evaluate all on the same ones, in one order"
        )
    return paired(np.asarray(first, float) - np.asarray(second, float))


def paired(differences: np.ndarray) -> Estimate:
    """Mean of differences (n,), one an example."""
    count = len(differences)
    if count > 1 and np.abs(differences).max() <= 1:
        return paired_difference([differences])
    error = float(np.std(differences, ddof=1)) / count**0.5 if count > 1 else float("nan")
    return estimate(float(differences.mean()), error, max(count - 1, 1))


def examples_to_tell(found: Estimate, num_examples: int, difference: float) -> int:
    """About how many examples it takes until an interval is half as wide as a difference."""
    width = (found.high - found.low) / 2
    return int(np.ceil(num_examples * (width / difference) ** 2))


@dataclass(frozen=True, kw_only=True)
class Line:
    """Scores on the way from one model to another."""

    scores: Mapping[float, Scores]  # alpha, 0 and 1 included

    def values(self, metric: str) -> dict[float, float]:
        """Alpha -> mean of a metric."""
        return {alpha: float(scores[metric].mean()) for alpha, scores in self.scores.items()}

    @property
    def middle(self) -> Estimate:
        """The deciding metric in the middle, less the mean of both ends: the barrier, if below 0.

        Always in the middle: the lowest of several would be below by chance.
        """
        ends = (decisive(self.scores[0.0]) + decisive(self.scores[1.0])) / 2
        return compare(decisive(self.scores[0.5]), ends)


def along_line(
    first: Model, second: Model, ends: tuple[Scores, Scores], evaluate: Evaluate
) -> Line:
    """Scores between two models. Args: ends: those of the models themselves."""
    between = {a: evaluate(average([first, second], [1 - a, a])) for a in ALPHAS}
    return Line(scores={0.0: ends[0], **between, 1.0: ends[1]})


def block_by_block(
    first: Model, second: Model, layer_of: Callable[[str], str], evaluate: Evaluate
) -> dict[str, Scores]:
    """Layer -> scores of the first model with that layer alone in the middle of both."""
    keys = [
        key
        for key, entry in open_source(first, "the first").entries.items()
        if entry.dtype.is_floating_point
    ]
    found = {}
    for layer in dict.fromkeys(map(layer_of, keys)):
        halves = {key: (0.5, 0.5) if layer_of(key) == layer else (1.0, 0.0) for key in keys}
        found[layer] = evaluate(average([first, second], halves))
    return found


def without_each(
    models: Mapping[str, Model], soup: Weights, evaluate: Evaluate
) -> dict[str, Scores]:
    """Model -> scores of the uniform soup of all others.

    The model is taken out of a float64 sum of all, so that one with huge weights leaves no rounding
    error that matters. Args: soup: of all, for what is not averaged.
    """
    sources = {name: open_source(model, name) for name, model in models.items()}
    keys = [key for key, tensor in soup.items() if tensor.is_floating_point()]
    total = {key: sum_of(sources, key) for key in keys}
    found = {}
    for name, source in sources.items():
        others = dict(soup)
        for key in keys:
            rest = total[key] - read_whole(source, key).double()
            others[key] = (rest / (len(models) - 1)).to(soup[key].dtype)
        found[name] = evaluate(others)
    return found


def sum_of(sources: Mapping[str, Source], key: str) -> torch.Tensor:
    """The sum of a tensor over models: float64."""
    total = torch.zeros(next(iter(sources.values())).entries[key].shape, dtype=torch.float64)
    for source in sources.values():
        total += read_whole(source, key)
    return total
