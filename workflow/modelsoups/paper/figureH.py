"""Figures H.1 to H.4: Figure B.1 with other searches and initialisations (Appendix H)."""

from collections.abc import Mapping
from typing import Any

from modelsoups.paper import figureB1
from modelsoups.paper.declare import SWEEP, Given, Made, Result, Spec, one_sweep, table_need

ORDERS = {"num_orders": 3, "seed": 0}  # where the config has no Figure B.1; the paper's number


def targets(sweeps: list[str], config: Mapping[str, Any]) -> dict[str, Spec]:
    """A figure a sweep, with the orders of Figure B.1."""
    orders = {name: config.get("figureB1", ORDERS)[name] for name in ORDERS}
    return {
        f"figureH{number}": {"sweep": sweep, "number": number, **orders}
        for number, sweep in enumerate(sweeps, start=1)
    }


def make(given: Given) -> Made:
    """Figure B.1 of another sweep."""
    return figureB1.draw(given, f"{given.study}: sweep {given.spec['sweep']}")


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
        "description": "Sweeps and pools that have Figure B.1 too, in the order of their numbers",
    },
    targets=targets,
    needs=table_need("growth"),
    analyses=figureB1.analyses,
    names=one_sweep,
    make=make,
    caption="Figure H.{number}: Figure B.1 for sweep {sweep}.",
    paper="The same with other searches and initialisations",
)
