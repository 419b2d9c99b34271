"""Table 3: every method on one sweep, in distribution and on the shifts (Section 3.3.1)."""

from collections.abc import Hashable, Mapping, Sequence
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Result, Spec, one_sweep, table_need
from modelsoups.paper.pages import join_markdown
from modelsoups.paper.rows import BEST, SECOND, list_rows, row_claims
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import pandas as pd

INITIALIZATION = "Initialization"  # our row: the paper's table has none

# The paper's accuracies of CLIP ViT-B/32 on ImageNet and on the mean of the five shifts; those of
# soups and ensembles stand with them in `soups.registry`.
PAPER = {BEST: (0.8038, 0.4783), SECOND: (0.7989, 0.4387)}
PAPER_COLUMNS = ["paper_clip_vit_b32_imagenet", "paper_clip_vit_b32_shifts"]


def table_3(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    study: str,
    methods: Mapping[str, Method],
    paper_columns: bool = False,
) -> "pd.DataFrame":
    """Accuracy of each method in distribution and on the shifts.

    The best and the second best model are picked among the runs by held-out accuracy; of equal ones
    the later run, as greedy tries them, and `note` names the others. (The caption says that best
    "refers to ImageNet accuracy", not on which images; the paper's Table 2 has "best on val. set",
    as here.)

    Args:
        scores: tidy scores of a sweep. correct: which images its models have right (`paired`).
        roles: dataset -> role; one held_out, one test, any shifts.
        study: name of the study, repeated in every row.
        methods: soup or ensemble -> its row, in the order of rows; those without scores are left
            out, those of one row are averaged.
        paper_columns: whether the paper's numbers stand beside ours.
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
        If asked for, PAPER_COLUMNS: the paper's numbers for CLIP ViT-B/32 on ImageNet.
    Raises: ValueError if a model lacks a score.
    """
    import pandas as pd

    from modelsoups.evaluation.scores import accuracies_by_model, datasets_of, rank, the_dataset
    from modelsoups.evaluation.statistics import holm

    held_out, test = the_dataset(roles, "held_out"), the_dataset(roles, "test")
    shifts = datasets_of(roles, "shift")
    kinds = scores.groupby("model")["kind"].first()
    ranked = rank(scores[scores["kind"] == "run"], held_out, roles)
    accuracies, sizes = accuracies_by_model(scores, [held_out, test, *shifts])
    rows = list_rows(scores, roles, methods)
    papers = {**PAPER, **{method.label: method.paper for method in methods.values()}}

    table = []
    for method, models in [
        *((INITIALIZATION, [model]) for model in kinds.index[kinds == "initialization"]),
        *rows.items(),
    ]:
        row = {
            "study": study,
            "method": method,
            "models": " ".join(models),
            "note": _ties(ranked, models[0]) if method in (BEST, SECOND) else "",
            **summarize(accuracies.loc[models], sizes, held_out, test, shifts),
            **_against_best(correct, models, rows[BEST], test, shifts),
        }
        if paper_columns:
            row |= zip(PAPER_COLUMNS, papers.get(method) or (nan, nan), strict=True)
        table.append(row)
    result = pd.DataFrame(table)
    p_values = result[["in_distribution_p", "shifts_p"]].to_numpy()
    result[["in_distribution_p_holm", "shifts_p_holm"]] = holm(p_values.ravel()).reshape(-1, 2)
    return result


def to_markdown(table: "pd.DataFrame") -> str:
    """Table 3 in print: percent, with the interval or the standard deviation in parentheses."""
    sizes = table.filter(regex="_n$").rename(columns=lambda name: name.removesuffix("_n")).iloc[0]
    shifts = list(sizes.index.drop(["held_out", "in_distribution"]))
    titles = {"in_distribution": "In distribution"}
    tests = {"in_distribution": "p against the best: in distribution"}
    if shifts:
        sizes["shifts"] = sizes[shifts].sum()
        titles["shifts"], tests["shifts"] = "Mean of shifts", "p: mean of shifts"
    columns = [*titles, *shifts]
    papers = {
        name: title
        for name, title in zip(
            PAPER_COLUMNS,
            ("The paper's CLIP ViT-B/32: ImageNet", "The paper's mean of shifts"),
            strict=True,
        )
        if name in table
    }
    header = [
        f"{table['study'].iloc[0]}: accuracy in %",
        *(f"{titles.get(name, name)} (n = {sizes[name]:,})" for name in columns),
        *tests.values(),
        f"Held-out (n = {sizes['held_out']:,}), chosen on",
        "Held-out − test",
        *papers.values(),
    ]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for row in table.astype({"note": object}).fillna({"note": ""}).to_dict("records"):
        method = f"{row['method']} ({'; '.join(filter(None, (row['models'], row['note'])))})"
        lines.append(
            [
                method,
                *(in_percent(row, name) for name in columns),
                *(print_p(row, name) for name in tests),
                f"{100 * row['held_out_accuracy']:.2f}",
                print_optimism(row),
                *("–" if isnan(row[name]) else f"{100 * row[name]:.2f}" for name in papers),
            ]
        )
    return join_markdown(lines)


