"""What a diagnosis knows of a pool: measured by `diagnose`, judged by `verdicts`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelsoups.diagnosis.distances import Geometry, HeadMatch
from modelsoups.diagnosis.trials import Line
from modelsoups.evaluation.statistics import Estimate


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """One model of the pool beside the others."""

    score: float  # alone, by the deciding metric
    against_best: Estimate  # its score less that of the reference
    relabelled: float | None = None  # its accuracy if predicted classes had the best names
    moved: float | None = None  # distance from the start, relative to the weights' length
    match: HeadMatch | None = None  # its classifier beside the typical one
    statistics: float = 0.0  # of its BatchNorms: distance from the models' median
    re_estimated: Estimate | None = None  # alone, its score with statistics estimated, less without
    line: Line | None = None  # from the reference to it
    without: Estimate | None = None  # the soup of all others less the soup of all
    dtype: str | None = None  # if it is half precision
    settings: Mapping[str, Any] = field(default_factory=dict)  # hyper-parameters, if known
    decisions: Mapping[str, str] = field(default_factory=dict)  # recipe -> what became of it


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A pool, measured."""

    models: Mapping[str, ModelFacts]  # those that were compared
    failed: Mapping[str, str]  # runs that failed or have values that are not finite -> why
    misfits: Mapping[str, str]  # models with other tensors -> which
    geometry: Geometry  # of the start, if it is known, and these models
    start: str | None  # its name there
    start_score: float | None
    over_start: Estimate | None  # the reference's score less the start's
    reference: str  # the best model of the largest family
    metric: str  # that decides
    is_share: bool  # whether its values are between 0 and 1
    num_examples: int
    soup: Estimate  # the uniform soup's score less the reference's
    soup_score: float
    # With the statistics of its BatchNorms estimated on examples, less without.
    re_estimated: Estimate | None
    soups: Mapping[str, Estimate]  # stored soups' scores less the reference's
    disagreement: float | None  # median part of examples with another value than the reference's
    blocks: Mapping[str, float]  # layer -> drop if it alone is halfway to the farthest model
    blocks_of: str | None  # which that is
    margin: float
    # Once causes are found:
    stays: Sequence[str] = ()  # models that nothing is wrong with
    rest: Estimate | None = None  # their uniform soup less the reference, if they are not all
    ensemble: Estimate | None = None  # the mean of their outputs, less the reference

    def distance(self, first: str, second: str) -> float:
        """Relative distance of two models."""
        names = list(self.geometry.names)
        return float(self.geometry.distances[names.index(first), names.index(second)])

    def worse(self, found: Estimate | None) -> bool:
        """Whether a difference is below zero by more than the margin, and surely below zero."""
        return found is not None and found.value < -self.margin and not found.high >= 0

    def better(self, found: Estimate | None, margin: float | None = None) -> bool:
        """Whether a difference is above zero by more than the margin, and surely above zero."""
        least = self.margin if margin is None else margin
        return found is not None and found.value > least and not found.low <= 0

    def show(self, value: float) -> str:
        """A score in print: a share in percent."""
        return f"{100 * value:.1f} %" if self.is_share else f"{value:.4g}"

    def show_difference(self, found: Estimate) -> str:
        """A difference in print, with its interval if there is one."""
        factor, digits, unit = (100, ".1f", " points") if self.is_share else (1, ".3g", "")
        text = f"{factor * found.value:+{digits}}"
        if not np.isnan(found.low):
            text += f" ({factor * found.low:+{digits}} to {factor * found.high:+{digits}})"
        return text + unit
