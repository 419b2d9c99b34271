"""Table 4: the greedy soup against the best runs on every test set, with second label sets.

The form of the paper's Tables 4 and C.1 (Sections 3.3.2 and C), for any sweep.
"""

from collections.abc import Mapping
from math import nan
from typing import TYPE_CHECKING, Any

from modelsoups.paper import pools
from modelsoups.paper.claims import WHERE, Claim, compared
from modelsoups.paper.declare import SWEEP, Given, Made, Result, Spec
from modelsoups.paper.domains import sets_by_domain
from modelsoups.paper.methods import by_label
from modelsoups.paper.pages import join_markdown
from modelsoups.soups.registry import Method

if TYPE_CHECKING:
    import pandas as pd

INITIALIZATION = "Initialization"
ORACLE = "Best model on each test set (oracle, no fair choice)"
# The rows of which one is chosen as best, and all not significantly worse are marked.
FAIR = ["Best model on held out val set", "Greedy ensemble", "Greedy soup"]
SHIFTS_MEAN = "avg-shifts"


def table_4(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    label_sets: Mapping[str, str],
    study: str,
    sweep: str,
    methods: Mapping[str, Method],
) -> "pd.DataFrame":
    """The greedy soup against the best runs, on every test set.

    Of the rows in `FAIR` the best on a set, and those not significantly different from it at
    alpha = 0.05, are marked ("numbers not significantly different from the best are bold-faced").
    The oracle row has the best run on each set by that set itself; its mean of shifts is the best
    mean of any run. Rows that a study has no model of are left out.

    Args:
        scores: tidy scores of a sweep.
        correct: which images its models have right, by test sets and by label sets.
        roles: dataset -> role; one held_out, one test, any shifts.
        label_sets: second label sets of the test set, in `correct`: name -> what there is to say of
            it, such as its version.
        study, sweep: names, repeated in every row.
        methods: soup or ensemble -> its row.
    Returns: one row a method and dataset: study, sweep, method, model, dataset (`SHIFTS_MEAN` for
        the mean of the shift sets), note (on a label set), accuracy, low, high, n, p (against the
        best of the fair rows, not corrected; NaN for the best itself and outside them), p_holm
        (corrected for all of the table), marked.
    """
    import pandas as pd

    from modelsoups.evaluation.paired import accuracy_of, compare, strata
    from modelsoups.evaluation.scores import datasets_of, rank, the_dataset
    from modelsoups.evaluation.statistics import ALPHA, accuracy_interval, holm, mean_interval

    held_out, test = the_dataset(roles, "held_out"), the_dataset(roles, "test")
    shifts = datasets_of(roles, "shift")
    columns = {name: [name] for name in (test, *label_sets, *shifts)}
    columns |= {SHIFTS_MEAN: shifts} if shifts else {}
    kinds = scores.groupby("model")["kind"].first()
    runs = list(kinds.index[kinds == "run"])
    best = rank(scores[scores["kind"] == "run"], held_out, roles).index[0]
    labelled = by_label(methods, kinds.index)
    rows: dict[str, list[str]] = {
        INITIALIZATION: list(kinds.index[kinds == "initialization"]),
        FAIR[0]: [best],
        ORACLE: [],
        **{label: labelled.get(label, []) for label in FAIR[1:]},
    }
    table: list[dict[str, Any]] = []
    for column, datasets in columns.items():
        alone = {run: accuracy_of(correct, [run], datasets) for run in runs}
        here = {**rows, ORACLE: [max(runs, key=alone.__getitem__)]}
        picked = {method: models for method, models in here.items() if models}
        accuracies = {
            method: accuracy_of(correct, models, datasets) for method, models in picked.items()
        }
        fair = [method for method in FAIR if method in picked]
        top = max(fair, key=accuracies.__getitem__)
        sizes = [len(scores) for scores in strata(correct, [best], datasets)]
        for method, models in picked.items():
            p = nan
            if method in fair and models != picked[top]:
                p = compare(correct, models, picked[top], datasets).p
            low = high = nan
            if len(models) == 1:  # a mean of models on the same images is no fraction of them
                each = [float(scores.mean()) for scores in strata(correct, models, datasets)]
                low, high = (
                    accuracy_interval(each[0], sizes[0])
                    if len(sizes) == 1
                    else mean_interval(each, sizes)
                )
            table.append(
                {
                    **{"study": study, "sweep": sweep},
                    **{"method": method, "model": " ".join(models)},
                    **{"dataset": column, "note": label_sets.get(column, "")},
                    "accuracy": accuracies[method],
                    **{"low": low, "high": high, "n": sum(sizes), "p": p},
                    "marked": method in fair and not p < ALPHA,
                }
            )
    result = pd.DataFrame(table)
    result["p_holm"] = holm(result["p"].to_numpy())
    return result


