"""Table 1: the greedy soup of the paper's largest model against the best of its runs (Sec. 1)."""

from typing import TYPE_CHECKING

from modelsoups.paper import pools
from modelsoups.paper.claims import Claim, compared
from modelsoups.paper.declare import Given, Made, Result
from modelsoups.paper.methods import by_label
from modelsoups.paper.pages import join_markdown
from modelsoups.paper.table4 import FAIR, ORACLE, SHIFTS_MEAN, label_sets, table_4

if TYPE_CHECKING:
    import pandas as pd

SOUP = pools.SOUP
PAPERS = {  # of ViT-G/14, in %
    "in_distribution": "90.94 % against 90.72 % (ViT-G/14)",
    "shifts": "85.02 % against 84.38 % (ViT-G/14)",
}
# Table 1's "best model in hyperparam search" has the numbers of Table 4's oracle row.
ROWS = {
    FAIR[0]: (FAIR[0], 90.72, 84.38),
    ORACLE: ("Best model in hyperparam search (oracle: on each column's own images)", 90.78, 84.68),
    SOUP: (SOUP, 90.94, 85.02),
}


def table_1(whole: "pd.DataFrame", test: str) -> "pd.DataFrame":
    """The rows and columns of Table 1, out of Table 4.

    Args: whole: of `table_4`. test: name of the test set.
    Returns: study, method, model, dataset, accuracy (a fraction), low, high, n, paper (in %).
    """
    chosen = whole[whole["method"].isin([*ROWS]) & whole["dataset"].isin([test, SHIFTS_MEAN])]
    papers = [
        ROWS[row.method][1 if row.dataset == test else 2] for row in chosen.itertuples(index=False)
    ]
    table = chosen.assign(paper=papers, method=[ROWS[method][0] for method in chosen["method"]])
    return table[
        ["study", "method", "model", "dataset", "accuracy", "low", "high", "n", "paper"]
    ].reset_index(drop=True)


def to_markdown(table: "pd.DataFrame") -> str:
    """Table 1 as Markdown, in percent with intervals over images, beside the paper's ViT-G/14."""
    sets = table.groupby("dataset", sort=False)["n"].first()
    header = [
        f"{table['study'].iloc[0]}: accuracy in %",
        *(f"{name} (n = {n:,})" for name, n in sets.items()),
        *(f"The paper's ViT-G/14: {name}" for name in ("ImageNet", "mean of shifts")[: len(sets)]),
    ]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for method, cells in table.groupby("method", sort=False):
        found = [
            f"{100 * row.accuracy:.2f} ({100 * row.low:.2f}–{100 * row.high:.2f})"
            for row in cells.itertuples()
        ]
        lines.append([str(method), *found, *(f"{each:.2f}" for each in cells["paper"])])
    return join_markdown(lines)


def ensemble_claim(given: Given, scores: "pd.DataFrame", correct: "pd.DataFrame") -> list[Claim]:
    """The greedy soup beats the greedy ensemble on the shifts, of which the paper has both."""
    from modelsoups.evaluation.scores import datasets_of

    labelled = by_label(given.methods, scores["model"].unique())
    shifts = datasets_of(given.roles, "shift")
    if not shifts or not {SOUP, pools.ENSEMBLE} <= labelled.keys():
        return []
    return [
        compared(
            correct,
            labelled[SOUP],
            labelled[pools.ENSEMBLE],
            shifts,
            given.spec["sweep"],
            claim=f"The greedy soup beats the greedy ensemble on the shifts "
            f"({given.spec['sweep']})",
            section="3.3.2",
            paper="85.02 % against 84.33 % (ViT-G/14)",
        )
    ]


def make(given: Given) -> Made:
    """Table 1 and the claims of Section 3.3.2."""
    from modelsoups.evaluation.scores import the_dataset

    scores, correct = pools.read(given)
    sweep = given.spec["sweep"]
    about = (scores, correct, given.roles, given.methods)
    whole = table_4(
        scores, correct, given.roles, label_sets(given), given.study, sweep, given.methods
    )
    table = table_1(whole, the_dataset(given.roles, "test"))
    return Made(
        table=table,
        markdown=to_markdown(table),
        claims=[
            *pools.held_out_claims(*about, sweep, section="3.3.2", papers=PAPERS),
            *ensemble_claim(given, scores, correct),
            *pools.average_claims(*about, pools.read_pools(given), sweep, section="3.3.2"),
        ],
    )


RESULT = Result(
    name="table1",
    title="Table 1",
    section="3.3",
    kind="table",
    about="Table 1: the greedy soup of low averages against the best run of either average.",
    key="table1",
    schema=pools.SCHEMA,
    targets=lambda spec, config: {"table1": pools.with_labels(spec, {})},
    needs=pools.needs,
    names=pools.names,
    problems=pools.problems,
    make=make,
    caption=(
        "Table 1 in the form of the paper: the greedy soup of the runs' low averages, and the best "
        "run of low or high averages: by the held-out set, and, as the paper's numbers are, by "
        "each column's own images. Intervals are over images."
    ),
    paper="The greedy soup of ViT-G/14 has 90.94 % on ImageNet and 85.02 % on the shifts, its best "
    "run 90.78 % and 84.68 %",
)
