"""Table J.1: Table 5 in full, with the start and the uniform soup (Appendix J.5)."""

from typing import TYPE_CHECKING

from modelsoups.paper.declare import Given, Made, Result
from modelsoups.paper.table5 import (
    BEST,
    CAPTION,
    GREEDY,
    INITIALIZATION,
    SCHEMA,
    UNIFORM,
    names,
    needs,
    problems,
    soup_claims,
    targets,
    text_table,
    to_markdown,
)

if TYPE_CHECKING:
    import pandas as pd


def describe(table: "pd.DataFrame") -> str:
    """How much is lost from the held-out set to the test set by what was chosen there."""
    losses = {
        method: 100 * (rows["held_out"] - rows["value"]).mean()
        for method, rows in table.groupby("method")
        if method in (BEST, GREEDY)
    }
    parts = ", ".join(f"{method.lower()} {loss:+.1f}" for method, loss in losses.items())
    return f"Held-out minus test, points, mean over models and tasks: {parts}."


def make(given: Given) -> Made:
    """Table J.1."""
    table = text_table(given)
    return Made(
        table=table,
        markdown=to_markdown(table, (INITIALIZATION, BEST, UNIFORM, GREEDY)),
        claims=soup_claims(table),
        found=[describe(table)],
    )


RESULT = Result(
    name="tableJ1",
    title="Table J.1",
    section="J",
    kind="table",
    about="Table J.1: start, best run, uniform and greedy soup of every model and task of text.",
    key="tableJ1",
    schema={**SCHEMA, "description": "As in table5; with searches as broad as the paper's"},
    targets=targets("tableJ1"),
    needs=needs,
    names=names,
    problems=problems,
    make=make,
    caption=f"The start, the best individual model, the uniform and the greedy soup. {CAPTION}",
    paper=(
        "In 10 of 20 combinations the greedy soup is better than the best individual model; "
        "uniform soups are worse, which could be an artifact of the broad search"
    ),
)