def make(given: Given) -> Made:
    """Table 3 and its claims."""
    from modelsoups.evaluation.scores import read_scores

    scores, correct = read_scores(given.path("scores")), given.read("correct")
    table = table_3(
        scores,
        correct,
        given.roles,
        given.study,
        given.methods,
        given.spec["paper_columns"],
    )
    where = f"sweep {given.spec['sweep']}"
    claims = row_claims(scores, correct, given.roles, given.methods, where)
    return Made(table=table, markdown=to_markdown(table), claims=claims)


def targets(sweep: str, config: Mapping[str, Any]) -> dict[str, Spec]:
    """Table 3 of its sweep, with the paper's numbers where a study asks for them."""
    return {
        "table3": {"sweep": sweep, "paper_columns": config.get("paper_columns", False)},
    }


RESULT = Result(
    name="table3",
    title="Table 3",
    section="3.3",
    kind="table",
    about="Table 3: accuracy of every method, with intervals and tests against the best run.",
    key="table3",
    schema={**SWEEP, "description": "The sweep or pool that Table 3 is about"},
    targets=targets,
    needs=table_need("scores", "correct"),
    names=one_sweep,
    problems=lambda spec, study: needs_runs(study, spec["sweep"]),
    make=make,
    caption=(
        "Table 3. Every method starts from the runs of one sweep and chooses on the held-out set. "
        "In parentheses 95 % intervals over images (Wilson in distribution, stratified bootstrap "
        "for the mean of shifts), or the standard deviation over the models of a row, where they "
        "differ in their seed. p-values are against the best individual model: exact McNemar in "
        "distribution, permutation test (10,000 permutations) for means. Held-out − test: optimism "
        "of what was chosen there."
    ),
    paper=(
        "The greedy soup beats the best individual model in distribution (81.03 against 80.38 %) "
        "and on the shifts (50.75 against 47.83 %)"
    ),
)


def _against_best(
    correct: "pd.DataFrame",
    models: Sequence[str],
    best: Sequence[str],
    test: str,
    shifts: list[str],
) -> dict[str, float]:
    """The p-values of a row against the best individual model; NaN for that itself."""
    from modelsoups.evaluation.paired import compare

    sets = {"in_distribution": [test], "shifts": shifts}
    same = list(models) == list(best)
    return {
        f"{name}_p": nan if same or not datasets else compare(correct, models, best, datasets).p
        for name, datasets in sets.items()
    }


def summarize(
    accuracies: "pd.DataFrame",
    sizes: "pd.Series",
    held_out: str,
    test: str,
    shifts: list[str],
) -> dict[str, float]:
    """The columns that are computed from accuracies, for the models of one row."""
    from modelsoups.evaluation.statistics import accuracy_interval, gap_interval, mean_interval

    mean, shifts_mean = accuracies.mean(), accuracies[shifts].mean(axis=1)
    test_interval = shifts_interval = gap = (nan, nan)
    if len(accuracies) == 1:  # a mean of models on the same images is no fraction of them
        gap = gap_interval(mean[held_out], sizes[held_out], mean[test], sizes[test])
        test_interval = accuracy_interval(mean[test], sizes[test])
        if shifts:
            shifts_interval = mean_interval(mean[shifts], sizes[shifts])
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


def _ties(ranked: "pd.Series", model: str) -> str:
    """The other runs that have the model's held-out accuracy, in words."""
    others = ranked.index[ranked == ranked[model]].drop(model)
    return f"tied on the held-out set with {' '.join(others)}" if len(others) else ""


def in_percent(row: Mapping[Hashable, Any], name: str) -> str:
    """`72.69 (69.55-75.64)` or, for a mean of models, `72.69 (± 0.31)`."""
    low, high, std = (100 * row.get(f"{name}_{part}", nan) for part in ("low", "high", "std"))
    spread = f" (± {std:.2f})" if not isnan(std) else f" ({low:.2f}–{high:.2f})"
    spread = "" if isnan(std) and isnan(low) else spread
    return f"{100 * row[f'{name}_accuracy']:.2f}{spread}"


def print_p(row: Mapping[Hashable, Any], name: str) -> str:
    """`0.013 (Holm 0.091)`."""
    values = [row[f"{name}_p"], row[f"{name}_p_holm"]]
    if isnan(values[0]):
        return "–"
    plain, corrected = ("< 0.001" if p < 0.001 else f"{p:.3f}" for p in values)
    return f"{plain} (Holm {corrected})"


def print_optimism(row: Mapping[Hashable, Any]) -> str:
    """`1.42 (-2.70 to 5.54)`, in percentage points."""
    value, low, high = (100 * row[name] for name in ("optimism", "optimism_low", "optimism_high"))
    return f"{value:+.2f}" + ("" if isnan(low) else f" ({low:+.2f} to {high:+.2f})")
