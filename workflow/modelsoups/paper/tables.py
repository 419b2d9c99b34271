"""The paper's tables, from tidy scores to one row a method; accuracies are fractions."""

import html
import re
from collections.abc import Hashable, Mapping, Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any

import pandas as pd

from modelsoups.base.files import publish
from modelsoups.evaluation.paired import accuracy_of, compare, strata
from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, rank, the_dataset
from modelsoups.evaluation.statistics import (
    ALPHA,
    accuracy_interval,
    gap_interval,
    holm,
    mean_interval,
)

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


# The rows of Table 4 of which one is chosen as best, and all not significantly worse are marked.
ORACLE = "Best model on each test set (oracle, no fair choice)"
FAIR = ["Best model on held out val set", "Greedy ensemble", "Greedy soup"]
SHIFTS_MEAN = "avg-shifts"


def table_3(
    scores: pd.DataFrame,
    correct: pd.DataFrame,
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
        scores: tidy scores of a sweep. correct: which images its models have right (`paired`).
        roles: dataset -> role; one held_out, one test, any shifts.
        study: name of the study, repeated in every row.
        methods: row of the paper -> names of its models; rows without a scored model are left out.
        seed: of the bootstrap under the intervals of means.
    Returns:
        One row a method in the paper's order, after the initialization. Columns: study, method,
        models (joined by a space), note; then for `held_out`, `in_distribution`, `shifts` (the mean
        over the shift sets) and each shift set by its name: {}_accuracy, with {}_n (images) for
        each set. in_distribution and shifts also have {}_low and {}_high, a 95 % interval over
        images, or {}_std, the sample standard deviation, where a row is the mean of several models;
        {}_p, the p-value against the best individual model (exact McNemar in distribution, a
        permutation test on the mean of shifts and for means of models), and {}_p_holm, corrected
        for all comparisons of the table. optimism: held-out minus test accuracy, which is above
        zero on average for what was chosen on the held-out set, with optimism_low, optimism_high.
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
                    **_against_best(correct, models, picked[BEST], test, shifts, seed),
                    **dict(zip(PAPER_COLUMNS, PAPER.get(method, (nan, nan)), strict=True)),
                }
            )
    result = pd.DataFrame(table)
    p_values = result[["in_distribution_p", "shifts_p"]].to_numpy()
    result[["in_distribution_p_holm", "shifts_p_holm"]] = holm(p_values.ravel()).reshape(-1, 2)
    return result


def table_4(
    scores: pd.DataFrame,
    correct: pd.DataFrame,
    roles: Mapping[str, str],
    label_sets: Mapping[str, str],
    study: str,
    sweep: str,
    seed: int = 0,
) -> pd.DataFrame:
    """The greedy soup against the best runs, on every test set (form of Tables 4 and C.1).

    Of the rows in `FAIR` the best on a set, and those not significantly different from it at
    alpha = 0.05, are marked ("numbers not significantly different from the best are bold-faced").
    The oracle row has the best run on each set by that set itself; its mean of shifts is the best
    mean of any run.

    Args: as `table_3`; label_sets: second label sets of the test set, in `correct`: name -> what
        there is to say of it, such as its version.
    Returns: one row a method and dataset: study, sweep, method, model, dataset (`SHIFTS_MEAN` for
        the mean of the shift sets), note (on a label set), accuracy, low, high, n, p (against the
        best of the fair rows, not corrected; NaN for the best itself and outside them), p_holm
        (corrected for all of the table), marked.
    """
    held_out, test = the_dataset(roles, "held_out"), the_dataset(roles, "test")
    shifts = datasets_of(roles, "shift")
    columns = {name: [name] for name in (test, *label_sets, *shifts)}
    columns |= {SHIFTS_MEAN: shifts} if shifts else {}
    kinds = scores.groupby("model")["kind"].first()
    runs = list(kinds.index[kinds == "run"])
    best = rank(scores[scores["kind"] == "run"], held_out, roles).index[0]
    rows: dict[str, str | None] = {INITIALIZATION: "initialization", FAIR[0]: best, ORACLE: None}
    rows |= {FAIR[1]: "greedy-ensemble", FAIR[2]: "greedy"}
    table: list[dict[str, Any]] = []
    for column, datasets in columns.items():
        accuracies = {model: accuracy_of(correct, [model], datasets) for model in kinds.index}
        picked = {
            method: max(runs, key=accuracies.__getitem__) if model is None else model
            for method, model in rows.items()
            if model is None or model in accuracies
        }
        fair = {method: picked[method] for method in FAIR if method in picked}
        top = max(fair.values(), key=accuracies.__getitem__)
        sizes = [len(scores) for scores in strata(correct, [best], datasets)]
        for method, model in picked.items():
            p = nan
            if method in fair and model != top:
                p = compare(correct, [model], [top], datasets, seed).p
            each = [float(scores.mean()) for scores in strata(correct, [model], datasets)]
            low, high = (
                accuracy_interval(each[0], sizes[0])
                if len(sizes) == 1
                else mean_interval(each, sizes, seed)
            )
            table.append(
                {
                    **{"study": study, "sweep": sweep, "method": method, "model": model},
                    **{"dataset": column, "note": label_sets.get(column, "")},
                    "accuracy": accuracies[model],
                    **{"low": low, "high": high, "n": sum(sizes), "p": p},
                    "marked": method in fair and not p < ALPHA,
                }
            )
    result = pd.DataFrame(table)
    result["p_holm"] = holm(result["p"].to_numpy())
    return result


