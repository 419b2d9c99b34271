"""Accuracy against the number of models considered, in random orders (paper Figure B.1).

For every k the first k runs of an order are the pool: the best of them on the held-out set, their
uniform and greedy soups and ensembles, each made as in Table 2 (greedy sorts its pool by held-out
accuracy). A soup or ensemble that several pools agree on is evaluated once.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelsoups.analyses.mixes import Kitchen
from modelsoups.evaluation.logits import read_logits
from modelsoups.evaluation.metrics import accuracy
from modelsoups.soups.ensembles import mean_logits
from modelsoups.soups.greedy import GreedySpec, choose, order_candidates
from modelsoups.soups.rejection import Attempt

Ingredients = tuple[str, ...]  # sorted, so that a set has one name


def grow(
    kitchen: Kitchen,
    files: Mapping[str, Mapping[str, Path]],
    runs: Sequence[str],
    held_out: str,
    num_orders: int,
    seed: int,
) -> pd.DataFrame:
    """Accuracy of every method on every dataset for 1..len(runs) models in each order.

    Args:
        kitchen: has the runs' weights and every dataset of `files`.
        files: dataset -> run -> its logits; the held-out set is one of the datasets.
        runs: the pool. seed: of the first order; the next ones count on.
    Returns: order, k, method, ingredients (joined by a space), dataset, metric (`accuracy`), value,
        n.
    """
    cache: dict[tuple[str, Ingredients, str], float] = {}

    def soup(ingredients: Ingredients, dataset: str) -> float:
        if len(ingredients) == 1:
            return single(ingredients[0], dataset)
        key = ("soup", ingredients, dataset)
        if key not in cache:
            kitchen.pour(dict.fromkeys(ingredients, 1 / len(ingredients)))
            cache[key] = accuracy(kitchen.logits(dataset), kitchen.labels(dataset))
        return cache[key]

    def ensemble(ingredients: Ingredients, dataset: str) -> float:
        key = ("ensemble", ingredients, dataset)
        if key not in cache:
            logits, labels = mean_logits([files[dataset][name] for name in ingredients])
            cache[key] = accuracy(logits, labels)
        return cache[key]

    def single(run: str, dataset: str) -> float:
        key = ("run", (run,), dataset)
        if key not in cache:
            stored = read_logits(files[dataset][run])
            cache[key] = float((stored.predictions == stored.labels).mean())
        return cache[key]

    rows: list[dict[str, Any]] = []
    for order in range(num_orders):
        shuffled = [runs[i] for i in np.random.default_rng(seed + order).permutation(len(runs))]
        for k in range(1, len(runs) + 1):
            pool = sorted(shuffled[:k], key=runs.index)  # in the sweep's order, as for ties
            alone = [single(run, held_out) for run in pool]
            best = pool[order_candidates(alone, GreedySpec())[0]]
            methods = {
                "Best individual model": (soup, (best,)),
                "Uniform soup": (soup, tuple(pool)),
                "Greedy soup": (soup, pick(pool, alone, lambda i: soup(i, held_out))),
                "Ensemble": (ensemble, tuple(pool)),
                "Greedy ensemble": (ensemble, pick(pool, alone, lambda i: ensemble(i, held_out))),
            }
            for method, (score, ingredients) in methods.items():
                about = {"order": order, "k": k, "method": method}
                about |= {"ingredients": " ".join(ingredients)}
                for dataset in files:
                    value = score(ingredients, dataset)
                    n = len(kitchen.labels(dataset))
                    rows.append(
                        {**about, "dataset": dataset, "metric": "accuracy", "value": value, "n": n}
                    )
    return pd.DataFrame(rows)


def pick(
    pool: Sequence[str], alone: Sequence[float], score: Callable[[Ingredients], float]
) -> Ingredients:
    """The ingredients that Recipe 1 keeps of a pool, in the pool's order.

    Args: alone: held-out accuracy of each; score: that of several together.
    """
    spec = GreedySpec()
    order = order_candidates(list(alone), spec)
    kept: list[str] = []

    def with_candidate(place: int) -> Ingredients:
        return tuple(sorted([*kept, pool[order[place]]], key=pool.index))

    def attempt(place: int, to_beat: float | None) -> Attempt:
        return Attempt(score=score(with_candidate(place)), bound=None, images_evaluated=0)

    choose(
        [pool[i] for i in order],
        [alone[i] for i in order],
        spec,
        attempt=attempt,
        keep=lambda place: kept.append(pool[order[place]]),
    )
    return tuple(sorted(kept, key=pool.index))
