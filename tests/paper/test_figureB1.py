"""Curves over the number of models, and their mean over the orders."""

import pandas as pd
import pytest

from modelsoups.paper.claims import FAILS
from modelsoups.paper.figureB1 import (
    LOOKS,
    MARGIN,
    MEAN,
    RESULT,
    describe,
    figure_b1,
    growth_claims,
    growth_curves,
)

ROLES = {"holdout": "held_out", "photos": "test", "toys": "shift"}
SPEC = {"sweep": "grid", "num_orders": 2, "seed": 0}
# The greedy soup is above the best run with two models, by 0.1 in every order.
VALUES = {method: 0.5 for method in LOOKS} | {"Greedy soup": 0.5, "Ensemble": 0.7}


@pytest.fixture
def growth(measure) -> pd.DataFrame:
    rows = []
    for order in (0, 1):
        for k in (1, 2):
            for method, value in VALUES.items():
                found = value + 0.2 * order + 0.1 * (k == 2 and method == "Greedy soup")
                rows += measure(
                    {"photos": found, "toys": found - 0.2}, order=order, k=k, method=method
                )
    return pd.DataFrame(rows)


def test_each_order_and_their_mean_have_a_curve(growth) -> None:
    curves = growth_curves(growth, ROLES).query("method == 'Ensemble' and k == 1")
    assert curves.set_index("order")["in_distribution"].to_dict() == {
        0: pytest.approx(0.7),
        1: pytest.approx(0.9),
        MEAN: pytest.approx(0.8),
    }


def test_means_are_in_the_legend_and_orders_faint(growth) -> None:
    figure = figure_b1(growth_curves(growth, ROLES), "A toy study")
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(LOOKS)
    assert sum(line.get_alpha() == 0.2 for line in figure.axes[0].lines) == 2 * len(LOOKS)
    assert figure.get_suptitle() == "A toy study"


def test_the_legend_fits_where_there_are_no_shift_sets(growth) -> None:
    figure = figure_b1(growth_curves(growth, {"photos": "test"}), "A toy study")
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0
    assert box.x1 <= figure.bbox.x1


def test_it_is_described_by_where_greedy_is_above_the_best_run(growth) -> None:
    assert describe(growth_curves(growth, {"photos": "test"})) == (
        "Averaged over the orders. In distribution: the greedy soup is above the best run at 1 of "
        "2 numbers of models; with all of them Best individual model 60.0 %, Uniform soup 60.0 %, "
        "Greedy soup 70.0 %, Ensemble 80.0 %, Greedy ensemble 60.0 %. No test is made."
    )


def test_it_asks_for_growth_in_random_orders() -> None:
    (asked,) = RESULT.analyses(SPEC)
    assert asked.table == RESULT.needs(SPEC)["growth"].table == "growth"
    assert asked.plan == {"num_orders": 2, "seed": 0}


def test_it_is_made_from_files(make_given, growth) -> None:
    about = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}
    made = RESULT.make(make_given({"growth": growth}, SPEC, about))
    assert set(made.table["order"]) == {0, 1, MEAN}
    assert made.figure.get_suptitle() == "A toy study"
    mean, least = made.claims[:2]
    assert mean.value == pytest.approx(0.1)  # at two models, the only number above one
    assert least.value == pytest.approx(0.1 + MARGIN)
    assert "above at 1 of them; sweep grid, 2 orders" in mean.here


def test_one_number_of_models_where_greedy_is_worse_is_enough(measure) -> None:
    rows = []
    for k, greedy in ((2, 0.9), (3, 0.9), (4, 0.1)):
        for method, value in (("Greedy soup", greedy), ("Best individual model", 0.6)):
            rows += measure({"photos": value}, order=0, k=k, method=method)
    _, least = growth_claims(pd.DataFrame(rows), {"photos": "test"}, "s")
    assert least.verdict == FAILS
    assert least.here.startswith("least of 3, at 4 models: -50.00 points")
