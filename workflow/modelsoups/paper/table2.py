"""Table 2: the methods, and what a prediction by each costs, measured (Section 2)."""

from collections.abc import Iterable, Iterator, Mapping
from math import nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import (
    SWEEP,
    Analysis,
    Given,
    Made,
    Result,
    one_sweep,
    table_need,
)
from modelsoups.paper.methods import by_label
from modelsoups.paper.pages import join_markdown
from modelsoups.paper.recipes import mean_cost, print_cost
from modelsoups.paper.rows import BEST
from modelsoups.soups.registry import Method
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

FORMULAS = {  # label -> the paper's
    BEST: "f(x, argmax_i ValAcc(θ_i))",
    "Ensemble": "1/k Σ_i f(x, θ_i)",
    "Uniform soup": "f(x, 1/k Σ_i θ_i)",
    "Greedy soup": "Recipe 1",
    "Learned soup": "Appendix I",
}
PAPER_COSTS = {"run": "O(1)", "soup": "O(1)", "ensemble": "O(k)"}  # kind of model -> the paper's
CHOICE = ("passes", "seconds", "peak_memory_mb", "resumed")  # of what cooking a soup took
PLAN = {"max_images": 512, "num_repeats": 5}  # of one timing


def table_2(
    scores: "pd.DataFrame",
    timing: "pd.DataFrame",
    costs: "pd.DataFrame",
    study: str,
    methods: Mapping[str, Method],
) -> "pd.DataFrame":
    """What a prediction by each method takes, and what it took to choose it.

    Args:
        scores: tidy scores of a sweep. timing: of `analyses.timing.time_predictions`: of the
            best run, soups and ensembles. costs: of `soups.costs.collect_costs`.
        methods: soup or ensemble -> its row, in the order of rows.
    Returns:
        One row a method; of several models means. study, method, models (joined by a space),
        formula and cost (the paper's); num_models that a prediction runs; seconds_per_1000
        predictions, weights_mb in memory, and relative_seconds and relative_weights, to the best
        run; device, threads, precision. Of soups what cooking took after each run had been
        evaluated on the held-out set: passes over it, seconds, peak_memory_mb and resumed, as
        `recipes.mean_cost` has them; NaN of the others.
    """
    import pandas as pd

    kinds = scores.groupby("model")["kind"].first()
    timed = timing.set_index("model")
    timed["seconds_per_1000"] = 1000 * timed["seconds"] / timed["num_examples"]
    (best,) = [model for model in timed.index if model not in methods]
    measured = ["num_models", "seconds_per_1000", "weights_mb"]
    rows: list[dict[str, Any]] = []
    one = timed.loc[best]
    for method, models in {BEST: [best], **by_label(methods, timed.index)}.items():
        kind = kinds[models[0]]
        means = timed.loc[models, measured].mean()
        taken = mean_cost(costs, models) if kind == "soup" else {}
        rows.append(
            {
                "study": study,
                "method": method,
                "models": " ".join(models),
                "formula": FORMULAS.get(method, ""),
                "cost": PAPER_COSTS[kind],
                **means.to_dict(),
                "relative_seconds": means["seconds_per_1000"] / one["seconds_per_1000"],
                "relative_weights": means["weights_mb"] / one["weights_mb"],
                **one[["device", "threads", "precision"]].to_dict(),
                **{name: taken.get(name, nan) for name in CHOICE},
            }
        )
    return pd.DataFrame(rows)


def to_markdown(table: "pd.DataFrame") -> str:
    """The table in print: times and weights as multiples of the best run's."""
    best = table.iloc[0]
    header = [
        str(best["study"]),
        "Prediction",
        "Cost in the paper",
        "Models run",
        f"Time (1 = {best['seconds_per_1000']:.2f} s for 1,000 on {best['device']}, "
        f"{best['precision']})",
        f"Weights in memory (1 = {best['weights_mb']:.1f} MB)",
        "To choose: held-out passes",
        "Seconds",
        "Memory (GB)",
    ]
    lines = [header, ["---", "---", "---", *["---:"] * (len(header) - 3)]]
    for row in table.to_dict("records"):
        lines.append(
            [
                f"{row['method']} ({row['models']})",
                row["formula"] or "–",
                row["cost"],
                f"{row['num_models']:g}",
                f"{row['relative_seconds']:.2f}",
                f"{row['relative_weights']:.2f}",
                print_cost(row, "passes", ".1f"),
                print_cost(row, "seconds", ".1f"),
                print_cost(row, "peak_memory_mb", ".2f", 1000),
            ]
        )
    return join_markdown(lines)


def describe(table: "pd.DataFrame") -> Iterator[str]:
    """How long soups and ensembles take beside the best run; no test."""
    for cost, what in {"O(1)": "soups", "O(k)": "ensembles"}.items():
        chosen = table[(table["cost"] == cost) & (table["method"] != BEST)]
        if len(chosen):
            times = chosen["relative_seconds"]
            yield (
                f"A prediction by the {what} took {times.min():.2f} to {times.max():.2f} times as "
                "long as one by the best run."
            )


def make(given: Given) -> Made:
    """Table 2."""
    from modelsoups.evaluation.scores import read_scores

    table = table_2(
        read_scores(given.path("scores")),
        given.read("timing"),
        given.read("costs"),
        given.study,
        given.methods,
    )
    return Made(table=table, markdown=to_markdown(table), found=list(describe(table)))


def problems(sweep: str, study: Study) -> Iterable[str]:
    """Without runs there is no model to compare with; an evaluator of the user's is not timed."""
    yield from needs_runs(study, sweep)
    if "evaluate" in study.config.get("soup", {}):
        yield f"predictions of {sweep} are made by a function of the user's own, and are not timed"


RESULT = Result(
    name="table2",
    title="Table 2",
    section="2",
    kind="table",
    about="Table 2: the methods, and what a prediction by each costs, measured.",
    key="table2",
    schema={**SWEEP, "description": "The sweep or pool whose methods' predictions are timed"},
    targets=lambda sweep, config: {"table2": {"sweep": sweep}},
    needs=table_need("scores", "timing", "costs"),
    analyses=lambda spec: [Analysis(sweep=spec["sweep"], table="timing", plan=PLAN)],
    names=one_sweep,
    problems=lambda spec, study: problems(spec["sweep"], study),
    make=make,
    caption=(
        "Table 2 with measured costs. Time: the median of five times in which a method predicted "
        "the same held-out examples, one method after the other, models of an ensemble one by one; "
        "reading weights is not counted. Each run was evaluated on the held-out set once for all "
        "methods; what soups took beyond that stands at the right. Times differ from one making to "
        "the next."
    ),
    paper="Soups cost O(1) of a model's memory and compute, an ensemble of k models O(k)",
)
