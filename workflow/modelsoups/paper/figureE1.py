"""Figure E.1: soups of models fine-tuned on other data sets, on a zero-shot target (Appendix E).

Each target is evaluated with the models of all other data sets, so that several data sets may each
be the target once.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from math import factorial
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import Claim, in_points, make_claim, percent, points
from modelsoups.paper.declare import MAX_IMAGES, Analysis, Given, Made, Need, Result, Spec
from modelsoups.paper.look import styled
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from modelsoups.evaluation.statistics import Estimate

MOST_MODELS = 10  # of which all subsets are evaluated: 1,024
MEAN = -1  # the order that stands for the mean of all
SHOWN = 24  # orders of a target that are drawn
PAPER = "A soup of the zero-shot model and six others gains 6.4 points on CIFAR-100 over CLIP"


def sweep_in(model: str) -> str:
    """The sweep of a model's identity."""
    return model.partition("/")[0]


def others(spec: Spec, target: Mapping[str, Any]) -> list[str]:
    """The models that are added for a target: those of other sweeps."""
    return [model for model in spec["models"] if sweep_in(model) != target["sweep"]]


def mean_by_size(accuracy: "pd.Series") -> "pd.Series":
    """The mean accuracy over all orders with k models added, by k.

    In all orders every subset of a size comes first equally often.

    Args: accuracy: index models (joined by a space).
    """
    return accuracy.groupby(sizes_of(accuracy.index)).mean()


def sizes_of(names: Iterable[str]) -> list[int]:
    """The number of models in each soup's name."""
    return [len(name.split()) for name in names]


def along(accuracy: "pd.Series", order: Sequence[str]) -> list[float]:
    """The accuracy after each model is added in an order, from the zero-shot model on.

    Args: accuracy: as in `mean_by_size`; in a name models stand as in the study.
    """
    by_set = {frozenset(name.split()): value for name, value in accuracy.items()}
    return [by_set[frozenset(order[:k])] for k in range(len(order) + 1)]


def mean_changes(accuracy: "pd.Series") -> dict[str, float]:
    """Model -> the mean change in accuracy when it is added, over all orders.

    Of n models one comes after a given subset of k others in k! (n - k - 1)! of the n! orders.
    """
    by_set = {frozenset(name.split()): value for name, value in accuracy.items()}
    models = max(by_set, key=len)
    n = len(models)
    changes = dict.fromkeys(sorted(models), 0.0)
    for chosen, value in by_set.items():
        share = factorial(len(chosen)) * factorial(n - len(chosen) - 1) if chosen != models else 0
        for model in models - chosen:
            changes[model] += share / factorial(n) * (by_set[chosen | {model}] - value)
    return changes


def tabulate(tables: "Mapping[str, pd.DataFrame]") -> "pd.DataFrame":
    """What both panels show, and the accuracies behind it.

    Args: tables: target -> of `analyses.cross.evaluate_subsets`.
    Returns: columns target; panel: `added` (order, k, accuracy, and change from the zero-shot
        model's) or `model` (model, and mean change when it is added).
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for target, table in tables.items():
        accuracy = accuracies(table)
        start = accuracy[""]
        curves = {MEAN: mean_by_size(accuracy).tolist()}
        models = max(accuracy.index, key=lambda name: len(name.split())).split()
        curves |= dict(enumerate(along(accuracy, order) for order in some_orders(models)))
        for order, curve in curves.items():
            rows += [
                {
                    **{"target": target, "panel": "added", "order": order, "k": k},
                    **{"accuracy": value, "change": value - start},
                }
                for k, value in enumerate(curve)
            ]
        rows += [
            {"target": target, "panel": "model", "model": model, "change": change}
            for model, change in mean_changes(accuracy).items()
        ]
    return pd.DataFrame(rows)


def some_orders(models: Sequence[str]) -> list[Sequence[str]]:
    """Orders that are drawn: all if they are few, else a seeded sample."""
    import numpy as np

    if factorial(len(models)) <= SHOWN:
        return [*permutations(models)]
    random = np.random.default_rng(0)
    return [[models[n] for n in random.permutation(len(models))] for _ in range(SHOWN)]


def accuracies(table: "pd.DataFrame") -> "pd.Series":
    """The accuracy of each soup of a target, by its models."""
    return table[table["metric"] == "accuracy"].set_index("models")["value"]


def figure_e1(table: "pd.DataFrame", title: str) -> "Figure":
    """Left: change from the zero-shot model against models added. Right: by which model is added.

    Args: table: of `tabulate`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    added, by_model = (table[table["panel"] == panel] for panel in ("added", "model"))
    targets = added["target"].nunique()
    with styled():
        figure = Figure(figsize=(9.0, 4.2))
        left, right = figure.subplots(1, 2)
        for (_, order), curve in added.groupby(["target", "order"], sort=False):
            if order != MEAN:
                left.plot(curve["k"], 100 * curve["change"], color="0.75", linewidth=0.6)
        mean = added[added["order"] == MEAN].groupby("k")["change"].mean()
        left.plot(mean.index, 100 * mean, color="tab:blue", marker="o", label="Mean of all orders")
        left.axhline(0, color="black", linewidth=0.8)
        left.set(
            xlabel="Models added to the zero-shot one",
            ylabel="Change in zero-shot accuracy (points)",
            title=f"mean of {targets} targets" if targets > 1 else f"on {added['target'].iloc[0]}",
        )
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        left.legend()
        changes = by_model.groupby("model")["change"].mean().sort_values()
        right.barh([sweep_in(model) for model in changes.index], 100 * changes, color="tab:blue")
        right.axvline(0, color="black", linewidth=0.8)
        right.set(xlabel="Mean change when its model is added (points)", title="by training set")
        figure.suptitle(title)
    return figure


