"""The paper's tables, from tidy scores to one row a method; accuracies are fractions."""

from collections.abc import Hashable, Mapping, Sequence
from math import isnan, nan
from typing import Any

import pandas as pd

from modelsoups.scores import accuracies_by_model, datasets_of, rank, the_dataset
from modelsoups.statistics import accuracy_interval, mean_interval

INITIALIZATION = "Initialization"  # our row: the paper's table has none
BEST = "Best individual model"
SECOND = "Second best model"

# The rows of the paper's Table 3 in its order, with its accuracies of CLIP ViT-B/32 on ImageNet and
# on the mean of the five shifts.
PAPER = {
    BEST: (0.8038, 0.4783),
    SECOND: (0.7989, 0.4387),
    "Uniform soup": (0.7997, 0.5145),
    "Greedy soup": (0.8103, 0.5075),
    "Greedy soup (random order)": (0.8079, 0.5130),
    "Learned soup": (0.8089, 0.5107),
    "Learned soup (by layer)": (0.8137, 0.5087),
    "Ensemble": (0.8119, 0.5077),
    "Greedy ensemble": (0.8190, 0.4944),
}
PAPER_COLUMNS = ["paper_clip_vit_b32_imagenet", "paper_clip_vit_b32_shifts"]

# Row -> the models it is made of; those of a row are averaged.
METHODS: Mapping[str, Sequence[str]] = {
    "Uniform soup": ["uniform"],
    "Greedy soup": ["greedy"],
    "Greedy soup (random order)": ["greedy-order1", "greedy-order2", "greedy-order3"],
    "Learned soup": ["learned"],
    "Learned soup (by layer)": ["learned-by-layer"],
    "Ensemble": ["ensemble"],
    "Greedy ensemble": ["greedy-ensemble"],
}


