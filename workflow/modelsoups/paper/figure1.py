"""Figure 1: soups against the runs of their sweep, in distribution and on the shifts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from modelsoups.paper.claims import percent
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Result, one_sweep, table_need
from modelsoups.paper.look import BEST, INITIALIZATION, RUNS, Look, styled
from modelsoups.paper.methods import by_label, looks
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = ("Uniform soup", "Greedy soup")  # labels of the methods that the paper's figure has
OTHERS = {"Initialization": INITIALIZATION, "Individual models": RUNS, "Best on held-out set": BEST}


def figure_1(
    scores: "pd.DataFrame",
    roles: Mapping[str, str],
    title: str,
    methods: Mapping[str, Method],
) -> "Figure":
    """Mean accuracy on the shifts over test accuracy, a marker a model.

    The best run is the best on the held-out set, of equal ones the later. Without shift sets there
    is one dimension left: a row for each group of models.

    Args:
        scores: tidy scores of a sweep. roles: dataset -> role; one held_out, one test, any shifts.
        title: says which study this is. methods: soups and ensembles to show -> their rows; those
            without scores are left out.
    Raises: ValueError if a model lacks a score.
    """
    from matplotlib.figure import Figure

    from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, the_dataset

    test, shifts = the_dataset(roles, "test"), datasets_of(roles, "shift")
    accuracies, sizes = accuracies_by_model(scores, [test, *shifts])
    groups = group_models(scores, roles, methods)
    known = OTHERS | looks(methods)
    across = f"Accuracy on {test} (top-1, %; n = {sizes[test]:,})"
    with styled():
        figure = Figure()
        axes = figure.subplots()
        if not shifts:
            _draw_strip(axes, {g: 100 * accuracies.loc[m, test] for g, m in groups.items()}, known)
            axes.set(title=title, xlabel=across)
            return figure
        for label, models in groups.items():
            points = 100 * accuracies.loc[models]
            axes.scatter(points[test], points[shifts].mean(axis=1), label=label, **known[label])
        axes.set(
            title=title,
            xlabel=across,
            ylabel=f"Mean accuracy on {len(shifts)} shift sets (top-1, %)",
        )
        figure.legend(loc="outside lower center", ncols=2 if len(groups) > 5 else 3)
    return figure


def group_models(
    scores: "pd.DataFrame", roles: Mapping[str, str], methods: Mapping[str, Method]
) -> dict[str, Sequence[str]]:
    """Label -> its models, in the order of drawing; labels without a model are left out."""
    from modelsoups.evaluation.scores import rank, the_dataset

    kinds = scores.groupby("model")["kind"].first()
    best = rank(scores[scores["kind"] == "run"], the_dataset(roles, "held_out"), roles).index[:1]
    groups = {
        "Initialization": list(kinds.index[kinds == "initialization"]),
        "Individual models": list(kinds.index[kinds == "run"]),
        "Best on held-out set": list(best),
        **by_label(methods, kinds.index),
    }
    return {label: models for label, models in groups.items() if models}


def describe(
    scores: "pd.DataFrame", roles: Mapping[str, str], methods: Mapping[str, Method]
) -> str:
    """The best run's and each method's accuracies, in words; no test."""
    from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, the_dataset

    test, shifts = the_dataset(roles, "test"), datasets_of(roles, "shift")
    accuracies, _ = accuracies_by_model(scores, [test, *shifts])
    parts = []
    for label, models in group_models(scores, roles, methods).items():
        if label not in ("Initialization", "Individual models"):
            mean = accuracies.loc[models].mean()
            outside = f" and {percent(mean[shifts].mean())}" if shifts else ""
            parts.append(f"{label} {percent(mean[test])}{outside}")
    where = "in distribution and on the shifts" if shifts else "in distribution"
    return f"Accuracy {where}: {'; '.join(parts)}. No test is made."


def draw(given: Given, methods: Mapping[str, Method]) -> Made:
    """The scores of a sweep, drawn with some of its soups and ensembles."""
    from modelsoups.evaluation.scores import read_scores

    scores = read_scores(given.path("scores"))
    return Made(
        table=scores,
        figure=figure_1(scores, given.roles, given.study, methods),
        found=[describe(scores, given.roles, methods)],
    )


def make(given: Given) -> Made:
    """Figure 1: the runs with the uniform and the greedy soup."""
    shown = {name: each for name, each in given.methods.items() if each.label in SHOWN}
    return draw(given, shown)


RESULT = Result(
    name="figure1",
    title="Figure 1",
    section="3.3",
    kind="figure",
    about="Figure 1: soups against the runs of their sweep, in distribution and on the shifts.",
    key="figure1",
    schema={**SWEEP, "description": "The sweep or pool that Figures 1 and L.3 are about"},
    targets=lambda sweep, config: {"figure1": {"sweep": sweep}},
    needs=table_need("scores"),
    names=one_sweep,
    problems=lambda spec, study: needs_runs(study, spec["sweep"]),
    make=make,
    caption=(
        "Figure 1. One marker a model: accuracy on the test set and mean of the shift sets. The "
        "ring marks the run that is best on the held-out set."
    ),
    paper=(
        "Both soups of CLIP ViT-B/32 lie above the best run on the shifts, and the greedy soup is "
        "above it in distribution as well"
    ),
)


def _draw_strip(axes: "Axes", values: "Mapping[str, pd.Series]", known: Mapping[str, Look]) -> None:
    """A row a group, the first on top: its models' accuracies along it."""
    for row, (label, points) in enumerate(values.items()):
        axes.scatter(points, [-row] * len(points), label=label, **known[label])
    axes.set_yticks([-row for row in range(len(values))], list(values))
    axes.margins(y=0.1)
