"""Table C.1: Table 4 for BASIC (Appendix C)."""

from modelsoups.paper import pools
from modelsoups.paper.declare import Given, Made, Result
from modelsoups.paper.table4 import label_sets, table_4, to_markdown

PAPERS = {  # of BASIC-L, in %
    "in_distribution": "90.98 % against 90.83 % (BASIC-L)",
    "shifts": "86.40 % against 85.63 % (BASIC-L)",
}
PAPER = (
    "The paper's BASIC-L, ImageNet and mean of shifts: best model on held out val set 90.83 and "
    "85.63, best model on each test set 90.87 and 86.54, greedy ensemble 91.02 and 86.20, greedy "
    "soup 90.98 and 86.40.\n"
)


def make(given: Given) -> Made:
    """Table C.1 and its claims."""
    scores, correct = pools.read(given)
    sweep = given.spec["sweep"]
    about = (scores, correct, given.roles, given.methods)
    table = table_4(
        scores, correct, given.roles, label_sets(given), given.study, sweep, given.methods
    )
    return Made(
        table=table,
        markdown=f"{to_markdown(table)}\n{PAPER}",
        claims=[
            *pools.held_out_claims(*about, sweep, section="C", papers=PAPERS),
            *pools.average_claims(*about, pools.read_pools(given), sweep, section="C"),
        ],
    )


RESULT = Result(
    name="tableC1",
    title="Table C.1",
    section="C",
    kind="table",
    about="Table C.1: Table 4 for runs from the zero-shot head, by Adafactor, averaged by EMA.",
    key="tableC1",
    schema=pools.SCHEMA,
    targets=lambda spec, config: {"tableC1": pools.with_labels(spec, config)},
    needs=pools.needs,
    names=pools.names,
    problems=pools.problems,
    make=make,
    caption=(
        "The form of Table C.1. Soups are of the runs' low averages, the best run of low or high "
        "ones. Bold: the best of the best model on the held-out set, the greedy ensemble and the "
        "greedy soup, and what does not differ from it significantly (alpha = 0.05, exact McNemar "
        "or permutation test). The oracle row is chosen on the test sets."
    ),
    paper="The greedy soup consistently outperforms the model that is best on the held-out set",
)
