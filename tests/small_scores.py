"""A small sweep whose numbers are worked out by hand."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from modelsoups.evaluation.scores import COLUMNS
from modelsoups.paper.methods import list_methods

ROLES = {
    "learn": "train",
    "holdout": "held_out",
    "photos": "test",
    "sketches": "shift",
    "toys": "shift",
}
NO_SHIFTS = {"holdout": "held_out", "photos": "test"}
SIZES = {"holdout": 20, "photos": 10, "sketches": 10, "toys": 40}  # images
CORRECT = {  # model: kind, number right on each dataset
    "initialization": ("initialization", 2, 1, 1, 4),
    "000": ("run", 12, 9, 4, 12),  # best on photos, third on the held-out set
    "001": ("run", 16, 7, 5, 16),
    "002": ("run", 14, 6, 6, 20),
    "uniform": ("soup", 16, 8, 6, 24),
    "greedy": ("soup", 18, 8, 5, 24),
    "greedy-order1": ("soup", 17, 6, 5, 20),
    "greedy-order2": ("soup", 17, 7, 6, 24),
    "greedy-order3": ("soup", 17, 8, 7, 28),
    "ensemble": ("ensemble", 18, 9, 6, 24),
    "wise": ("soup", 18, 9, 6, 24),  # of another study's recipe
}
RECIPES = {
    "uniform": {"kind": "uniform"},
    "greedy": {"kind": "greedy"},
    **{f"greedy-order{i}": {"kind": "greedy", "order": "random", "seed": i} for i in (1, 2, 3)},
    "learned": {"kind": "learned"},  # without scores
}
ENSEMBLES = {"ensemble": {"kind": "uniform"}, "greedy-ensemble": {"kind": "greedy"}}
COSTS = pd.DataFrame(
    {
        "model": ["uniform", "greedy", "greedy-order1", "greedy-order2", "greedy-order3"],
        "num_ingredients": [3, 2, 1, 2, 3],
        "passes": [1, 1.5, 2, 2, 5],
        "seconds": [1.0, 4, 3, 4, 8],
        "peak_memory_mb": [900.0, 1100, 1100, 1200, 1300],
        "memory_before_mb": 800.0,
        "device": "cpu",
        "device_memory_mb": [None] * 5,
        "resumed": [False, False, False, True, False],
    }
)
METHODS = list_methods(RECIPES, ENSEMBLES)
ABOUT = {"study": "a toy study", "roles": ROLES, "recipes": RECIPES, "ensembles": ENSEMBLES}


def make_scores(**changes: tuple) -> pd.DataFrame:
    """Tidy scores of `CORRECT`, with changes."""
    rows = []
    for model, (kind, *counts) in {**CORRECT, **changes}.items():
        for (dataset, n), count in zip(SIZES.items(), counts, strict=True):
            rows.append((model, kind, dataset, "accuracy", count / n, n))
            rows.append((model, kind, dataset, "nll", 1.5, n))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def make_correct(scores: pd.DataFrame, datasets: Iterable[str] = ROLES) -> pd.DataFrame:
    """Of each dataset's images the first ones are right, as many as the scores say."""
    accuracies = scores[scores["metric"] == "accuracy"]
    parts = []
    for dataset, n in SIZES.items():
        if dataset not in datasets:
            continue
        values = accuracies[accuracies["dataset"] == dataset].set_index("model")["value"]
        right = {model: np.arange(n) < round(value * n) for model, value in values.items()}
        parts.append(pd.DataFrame({"dataset": dataset, "index": np.arange(n), **right}))
    return pd.concat(parts, ignore_index=True)


SCORES = make_scores()
CORRECT_IMAGES = make_correct(SCORES)
