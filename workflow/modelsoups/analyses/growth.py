"""Accuracy against the number of models considered, in random orders (Figures B.1, H.1 to H.4).

For every k the first k models of an order are the pool: the best of them on the held-out set, their
uniform and greedy soups and ensembles, each made as in Table 2. With all models the pool is that of
the sweep's recipes, the initialisation in it where it is in theirs, so that the last numbers are
Table 3's. Greedy is Recipe 1 with its defaults, whatever other recipes a study has: sorted by
held-out accuracy, of equals the later in the pool first. A soup or ensemble that several pools
agree on is evaluated once.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from modelsoups.analyses.mixes import Mixer
from modelsoups.analyses.parts import Parts
from modelsoups.evaluation.evaluator import EvaluationSet
from modelsoups.evaluation.failures import without_failures
from modelsoups.evaluation.logits import read_predictions
from modelsoups.evaluation.metrics import is_correct
from modelsoups.evaluation.paired import pack
from modelsoups.soups.ensembles import mean_logits
from modelsoups.soups.registry import GreedySpec
from modelsoups.soups.selection import Attempt, choose, order_candidates

Ingredients = tuple[str, ...]  # in the pool's order, so that a set has one name
Kind = Literal["soup", "ensemble"]


class Accuracies:
    """Accuracy of soups and ensembles of models of a pool; each is computed once."""

    def __init__(self, mixer: Mixer, files: Mapping[str, Mapping[str, Path]], parts: Parts):
        """files: data set -> model -> its logits. parts: what is finished already."""
        self._mixer, self._files, self._parts = mixer, files, parts
        self._alone: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, kind: Kind, ingredients: Ingredients, each: EvaluationSet) -> float:
        """Accuracy on a data set; a soup of one model has that of its stored predictions."""
        return self.row(kind, ingredients, each)["value"]

    def row(self, kind: Kind, ingredients: Ingredients, each: EvaluationSet) -> dict[str, Any]:
        """The same as columns of a table: value, and right (packed, `evaluation.paired`)."""
        if kind == "soup" and len(ingredients) == 1:
            return self._of_model(ingredients[0], each.dataset)
        name = " ".join((kind, *ingredients))
        found = self._parts.find(each.dataset, name)
        if found is None:
            right = self._measure(kind, ingredients, each)
            found = self._parts.add(each.dataset, name, [columns_of(right)])
        return found[0]

    def _of_model(self, model: str, dataset: str) -> dict[str, Any]:
        key = (model, dataset)
        if key not in self._alone:
            stored = read_predictions(self._files[dataset][model])
            self._alone[key] = columns_of((stored["prediction"] == stored["label"]).to_numpy())
        return self._alone[key]

    def _measure(self, kind: Kind, ingredients: Ingredients, each: EvaluationSet) -> np.ndarray:
        if kind == "soup":
            equal = dict.fromkeys(ingredients, 1 / len(ingredients))
            return is_correct(self._mixer.logits(each, equal), each.labels)
        return is_correct(*mean_logits([self._files[each.dataset][name] for name in ingredients]))


def columns_of(right: np.ndarray) -> dict[str, Any]:
    """Accuracy and which examples (n,) are right, as columns of a table."""
    return {"value": float(right.mean()), "right": pack(right)}


def grow(
    mixer: Mixer,
    sets: Sequence[EvaluationSet],
    files: Mapping[str, Mapping[str, Path]],
    pool: Sequence[str],
    held_out: str,
    num_orders: int,
    seed: int,
    parts: Parts | None = None,
) -> pd.DataFrame:
    """Accuracy of every method on every data set for 1..len(pool) models in each order.

    Args:
        mixer: has the weights of the pool.
        sets: the held-out set, which choices are made on, and those reported.
        files: data set -> model -> its logits.
        pool: names of the models that recipes choose from; those that failed are left out.
        held_out: name of the held-out set. seed: of the first order; the next ones count on.
        parts: what is finished already; a part is one soup or ensemble on one data set.
    Returns: order, k, method, ingredients (joined by a space), dataset, metric (`accuracy`), value,
        right (packed, `evaluation.paired`), n.
    """
    accuracies = Accuracies(mixer, files, parts or Parts())
    pool, _ = without_failures(pool, [files[held_out][name] for name in pool])
    [chosen_on] = [each for each in sets if each.dataset == held_out]
    steps = [(order, k) for order in range(num_orders) for k in range(1, len(pool) + 1)]
    rows: list[dict[str, Any]] = []
    for order, k in tqdm(steps, unit="pool", disable=None):
        shuffled = np.random.default_rng(seed + order).permutation(len(pool))
        considered = [pool[i] for i in sorted(shuffled[:k])]  # in the pool's order, as for ties
        methods = choose_methods(
            considered, lambda kind, ingredients: accuracies.of(kind, ingredients, chosen_on)
        )
        for method, (kind, ingredients) in methods.items():
            about = {"order": order, "k": k, "method": method, "ingredients": " ".join(ingredients)}
            rows += [
                {
                    **{**about, "dataset": each.dataset, "metric": "accuracy"},
                    **accuracies.row(kind, ingredients, each),
                    "n": len(each.labels),
                }
                for each in sets
            ]
    return pd.DataFrame(rows)


def choose_methods(
    pool: Sequence[str], score: Callable[[Kind, Ingredients], float]
) -> dict[str, tuple[Kind, Ingredients]]:
    """What each method makes of a pool. Args: score: held-out accuracy."""
    alone = [score("soup", (name,)) for name in pool]
    best = pool[order_candidates(alone, GreedySpec())[0]]
    greedy_soup = pick(pool, alone, lambda ingredients: score("soup", ingredients))
    greedy_ensemble = pick(pool, alone, lambda ingredients: score("ensemble", ingredients))
    return {
        "Best individual model": ("soup", (best,)),
        "Uniform soup": ("soup", tuple(pool)),
        "Greedy soup": ("soup", greedy_soup),
        "Ensemble": ("ensemble", tuple(pool)),
        "Greedy ensemble": ("ensemble", greedy_ensemble),
    }


def pick(
    pool: Sequence[str], alone: Sequence[float], score: Callable[[Ingredients], float]
) -> Ingredients:
    """The ingredients that Recipe 1 keeps of a pool, in the pool's order.

    Args: alone: held-out accuracy of each; score: that of several together.
    """
    spec = GreedySpec()
    order = order_candidates(list(alone), spec)
    kept: list[str] = []

    def attempt(turn: int, to_beat: float | None) -> Attempt:
        with_candidate = tuple(sorted([*kept, pool[order[turn]]], key=pool.index))
        return Attempt(score=score(with_candidate), bound=None, num_evaluated=0)

    choose(
        [pool[i] for i in order],
        [alone[i] for i in order],
        spec,
        attempt=attempt,
        keep=lambda turn: kept.append(pool[order[turn]]),
    )
    return tuple(sorted(kept, key=pool.index))