def print_table_4(table: pd.DataFrame) -> str:
    """Table 4 as Markdown: percent, the best and what does not differ from it in bold."""
    datasets = list(dict.fromkeys(table["dataset"]))
    about = table.groupby("dataset")[["n", "note"]].first()
    header = [
        f"{table['study'].iloc[0]}, sweep {table['sweep'].iloc[0]}: accuracy in %",
        *(
            f"{name} ({'; '.join(filter(None, (about.note[name], f'n = {about.n[name]:,}')))})"
            for name in datasets
        ),
    ]
    lines = [header, ["---", *["---:"] * len(datasets)]]
    for method, cells in table.groupby("method", sort=False):
        models = " ".join(dict.fromkeys(cells["model"]))
        texts = (
            f"**{100 * row.accuracy:.2f}**" if row.marked else f"{100 * row.accuracy:.2f}"
            for row in cells.set_index("dataset").loc[datasets].itertuples()
        )
        lines.append([str(method) if method == ORACLE else f"{method} ({models})", *texts])
    return join_markdown(lines)


def join_markdown(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of its cells, the second line being the alignment."""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_html(markdown: str, title: str) -> str:
    """A page with a Markdown table as `join_markdown` makes it, and any lines of text after it."""
    rows: list[str] = []
    text: list[str] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            text.append(f"<p>{html.escape(line)}</p>" if line else "")
        elif not line.startswith("| ---"):
            tag = "td" if rows else "th"
            cells = (html.escape(cell.strip()) for cell in line.strip("| ").split(" | "))
            rows.append("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>")
    body = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", "\n".join(rows))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{PAGE_STYLE}</style><h1>{html.escape(title)}</h1>\n"
        f"<table>\n{body}\n</table>\n{''.join(text)}</html>\n"
    )


def write_table(
    table: pd.DataFrame,
    printed: str,
    title: str,
    *,
    csv: str | Path,
    markdown: str | Path,
    page: str | Path,
) -> None:
    """Write a table as CSV; and its print, which is Markdown, as it is and as an HTML page."""
    with publish(csv) as draft:
        table.to_csv(draft, index=False)
    with publish(markdown) as draft:
        draft.write_text(printed)
    with publish(page) as draft:
        draft.write_text(to_html(printed, title))


PAGE_STYLE = (
    "body{font:15px/1.45 sans-serif;margin:2em;max-width:110em}h1{font-size:1.2em}"
    "table{border-collapse:collapse}th{text-align:left;border-bottom:2px solid #444}"
    "td,th{padding:.3em .7em;vertical-align:top;border-bottom:1px solid #ddd}"
    "td+td{font-variant-numeric:tabular-nums}"
)


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
        "p against the best: in distribution",
        "p: mean of shifts",
        f"Held-out (n = {sizes['held_out']:,}), chosen on",
        "Held-out − test",
        "The paper's CLIP ViT-B/32: ImageNet",
        "The paper's mean of shifts",
    ]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in table.astype({"note": object}).fillna({"note": ""}).to_dict("records"):
        ours = (_percent(row, name) for name in columns)
        tests = (_p_value(row, name) for name in ("in_distribution", "shifts"))
        held_out = (f"{100 * row['held_out_accuracy']:.2f}", _optimism(row))
        papers = ("–" if isnan(row[name]) else f"{100 * row[name]:.2f}" for name in PAPER_COLUMNS)
        method = f"{row['method']} ({'; '.join(filter(None, (row['models'], row['note'])))})"
        lines.append([method, *ours, *tests, *held_out, *papers])
    return join_markdown(lines)


def _against_best(
    correct: pd.DataFrame,
    models: Sequence[str],
    best: Sequence[str],
    test: str,
    shifts: list[str],
    seed: int,
) -> dict[str, float]:
    """The p-values of a row of Table 3 against the best individual model; NaN for that itself."""
    sets = {"in_distribution": [test], "shifts": shifts}
    same = list(models) == list(best)
    return {
        f"{name}_p": nan
        if same or not datasets
        else compare(correct, models, best, datasets, seed).p
        for name, datasets in sets.items()
    }


def _p_value(row: Mapping[Hashable, Any], name: str) -> str:
    """`0.013 (Holm 0.091)`."""
    values = [row[f"{name}_p"], row[f"{name}_p_holm"]]
    if isnan(values[0]):
        return "–"
    plain, corrected = ("< 0.001" if p < 0.001 else f"{p:.3f}" for p in values)
    return f"{plain} (Holm {corrected})"


def _optimism(row: Mapping[Hashable, Any]) -> str:
    """`1.42 (-2.70 to 5.54)`, in percentage points."""
    value, low, high = (100 * row[name] for name in ("optimism", "optimism_low", "optimism_high"))
    return f"{value:+.2f}" + ("" if isnan(low) else f" ({low:+.2f} to {high:+.2f})")


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
    test_interval = shifts_interval = gap = (nan, nan)
    if len(accuracies) == 1:  # a mean of models on the same images is no fraction of them
        gap = gap_interval(mean[held_out], sizes[held_out], mean[test], sizes[test])
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
        "optimism": mean[held_out] - mean[test],
        "optimism_low": gap[0],
        "optimism_high": gap[1],
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


def print_runs(runs: pd.DataFrame, correct: pd.DataFrame) -> str:
    """The runs of a sweep as Markdown: hyper-parameters, and accuracy in % on each dataset.

    Args: runs: a column `run` and one a hyper-parameter. correct: which images they have right.
    """
    accuracies = correct.groupby("dataset", sort=False)[list(runs["run"])].mean().T
    datasets = list(accuracies.columns)
    lines = [[*runs.columns, *datasets], ["---"] * (len(runs.columns) + len(datasets))]
    for row in runs.itertuples(index=False):
        settings = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in row)
        lines.append([*settings, *(f"{100 * a:.2f}" for a in accuracies.loc[row.run])])
    return join_markdown(lines)
