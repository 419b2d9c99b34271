"""Figures H.1 to H.4: Figure B.1 with other searches and initialisations (Appendix H)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelsoups.paper import figureB1
from modelsoups.paper.claims import Claim, in_points, make_claim, points
from modelsoups.paper.declare import SWEEP, Given, Made, Result, Spec, one_sweep, table_need
from modelsoups.paper.domains import difference_of_rows

if TYPE_CHECKING:
    import pandas as pd

GRIDS = {1: "standard", 2: "extreme", 3: "standard", 4: "extreme"}  # of the paper's figures
ORDERS = {"num_orders": 3, "seed": 0}  # where the config has no Figure B.1; the paper's number


def targets(sweeps: list[str], config: Mapping[str, Any]) -> dict[str, Spec]:
    """A figure a sweep, with the orders of Figure B.1."""
    orders = {name: config.get("figureB1", ORDERS)[name] for name in ORDERS}
    return {
        f"figureH{number}": {"sweep": sweep, "number": number, **orders}
        for number, sweep in enumerate(sweeps, start=1)
    }


def uniform_claims(
    growth: "pd.DataFrame", roles: Mapping[str, str], sweep: str, number: int
) -> list[Claim]:
    """The uniform soup of all models: below the best run in the extreme grid, and not, by more than
    a margin, in the standard one (in distribution; Sec. 3.3.1 on runs that are all good).

    Args: growth: of `analyses.growth.grow`. number: of the figure; those past the paper's claim
        nothing.
    """
    from modelsoups.evaluation.scores import the_dataset
    from modelsoups.evaluation.statistics import above

    whole = growth[growth["k"] == growth["k"].max()]
    rows = {name: whole[whole["method"] == name] for name in ("Uniform soup", figureB1.BEST)}
    if number not in GRIDS or rows["Uniform soup"].empty:
        return []
    fails = GRIDS[number] == "extreme"
    first, second = list(rows)[::-1] if fails else list(rows)
    found = difference_of_rows(rows[first], rows[second], [the_dataset(roles, "test")])
    return [
        make_claim(
            f"{first} minus {second.lower()}, of all {whole['k'].max()} models: "
            f"{in_points(found)}, sweep {sweep}",
            found if fails else above(found, -figureB1.MARGIN),
            claim="The uniform soup of the extreme grid is below the best run"
            if fails
            else "The uniform soup of the standard grid is not worse than the best run by more "
            f"than {points(figureB1.MARGIN)[1:]}",
            section="H",
            paper="Uniform soups beat the best run only where all runs are good",
        )
    ]


def make(given: Given) -> Made:
    """Figure B.1 of another sweep, and whether the uniform soup fails there."""
    sweep, number = given.spec["sweep"], given.spec["number"]
    made = figureB1.draw(given, f"{given.study}: sweep {sweep}")
    claims = uniform_claims(given.read("growth"), given.roles, sweep, number)
    return replace(made, claims=[*claims, *made.claims])


RESULT = Result(
    name="figureH",
    title="Figure H.{number}",
    section="H",
    kind="figure",
    about="Figures H.1 to H.4: Figure B.1 with other searches and initialisations.",
    key="figureH",
    schema={
        "type": "array",
        "minItems": 1,
        "uniqueItems": True,
        "items": SWEEP,
        "description": "Sweeps and pools that have Figure B.1 too, in the paper's order: standard "
        "and extreme grid from the linear probe, then both from the zero-shot head",
    },
    targets=targets,
    needs=table_need("growth"),
    analyses=figureB1.analyses,
    names=one_sweep,
    make=make,
    caption="Figure H.{number}: Figure B.1 for sweep {sweep}.",
    paper="The same with other searches and initialisations",
)
