"""Table 5: the best run against the greedy soup on tasks of text, each by its own metric (3.3.3).

`tableJ1` has the same in full. Sweeps are fine-tuned on one task each; everything is chosen on the
sweep's held-out set, by the task's metric, and reported on its test set.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper.claims import Claim, make_claim, points
from modelsoups.paper.conditions import needs_runs
from modelsoups.paper.declare import SWEEP, Given, Made, Need, Result, Spec, tables_of
from modelsoups.paper.pages import join_markdown
from modelsoups.study.study import Study

if TYPE_CHECKING:
    import pandas as pd

INITIALIZATION, BEST = "Initialization", "Best individual model"
UNIFORM, GREEDY = "Uniform soup", "Greedy soup"
METRICS = {  # metric of a task -> how it is called in print
    "accuracy": "accuracy",
    "matthews": "Matthews correlation",
    "accuracy_f1": "mean of accuracy and F1",
}
# Table J.1, in percent: best individual model, uniform soup, greedy soup. (Table 5 prints T5's gain
# on CoLA as +0.4; its numbers, which are these, differ by 1.4.)
PAPER: dict[tuple[str, str], tuple[float, float, float]] = {
    ("BERT-base", "MRPC"): (88.3, 76.0, 88.3),
    ("BERT-base", "RTE"): (61.0, 52.7, 61.7),
    ("BERT-base", "CoLA"): (59.1, 0.0, 59.1),
    ("BERT-base", "SST-2"): (92.5, 89.9, 93.0),
    ("BERT-large", "MRPC"): (88.8, 15.8, 88.8),
    ("BERT-large", "RTE"): (56.7, 52.7, 56.7),
    ("BERT-large", "CoLA"): (63.1, 1.9, 63.1),
    ("BERT-large", "SST-2"): (92.2, 50.8, 92.3),
    ("T5-small", "MRPC"): (89.7, 82.7, 89.7),
    ("T5-small", "RTE"): (70.0, 61.7, 70.0),
    ("T5-small", "CoLA"): (42.2, 10.4, 43.0),
    ("T5-small", "SST-2"): (91.7, 91.1, 91.7),
    ("T5-base", "MRPC"): (91.8, 86.4, 92.4),
    ("T5-base", "RTE"): (78.3, 71.8, 79.1),
    ("T5-base", "CoLA"): (58.8, 12.3, 60.2),
    ("T5-base", "SST-2"): (94.6, 94.6, 94.7),
    ("T5-large", "MRPC"): (93.4, 74.8, 93.4),
    ("T5-large", "RTE"): (82.7, 50.2, 84.8),
    ("T5-large", "CoLA"): (61.7, 0.0, 62.7),
    ("T5-large", "SST-2"): (96.3, 96.0, 96.3),
}
AS_PAPER = ", chosen on the set that is reported"
IN_PAPER = {BEST: 0, UNIFORM: 1, GREEDY: 2}
SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["task", "model", "sweep"],
        "properties": {
            "task": {"type": "string", "description": "Column of the table"},
            "model": {"type": "string", "description": "Row of the table"},
            "sweep": {**SWEEP, "description": "A sweep or pool of this model on this task"},
            "metric": {
                "enum": list(METRICS),
                "description": "That the best run is chosen by and all are reported in (default "
                "accuracy)",
            },
            "greedy": {"type": "string", "description": "Its greedy soup (default `greedy`)"},
            "uniform": {"type": "string", "description": "Its uniform soup (default `uniform`)"},
            "broad": {
                "type": "boolean",
                "description": "Whether its search is as broad as the paper's, so that some runs "
                "fail to learn (default false)",
            },
            "as_paper": {
                "type": "boolean",
                "description": "Whether it is a pool that chooses on the set that is reported, as "
                "the paper does (default false)",
            },
        },
    },
}


def entry_rows(
    entry: Mapping[str, Any], scores: "pd.DataFrame", predictions: "pd.DataFrame"
) -> list[dict[str, Any]]:
    """The rows of one model on one task.

    Args:
        entry: of the config's list, with all defaults put in.
        scores, predictions: of its sweep, which has one held-out and one test set.
    Returns: for each method task, model, sweep, metric, method, name, held_out, value (on the test
        set), n, num_runs, as_paper, broad, paper; and to the best run difference, low, high, p.
    """
    from modelsoups.evaluation.predictions import score_difference
    from modelsoups.evaluation.scores import rank

    roles = dict(zip(predictions["dataset"], predictions["role"], strict=True))
    (held_out,) = (name for name, role in roles.items() if role == "held_out")
    (test,) = (name for name, role in roles.items() if role == "test")
    metric = entry["metric"]
    kinds = scores.groupby("model")["kind"].first()
    best = rank(scores[scores["kind"] == "run"], held_out, roles, metric).index[0]
    models = {
        INITIALIZATION: next(iter(kinds.index[kinds == "initialization"]), None),
        **{BEST: best, UNIFORM: entry["uniform"], GREEDY: entry["greedy"]},
    }
    table = scores[scores["metric"] == metric].set_index(["model", "dataset"])["value"]
    found = predictions[predictions["dataset"] == test]
    about = {key: entry[key] for key in ("task", "model", "sweep", "metric", "broad", "as_paper")}
    paper = PAPER.get((entry["model"], entry["task"]))
    rows = []
    for method, name in models.items():
        if name not in kinds.index:
            continue
        to_best = dict.fromkeys(("difference", "low", "high", "p"), nan)
        if name != best:
            between = score_difference(found, metric, name, best)
            to_best = {"difference": between.value, "low": between.low, "high": between.high}
            to_best["p"] = between.p
        rows.append(
            {
                **about,
                **{"method": method, "name": name},
                **{"held_out": table[name, held_out], "value": table[name, test]},
                **{"n": len(found), "num_runs": int((kinds == "run").sum())},
                **to_best,
                "paper": paper[IN_PAPER[method]] / 100 if paper and method in IN_PAPER else nan,
            }
        )
    return rows


def text_table(given: Given) -> "pd.DataFrame":
    """The rows of every entry, with the study's name and p-values corrected for the whole table."""
    import pandas as pd

    from modelsoups.evaluation.scores import read_scores
    from modelsoups.evaluation.statistics import holm

    rows = [
        row
        for entry, scores, predictions in zip(
            given.spec["entries"], *map(given.paths, ("scores", "predictions")), strict=True
        )
        for row in entry_rows(entry, read_scores(scores), pd.read_parquet(predictions))
    ]
    table = pd.DataFrame(rows)
    table.insert(0, "study", given.study)
    return table.assign(p_holm=holm(table["p"].to_numpy()))


