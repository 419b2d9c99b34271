"""Figures H.1 and on are Figure B.1 of other sweeps."""

import pandas as pd

from modelsoups.paper.figureB1 import LOOKS
from modelsoups.paper.figureH import RESULT

SWEEPS = ["grid", "other"]


def test_sweeps_are_numbered_and_share_the_orders_of_figure_b1() -> None:
    config = {"figureB1": {"sweep": "grid", "num_orders": 5, "seed": 7}}
    assert RESULT.targets(SWEEPS, config) == {
        "figureH1": {"sweep": "grid", "number": 1, "num_orders": 5, "seed": 7},
        "figureH2": {"sweep": "other", "number": 2, "num_orders": 5, "seed": 7},
    }


def test_a_study_without_figure_b1_has_three_orders() -> None:
    spec = RESULT.targets(SWEEPS, {})["figureH2"]
    (asked,) = RESULT.analyses(spec)
    assert asked.plan == {"num_orders": 3, "seed": 0}
    assert RESULT.title_of(spec) == "Figure H.2"
    assert RESULT.needs(spec)["growth"].sweep == "other"


def test_titles_say_the_sweep(make_given, measure) -> None:
    rows = [
        row for method in LOOKS for row in measure({"photos": 0.5}, order=0, k=1, method=method)
    ]
    about = {"study": "A toy study", "roles": {"photos": "test"}, "recipes": {}, "ensembles": {}}
    spec = RESULT.targets(SWEEPS, {})["figureH2"]
    made = RESULT.make(make_given({"growth": pd.DataFrame(rows)}, spec, about))
    assert made.figure.get_suptitle() == "A toy study: sweep other"