def describe(table: "pd.DataFrame") -> list[str]:
    """Accuracy of the zero-shot model and of all models' soup on each target; no test."""
    mean = table[(table["panel"] == "added") & (table["order"] == MEAN)]
    found = []
    for target, curve in mean.groupby("target", sort=False):
        first, last = curve["accuracy"].iloc[[0, -1]]
        found.append(f"On {target} zero-shot {percent(first)}, all models {percent(last)}.")
    return found


def judge(tables: "Mapping[str, pd.DataFrame]") -> list[Claim]:
    """The soup of all models is better than the zero-shot model: over targets, and on each.

    Args: tables: as in `tabulate`.
    """
    from modelsoups.evaluation.statistics import paired_difference

    differences = {target: difference(table) for target, table in tables.items()}

    def claim(found: "Estimate", where: str, here: str) -> Claim:
        return make_claim(
            f"all models minus zero-shot: {in_points(found)}, {here}",
            found,
            claim=f"Adding models of other data sets helps the zero-shot target ({where})",
            section="E",
            paper=PAPER,
        )

    each = [
        claim(paired_difference([value]), target, f"{len(value)} images")
        for target, value in differences.items()
    ]
    if len(each) == 1:
        return each
    higher = sum(one.value > 0 for one in each)
    over = paired_difference(list(differences.values()))
    return [claim(over, "mean over targets", f"above on {higher} of {len(each)} targets"), *each]


def difference(table: "pd.DataFrame") -> Any:
    """Of each image (n,) whether all models' soup is right minus whether the zero-shot model is."""
    from modelsoups.evaluation.paired import unpack

    rows = table[table["metric"] == "accuracy"].set_index("models")
    largest = max(rows.index, key=lambda name: len(name.split()))
    whole, start = (unpack(rows.loc[name, "right"], rows.loc[name, "n"]) for name in (largest, ""))
    return whole - start


def make(given: Given) -> Made:
    """Figure E.1 and its claims."""
    names = [target["dataset"] for target in given.spec["targets"]]
    tables = dict(zip(names, given.read_all("cross"), strict=True))
    table = tabulate(tables)
    by_model = table[table["panel"] == "model"].groupby("model")["change"].mean()
    found = ", ".join(f"{sweep_in(model)} {points(value)}" for model, value in by_model.items())
    return Made(
        table=table,
        figure=figure_e1(table, given.study),
        found=[*describe(table), f"Mean change when a model is added: {found}."],
        claims=judge(tables),
    )


def analyses(spec: Spec) -> list[Analysis]:
    """All subsets of the other sweeps' models, on each target."""
    limit = {"max_images": spec["max_images"]} if "max_images" in spec else {}
    return [
        Analysis(
            sweep=target["sweep"],
            table="cross",
            plan={"dataset": target["dataset"], "models": others(spec, target), **limit},
        )
        for target in spec["targets"]
    ]


def problems(spec: Spec, study: Study) -> Iterable[str]:
    """Models and targets that do not go together."""
    for model in spec["models"]:
        sweep, _, name = model.partition("/")
        if sweep not in study.runs or name not in study.models_with_weights(sweep):
            yield f"{model} is no model of a sweep that is fine-tuned here"
            return
    for target in spec["targets"]:
        sweep, dataset = target["sweep"], target["dataset"]
        if sweep not in study.runs or study.config["sweeps"][sweep]["start"] != "zero-shot":
            yield f"target {sweep}: expected a sweep with start zero-shot, whose head it has"
            continue
        if dataset not in study.reported_of(sweep):
            yield f"target {sweep} does not report {dataset}"
        models = others(spec, target)
        if not 1 <= len(models) <= MOST_MODELS:
            yield f"target {sweep}: expected 1 to {MOST_MODELS} models of others, found {models}"
        for model in models:
            own = study.config["sweeps"][sweep_in(model)]
            if own["backbone"] != study.backbone_of(sweep) or own["start"] != "zero-shot":
                yield f"{model} does not start as the target {sweep} does: backbone and zero-shot"
            if study.train_of(sweep_in(model)) == study.train_of(sweep):
                yield f"{model} is trained on the images of the target {sweep}"


RESULT = Result(
    name="figureE1",
    title="Figure E.1",
    section="E",
    kind="figure",
    about="Figure E.1: soups of models fine-tuned on other data sets, on a zero-shot target.",
    key="figureE1",
    schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["targets", "models"],
        "properties": {
            "targets": {
                "type": "array",
                "minItems": 1,
                "description": "Data sets that no added model was trained on",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["sweep", "dataset"],
                    "properties": {
                        "sweep": {"type": "string", "description": "Its zero-shot head and start"},
                        "dataset": {"type": "string", "description": "Its test set"},
                    },
                },
            },
            "models": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^[a-z0-9-]+/[a-z0-9-]+$"},
                "description": "As `sweep/model`; those of a target's own sweep are left out of it",
            },
            "max_images": MAX_IMAGES,
        },
    },
    needs=lambda spec: {
        "cross": [Need(sweep=target["sweep"], table="cross") for target in spec["targets"]]
    },
    analyses=analyses,
    names=lambda spec: [
        *(("sweep", sweep_in(model)) for model in spec["models"]),
        *(("dataset", target["dataset"]) for target in spec["targets"]),
    ],
    problems=problems,
    make=make,
    caption=(
        "Figure E.1. Backbone soups of the zero-shot model and of models fine-tuned on other data "
        "sets, with the target's zero-shot head. Left: change in accuracy with the number of "
        "models added, the mean of all orders, and some orders of each target (faint). Right: the "
        "mean change when the model of a data set is added, over all orders."
    ),
    paper=PAPER,
)