def to_markdown(table: "pd.DataFrame", methods: Sequence[str] = (BEST, GREEDY)) -> str:
    """The form of Tables 5 and J.1: a line for each model and method, a column for each task.

    A cell has percent, the difference from the best run, and the paper's number.
    """
    tasks = table.groupby("task", sort=False)[["metric", "n"]].first()
    head = [
        f"{table['study'].iloc[0]}: %",
        "Method",
        *(f"{task} ({METRICS[row.metric]}, n = {row.n:,})" for task, row in tasks.iterrows()),
    ]
    lines = [head, ["---", "---", *["---:"] * len(tasks)]]
    for (model, as_paper), rows in table.groupby(["model", "as_paper"], sort=False):
        name = f"{model}{AS_PAPER}" if as_paper else str(model)
        for method in methods:
            cells = rows[rows["method"] == method].set_index("task")
            if len(cells):
                texts = (
                    cell(cells.loc[task]) if task in cells.index else "–" for task in tasks.index
                )
                lines.append([name, method, *texts])
    return join_markdown(lines)


def cell(row: "pd.Series") -> str:
    """`52.6 (+0.7, p 0.21)`, and where the paper has the model and task its number."""
    text = f"{100 * row['value']:.1f}"
    if row["difference"] == row["difference"]:
        text += f" ({100 * row['difference']:+.1f}, p {row['p']:.2g})"
    return text + (f"; paper {100 * row['paper']:.1f}" if row["paper"] == row["paper"] else "")


def soup_claims(table: "pd.DataFrame") -> list[Claim]:
    """How often and by how much the greedy soup is better, and uniform soups are worse.

    By this study's protocol, and by the paper's where a study has that too.
    """
    return [
        claim
        for as_paper, rows in table.groupby("as_paper")
        for claim in claims_of(rows, AS_PAPER if as_paper else "")
    ]


def claims_of(table: "pd.DataFrame", how: str) -> Iterator[Claim]:
    """The claims of one protocol. Args: how: what there is to say of it, in a claim."""
    searches = ", broad searches among them" if table["broad"].any() else ""
    yield mean_claim(
        table[table["method"] == GREEDY],
        "better than",
        claim="The greedy soup is better than the best run on tasks of text, on average"
        f"{searches}{how}",
        section="3.3.3",
        paper="better in 10 of 20 models and tasks, worse in none (Table J.1)",
    )
    uniform = table[table["method"] == UNIFORM]
    for broad, claim, paper in (
        (
            True,
            "The uniform soup collapses under a search as broad as the paper's",
            "below the best run in 19 of 20, equal in one; by up to 73 points (Table J.1)",
        ),
        (
            False,
            "The uniform soup is worse than the best run on tasks of text, on average",
            "below it in 19 of 20, which the text puts down to the broad search",
        ),
    ):
        if len(rows := uniform[uniform["broad"] == broad]):
            yield mean_claim(
                rows, "below", sign=-1, claim=f"{claim}{how}", section="J.5", paper=paper
            )