def to_markdown(table: "pd.DataFrame") -> str:
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


def oracle_claims(
    scores: "pd.DataFrame",
    correct: "pd.DataFrame",
    roles: Mapping[str, str],
    methods: Mapping[str, Method],
    sweep: str,
) -> list[Claim]:
    """The greedy soup is better than the best run on each set, even if that is chosen on the set.

    Arguments as of `table_4`.
    """
    from modelsoups.evaluation.paired import accuracy_of

    kinds = scores.groupby("model")["kind"].first()
    runs = list(kinds.index[kinds == "run"])
    greedy = by_label(methods, kinds.index).get("Greedy soup")
    claims = []
    for domain, datasets in sets_by_domain(roles).items():
        if greedy and runs:
            best = max(runs, key=lambda run: accuracy_of(correct, [run], datasets))
            claims.append(
                compared(
                    correct,
                    greedy,
                    [best],
                    datasets,
                    f"sweep {sweep}; the run is the best on these images",
                    claim=f"The greedy soup beats even the run that is best on the test images "
                    f"({WHERE[domain]})",
                    domain=domain,
                    section="3.3.2",
                    paper="90.94 % against 90.78 % (ViT-G/14)"
                    if domain == "in_distribution"
                    else "85.02 % against 84.68 % (ViT-G/14)",
                )
            )
    return claims


def label_sets(given: Given) -> dict[str, str]:
    """The study's second label sets -> what there is to say of them."""
    from modelsoups.data.label_sets import caption_label_set

    return {name: caption_label_set(spec) for name, spec in given.spec["label_sets"].items()}


def make(given: Given) -> Made:
    """Table 4 of a sweep and its claims."""
    scores, correct = pools.read(given)
    sweep = given.spec["sweep"]
    table = table_4(
        scores, correct, given.roles, label_sets(given), given.study, sweep, given.methods
    )
    claims = oracle_claims(scores, correct, given.roles, given.methods, sweep)
    return Made(table=table, markdown=to_markdown(table), claims=claims)


def targets(entries: list[Any], config: Mapping[str, Any]) -> dict[str, Spec]:
    """A table a sweep, with all label sets of the study."""
    specs = [{"sweep": each} if isinstance(each, str) else each for each in entries]
    return {f"table4-{spec['sweep']}": pools.with_labels(spec, config) for spec in specs}


RESULT = Result(
    name="table4",
    title="Table 4, sweep {sweep}",
    section="3.3",
    kind="table",
    about="Table 4's form for a sweep: extra label sets, every shift, marks, the oracle row.",
    key="table4",
    schema={
        "type": "array",
        "items": {"anyOf": [SWEEP, pools.SCHEMA]},
        "description": "The sweeps and pools that have a Table 4; of pools of low and high "
        "averages of the same runs the low one has the soups, and the best run is of either",
    },
    targets=targets,
    needs=pools.needs,
    names=pools.names,
    problems=pools.problems,
    make=make,
    caption=(
        "The form of Table 4. Bold: the best of the best model on the held-out set, the greedy "
        "ensemble and the greedy soup, and what does not differ from it significantly (alpha = "
        "0.05, exact McNemar or permutation test). The oracle row is chosen on the test sets."
    ),
    paper="The greedy soup is significantly better than the best model on all sets but one",
)