def table_3(
    scores: pd.DataFrame,
    roles: Mapping[str, str],
    study: str,
    methods: Mapping[str, Sequence[str]] = METHODS,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy of each method in distribution and on the shifts (paper Table 3).

    The best and the second best model are picked among the runs by held-out accuracy; of equal ones
    the later run, as greedy tries them, and `note` names the others. (The caption says that best
    "refers to ImageNet accuracy", not on which images; the paper's Table 2 has "best on val. set",
    as here.)

    Args:
        scores: tidy scores of a sweep. roles: dataset -> role; one held_out, one test, any shifts.
        study: name of the study, repeated in every row.
        methods: row of the paper -> names of its models; rows without a scored model are left out.
        seed: of the bootstrap under the intervals of means.
    Returns:
        One row a method in the paper's order, after the initialization. Columns: study, method,
        models (joined by a space), note; then for `held_out`, `in_distribution`, `shifts` (the mean
        over the shift sets) and each shift set by its name: {}_accuracy, with {}_n (images) for
        each set. in_distribution and shifts also have {}_low and {}_high, a 95 % interval over
        images, or {}_std, the sample standard deviation, where a row is the mean of several models.
        Last PAPER_COLUMNS: the paper's numbers for CLIP ViT-B/32 on ImageNet, for orientation.
    Raises: ValueError if a method is not a row of the paper, or a model lacks a score.
    """
    if unknown := sorted(set(methods) - set(PAPER)):
        raise ValueError(f"table 3: found rows {unknown}, expected some of {list(PAPER)}")
    held_out, test = the_dataset(roles, "held_out"), the_dataset(roles, "test")
    shifts = datasets_of(roles, "shift")
    kinds = scores.groupby("model")["kind"].first()
    ranked = rank(scores[scores["kind"] == "run"], held_out, roles)
    picked = {BEST: ranked.index[:1], SECOND: ranked.index[1:2], **methods}
    accuracies, sizes = accuracies_by_model(scores, [held_out, test, *shifts])

    table = []
    for method, models in [
        *((INITIALIZATION, [model]) for model in kinds.index[kinds == "initialization"]),
        *((method, kinds.index.intersection(picked.get(method, []))) for method in PAPER),
    ]:
        if len(models):
            table.append(
                {
                    "study": study,
                    "method": method,
                    "models": " ".join(models),
                    "note": _ties(ranked, models[0]) if method in (BEST, SECOND) else "",
                    **_summary(accuracies.loc[models], sizes, held_out, test, shifts, seed),
                    **dict(zip(PAPER_COLUMNS, PAPER.get(method, (nan, nan)), strict=True)),
                }
            )
    return pd.DataFrame(table)


def to_markdown(table: pd.DataFrame) -> str:
    """Table 3 in print: percent, with the interval or the standard deviation in parentheses."""
    sizes = table.filter(regex="_n$").rename(columns=lambda name: name.removesuffix("_n")).iloc[0]
    shifts = list(sizes.index.drop(["held_out", "in_distribution"]))
    sizes["shifts"] = sizes[shifts].sum()
    columns = ["in_distribution", "shifts", *shifts]
    titles = {"in_distribution": "In distribution", "shifts": "Mean of shifts"}
    header = [
        f"{table['study'].iloc[0]}: accuracy in %",
        *(f"{titles.get(name, name)} (n = {sizes[name]:,})" for name in columns),
        "The paper's CLIP ViT-B/32: ImageNet",
        "The paper's mean of shifts",
    ]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in table.astype({"note": object}).fillna({"note": ""}).to_dict("records"):
        ours = (_percent(row, name) for name in columns)
        papers = ("–" if isnan(row[name]) else f"{100 * row[name]:.2f}" for name in PAPER_COLUMNS)
        method = f"{row['method']} ({'; '.join(filter(None, (row['models'], row['note'])))})"
        lines.append([method, *ours, *papers])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _ties(ranked: pd.Series, model: str) -> str:
    """The other runs that have the model's held-out accuracy, in words."""
    others = ranked.index[ranked == ranked[model]].drop(model)
    return f"tied on the held-out set with {' '.join(others)}" if len(others) else ""


def _summary(
    accuracies: pd.DataFrame,
    sizes: pd.Series,
    held_out: str,
    test: str,
    shifts: list[str],
    seed: int,
) -> dict[str, float]:
    """The columns of Table 3 that are computed, for the models of one row."""
    mean, shifts_mean = accuracies.mean(), accuracies[shifts].mean(axis=1)
    test_interval = shifts_interval = (nan, nan)
    if len(accuracies) == 1:  # a mean of models on the same images is no fraction of them
        test_interval = accuracy_interval(mean[test], sizes[test])
        if shifts:
            shifts_interval = mean_interval(mean[shifts], sizes[shifts], seed)
    return {
        "held_out_accuracy": mean[held_out],
        "held_out_n": sizes[held_out],
        "in_distribution_accuracy": mean[test],
        "in_distribution_low": test_interval[0],
        "in_distribution_high": test_interval[1],
        "in_distribution_std": accuracies[test].std(),  # NaN for one model
        "in_distribution_n": sizes[test],
        "shifts_accuracy": shifts_mean.mean(),
        "shifts_low": shifts_interval[0],
        "shifts_high": shifts_interval[1],
        "shifts_std": shifts_mean.std(),
        **{f"{shift}_accuracy": mean[shift] for shift in shifts},
        **{f"{shift}_n": sizes[shift] for shift in shifts},
    }


def _percent(row: Mapping[Hashable, Any], name: str) -> str:
    """`72.69 (69.55-75.64)` or, for a mean of models, `72.69 (± 0.31)`."""
    low, high, std = (100 * row.get(f"{name}_{part}", nan) for part in ("low", "high", "std"))
    spread = f" (± {std:.2f})" if not isnan(std) else f" ({low:.2f}–{high:.2f})"
    spread = "" if isnan(std) and isnan(low) else spread
    return f"{100 * row[f'{name}_accuracy']:.2f}{spread}"