def mean_claim(
    rows: "pd.DataFrame", what: str, sign: int = 1, *, claim: str, section: str, paper: str
) -> Claim:
    """The claim that the mean difference from the best run is above zero, or below it.

    The interval is over examples: errors of entries that share a test set are added up as if they
    were one (no less than they can be), those of others as of independent ones. Where the best run
    is the soup there is no difference and no error.
    """
    import numpy as np

    from modelsoups.evaluation.statistics import Estimate, estimate, standard_error

    differences = sign * rows["difference"].fillna(0).to_numpy()
    errors = [
        0.0
        if row.p != row.p
        else standard_error(Estimate(value=row.difference, low=row.low, high=row.high, p=row.p))
        for row in rows.itertuples()
    ]
    together = rows.assign(error=errors).groupby("task")["error"].sum()
    error = float(np.sqrt((together**2).sum()) / len(rows))
    found = estimate(float(differences.mean()), error)
    counts = [(differences > 0).sum(), (differences == 0).sum(), (differences < 0).sum()]
    here = (
        f"{what} the best run in {counts[0]} of {len(rows)}, equal in {counts[1]}; on average by "
        f"{points(found.value, found.low, found.high)}"
    )
    return make_claim(here, found, claim=claim, section=section, paper=paper)


def make(given: Given) -> Made:
    """Table 5."""
    table = text_table(given)
    shown = table[table["method"].isin([BEST, GREEDY])].reset_index(drop=True)
    claims = [each for each in soup_claims(table) if each.section == "3.3.3"]
    return Made(table=shown, markdown=to_markdown(shown), claims=claims)


def targets(name: str) -> Any:
    """The one file of a result, its entries with all defaults."""
    soups = {"greedy": "greedy", "uniform": "uniform"}
    no = {"broad": False, "as_paper": False}
    defaults: dict[str, Any] = {"metric": "accuracy", **soups, **no}
    return lambda entries, config: {name: {"entries": [{**defaults, **entry} for entry in entries]}}


def needs(spec: Spec) -> dict[str, Need | list[Need]]:
    """Scores, and predictions example by example, of every entry."""
    return tables_of((entry["sweep"] for entry in spec["entries"]), "scores", "predictions")


def names(spec: Spec) -> Iterable[tuple[str, str]]:
    """The sweeps, and the soups."""
    for entry in spec["entries"]:
        yield "sweep", entry["sweep"]
        yield "recipe", entry["greedy"]
        yield "recipe", entry["uniform"]


def problems(spec: Spec, study: Study) -> Iterator[str]:
    """Unless every sweep has runs, a test set, and its soups, the greedy one by the same metric."""
    for entry in spec["entries"]:
        sweep = entry["sweep"]
        yield from needs_runs(study, sweep)
        tests = [each for each in study.reported_of(sweep) if study.roles[each] == "test"]
        if len(tests) != 1:
            yield f"{sweep} reports {tests or 'no test set'}; expected one"
        recipes = study.recipes_of(sweep)
        if missing := {entry["greedy"], entry["uniform"]} - recipes.keys():
            yield f"{sweep} has no recipe {', '.join(sorted(missing))}; it has {', '.join(recipes)}"
        elif (found := recipes[entry["greedy"]].get("metric", "accuracy")) != entry["metric"]:
            yield f"{sweep}: {entry['greedy']} is chosen by {found}, the task is {entry['metric']}"


CAPTION = (
    "Everything is chosen on a held-out set, by the metric that is shown, and reported on another; "
    "the paper chose on the set that it reports. In parentheses the difference from the best "
    "individual model, with the p-value of a paired test over examples (of accuracy as McNemar's, "
    "else by bootstrap), not corrected."
)
RESULT = Result(
    name="table5",
    title="Table 5",
    section="3.3",
    kind="table",
    about="Table 5: the best run against the greedy soup on tasks of text.",
    key="table5",
    schema={**SCHEMA, "description": "Models on tasks of text, with a sweep each"},
    targets=targets("table5"),
    needs=needs,
    names=names,
    problems=problems,
    make=make,
    caption=f"The best individual model and the greedy soup. {CAPTION}",
    paper=(
        "The improvements are not as pronounced as in image classification, but the greedy soup "
        "improves over the best individual model in many cases"
    ),
)
