"""The interpolated soup: between the initialisation and a soup, and beyond if asked for.

    theta = theta_0 + (a + b depth) (soup - theta_0)

for every tensor, with the depth of its layer from 0 (embedding) to 1 (head; `weights.layers`).
b = 0 is WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903) of a soup; b > 0 keeps the first layers
nearer to the initialisation than the last ones, LiNeS (Wang et al., ICLR 2025, arXiv 2410.17146,
Sec. 5.3 on soups). a and a + b are multiples of `step` up to `largest`, b at least 0; the pair is
chosen on the held-out set alone, where WiSE-FT fixes a, or looks at shift sets.

The soup itself, a = 1 and b = 0, is tried first, then the others from the nearest on. One is taken
if it is strictly better than all before, so of equal ones the nearest to the soup. Early rejection
is that of the greedy soup. Statistics of BatchNorms go no further than the soup's: beyond them
a variance could be negative.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool
from modelsoups.soups.registry import InterpolatedSpec
from modelsoups.soups.rejection import (
    ORDER_COUNTS,
    attempt_early,
    contested_first,
    describe_rejection,
    order_is_free,
    why_in_full,
)
from modelsoups.soups.selection import Attempt
from modelsoups.study.search import INITIALIZATION
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import Weights, read_weights
from modelsoups.weights.layers import depths, layer_of

logger = logging.getLogger(__name__)


def interpolated(
    spec: InterpolatedSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The best on the held-out set on the way from the initialisation to the candidates' mean.

    The candidates are the pool, or the one soup that the spec names.
    """
    assert initialization is not None, "checked with the config"
    accuracies = check_pool(candidates, held_out)
    end = average([candidate.weights for candidate in candidates])
    line = Line(read_weights(initialization), end, held_out.evaluator.model)
    search = Search(spec, held_out)
    trials: list[dict[str, Any]] = trace.load() or []
    if trials:
        held_out.pour(line.at(**best_of(trials)), "the interpolated soup")
        search.restore(max(each["score"] for each in trials if each["score"] is not None))
    for a, b in pairs(spec)[len(trials) :]:
        held_out.pour(line.at(a, b), f"the interpolated soup of a = {a:g} and b = {b:g}")
        tried = search.attempt()
        trials.append({"a": a, "b": b, **asdict(tried)})
        logger.info("a = %g, b = %g: %s", a, b, tried)
        trace.save(trials)

    best = best_of(trials)
    weights = line.at(**best)
    held_out.pour(weights, "the interpolated soup")
    pool = [candidate.name for candidate in candidates]
    factors = line.factors(**best)
    names = list(dict.fromkeys([*pool, *[INITIALIZATION] * any(f != 1 for f in factors.values())]))
    coefficients = {
        layer: [
            (factor / len(pool) if name in pool else 0)
            + (1 - factor if name == INITIALIZATION else 0)
            for name in names
        ]
        for layer, factor in factors.items()
    }
    return Soup(
        weights=weights,
        ingredients=names,
        coefficients=coefficients if spec.by_depth else next(iter(coefficients.values())),
        candidates=[
            {"name": name, **held_out.alone(accuracy), "decision": "kept"}
            for name, accuracy in zip(pool, accuracies, strict=True)
        ],
        held_out_score=held_out.reported(held_out.logits()),
        details={
            **best,
            "trials": trials,
            "num_evaluated": sum(trial["num_evaluated"] for trial in trials),
            "num_of_full_evaluation": len(trials) * len(held_out),
            "early_rejection": describe_rejection(search.why_in_full()),
        },
    )


def pairs(spec: InterpolatedSpec) -> list[tuple[float, float]]:
    """Every a and b that is tried: 1 and 0, then the others from the nearest on."""
    grid = [round(i * spec.step, 9) for i in range(int(spec.largest / spec.step + 1e-9) + 1)]
    found = [
        (first, round(last - first, 9))
        for first in grid
        for last in grid
        if last == first or (spec.by_depth and last > first)
    ]
    found.sort(key=lambda pair: (abs(1 - pair[0]) + abs(1 - sum(pair)), -pair[0]))
    return list(dict.fromkeys([(1.0, 0.0), *found]))


def best_of(trials: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The a and b of the best trial, of equal ones the first."""
    scored = [trial for trial in trials if trial["score"] is not None]
    best = max(scored, key=lambda trial: trial["score"])
    return {"a": best["a"], "b": best["b"]}


class Line:
    """Weights between those of a start and of an end, layer by layer."""

    def __init__(self, start: Weights, end: Weights, model: nn.Module):
        """Args: model: says which tensors are statistics."""
        self._start, self._end = start, end
        self._keys = [key for key, tensor in start.items() if tensor.is_floating_point()]
        self._depths = depths(self._keys)
        self._statistics = {name for name, _ in model.named_buffers()}

    def factors(self, a: float, b: float) -> dict[str, float]:
        """Layer -> a + b times its depth."""
        return {layer: a + b * depth for layer, depth in self._depths.items()}

    def at(self, a: float, b: float) -> Weights:
        """The weights at these factors: 0 gives the start, 1 the end."""
        factors = self.factors(a, b)
        shares = {}
        for key in self._keys:
            factor = factors[layer_of(key)]
            factor = min(factor, 1) if key in self._statistics else factor
            shares[key] = (1 - factor, factor)
        return average([self._start, self._end], shares)


class Search:
    """The best so far of what has been in the model: its score and its logits."""

    def __init__(self, spec: InterpolatedSpec, held_out: HeldOut):
        self._metric, self._held_out = spec.metric, held_out
        self._best: float | None = None
        self._logits = np.empty((0, 0))  # (n, C) of the best
        self._order_is_free = True

    def restore(self, best: float) -> None:
        """Take what is in the model as the best so far, with this score."""
        self._best, self._logits = best, self._held_out.logits()
        self._check_order()

    def _check_order(self) -> None:
        if self._held_out.kind != "score":  # which is of all examples at once
            self._order_is_free, _ = order_is_free(self._held_out, self._logits)

    def attempt(self) -> Attempt:
        """Score what is in the model, as far as it takes to know whether it is better."""
        held_out, metric = self._held_out, self._metric
        logits: np.ndarray | None
        if self._best is None or self.why_in_full():
            logits = held_out.logits()
            score = held_out.score(metric, logits)
            tried = Attempt(score=score, bound=None, num_evaluated=len(logits))
        else:
            order = contested_first(self._logits, held_out, metric)
            tried, logits = attempt_early(held_out, metric, order, self._best, accept_ties=False)
        is_first = self._best is None
        if tried.score is not None and (self._best is None or tried.score > self._best):
            assert logits is not None
            self._best, self._logits = tried.score, logits
        if is_first:
            self._check_order()
        return tried

    def why_in_full(self) -> str:
        """Why every trial is evaluated on all examples; empty if a part can reject it."""
        if not self._order_is_free:
            return ORDER_COUNTS
        return why_in_full(self._metric, self._logits.shape[1])
