"""The paper's figures, from tidy scores to a matplotlib Figure; nothing is computed but percent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure

from modelsoups.files import publish
from modelsoups.scores import accuracies_by_model, datasets_of, rank, the_dataset

STYLE = Path(__file__).with_name("style.mplstyle")

# Name -> look. Colours of runs and uniform soup are the paper's; all are told apart without colour.
MARKERS: dict[str, dict[str, Any]] = {
    "Initialization": {"color": "0.35", "marker": "X", "s": 80},
    "Individual models": {"color": "tab:green", "marker": "d", "s": 40},
    "Best on held-out set": {
        "facecolor": "none",
        "edgecolor": "black",
        "marker": "o",
        "s": 130,
        "linewidth": 1.2,
    },
    "Uniform soup": {"color": "tab:blue", "marker": "o", "s": 70},
    "Greedy soup": {"color": "tab:red", "marker": "*", "s": 170},
    "Ensemble": {"color": "tab:purple", "marker": "s", "s": 45},
    "Greedy ensemble": {"color": "tab:brown", "marker": "P", "s": 70},
}

# Label in Figure 1 -> its one model, shown where there is one.
SOUPS = {"Uniform soup": "uniform", "Greedy soup": "greedy"}


def figure_1(
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    title: str,
    shown: Mapping[str, str] = SOUPS,
) -> Figure:
    """Soups against the runs of their sweep: mean accuracy on the shifts over test accuracy.

    (paper Figure 1.) The best run is the best on the held-out set, of equal ones the later.

    Args:
        scores: tidy scores of a sweep. roles: dataset -> role; one held_out, one test, shifts.
        title: says which study this is. shown: label -> model; labels are keys of `MARKERS`, models
            without scores are left out.
    Raises: ValueError if there is no shift set or a model lacks a score.
    """
    if not (shifts := datasets_of(roles, "shift")):
        raise ValueError(f"figure 1 needs a dataset with role shift, found {dict(roles)}")
    test = the_dataset(roles, "test")
    runs = scores[scores["kind"] == "run"]
    best = rank(runs, the_dataset(roles, "held_out"), roles).index[0]
    accuracies, sizes = accuracies_by_model(scores, [test, *shifts])
    kinds = scores.groupby("model")["kind"].first()
    groups = {
        "Initialization": kinds.index[kinds == "initialization"],
        "Individual models": kinds.index[kinds == "run"],
        "Best on held-out set": [best],
        **{label: kinds.index.intersection([model]) for label, model in shown.items()},
    }
    with matplotlib.style.context(STYLE):
        figure = Figure()
        axes = figure.subplots()
        for label, models in groups.items():
            if len(models):
                points = 100 * accuracies.loc[models]
                axes.scatter(
                    points[test], points[shifts].mean(axis=1), label=label, **MARKERS[label]
                )
        axes.set(
            title=title,
            xlabel=f"Accuracy on {test} (top-1, %; n = {sizes[test]:,})",
            ylabel=f"Mean accuracy on {len(shifts)} shift sets (top-1, %)",
        )
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def save(figure: Figure, *paths: str | Path) -> None:
    """Write a figure to each path, in the format of its suffix; same figure, same bytes."""
    with matplotlib.style.context(STYLE):
        for path in map(Path, paths):
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            with publish(path) as draft:
                figure.savefig(draft, format=path.suffix[1:], metadata=metadata)
