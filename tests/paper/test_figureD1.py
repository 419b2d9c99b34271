"""WiSE-FT curves: where they begin, which are soups', what is drawn."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.paper.claims import FAILS, HOLDS, OPEN
from modelsoups.paper.figureD1 import RESULT, curve_claims, describe, figure_d1, wise_curves
from modelsoups.paper.methods import list_methods

ROLES = {"holdout": "held_out", "photos": "test", "toys": "shift"}
RECIPES = {"recipe-one": {"kind": "greedy"}}
METHODS = list_methods(RECIPES, {})
SPEC = {"sweeps": ["grid"], "alphas": [0.5, 1], "soups": ["recipe-one"]}


@pytest.fixture
def mixes(measure) -> pd.DataFrame:
    rows = measure({"photos": 0.5, "toys": 0.3}, model="initialization", alpha=0.0)
    for model in ("000", "a-checkpoint", "recipe-one"):
        for alpha in (1.0, 0.5):
            values = {"photos": 0.6 + alpha / 10, "toys": 0.4}
            rows += measure(values, model=model, alpha=alpha)
    return pd.DataFrame(rows)


def test_curves_all_begin_at_the_initialisation(mixes) -> None:
    curves = wise_curves({"grid": mixes}, ROLES, SPEC["soups"])
    for _, curve in curves.groupby("model"):
        assert curve["alpha"].tolist() == [0, 0.5, 1]
        np.testing.assert_allclose(curve["in_distribution"], [0.5, 0.65, 0.7])


def test_soups_are_those_of_the_config_by_any_name(mixes) -> None:
    curves = wise_curves({"grid": mixes}, ROLES, SPEC["soups"])
    assert curves.groupby("model")["kind"].first().to_dict() == {
        "000": "run",
        "a-checkpoint": "run",
        "recipe-one": "soup",
    }
    figure = figure_d1(curves, "A toy study", METHODS)
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "Individual models",
        "Greedy soup",
        "Initialization",
    ]
    assert [line.get_color() for line in figure.axes[0].lines] == ["tab:green"] * 2 + ["tab:red"]


def test_without_shift_sets_accuracy_is_drawn_over_alpha(mixes, drawn) -> None:
    curves = wise_curves({"grid": mixes}, {"photos": "test"}, SPEC["soups"])
    figure = figure_d1(curves, "A toy study", METHODS)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert drawn(axes) == {"Initialization": [[0, 50]]}
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 50], [0.5, 65], [1, 70]])
    assert axes.get_ylabel() == "Accuracy in distribution (top-1, %)"


def test_it_counts_mixes_as_good_as_the_soup_in_both_domains() -> None:
    # The soup at alpha 1 has 0.7 and 0.5; one mix of the runs has more, one as much in one alone.
    rows = [
        ("uniform", "soup", 0.5, 0.9, 0.9),
        ("uniform", "soup", 1.0, 0.7, 0.5),
        ("000", "run", 0.5, 0.8, 0.6),
        ("000", "run", 1.0, 0.7, 0.4),
    ]
    columns = ["model", "kind", "alpha", "in_distribution", "shifts"]
    table = pd.DataFrame(rows, columns=columns).assign(sweep="s")
    assert describe(table).startswith("s, uniform soup: 1 of 2 mixes on the runs' curves")
    assert describe(table.drop(columns="shifts")) == "The study has no shift sets."


def test_it_asks_for_the_lines_of_every_sweep() -> None:
    (asked,) = RESULT.analyses(SPEC)
    assert asked.plan == {
        **{"kind": "wise", "max_images": None},
        **{"alphas": [0.5, 1], "soups": ["recipe-one"]},
    }
    assert [need.table for need in RESULT.needs(SPEC)["wise"]] == [asked.table]
    assert list(RESULT.names(SPEC)) == [("sweep", "grid"), ("recipe", "recipe-one")]


def test_soups_that_a_sweep_has_not_are_found_before_anything_runs(small_study) -> None:
    assert not RESULT.problems({**SPEC, "soups": ["greedy"]}, small_study)
    assert RESULT.problems(SPEC, small_study) == ["grid has no soup 'recipe-one'; it has greedy"]
    (problem,) = RESULT.problems({**SPEC, "sweeps": ["given"], "soups": []}, small_study)
    assert problem.startswith("given has no initialization")


def test_it_is_made_from_files(make_given, mixes) -> None:
    about = {"study": "A toy study", "roles": ROLES, "recipes": RECIPES, "ensembles": {}}
    made = RESULT.make(make_given({"wise": [mixes]}, SPEC, about))
    assert made.figure.get_suptitle() == "A toy study"
    assert made.found == [
        "grid, recipe-one soup: 2 of 6 mixes on the runs' curves are at least as good in both. "
        "No test is made."
    ]


@pytest.mark.parametrize(("soup", "expected"), [(0.95, HOLDS), (0.65, OPEN), (0.05, FAILS)])
def test_soup_has_to_be_beyond_every_mix_of_every_run(measure, soup, expected) -> None:
    rows = measure({"photos": 0.5, "toys": 0.3}, model="initialization", alpha=0.0)
    for model, alpha, value in (("000", 0.5, 0.3), ("000", 1.0, 0.6), ("001", 1.0, 0.2)):
        rows += measure({"photos": value, "toys": value}, model=model, alpha=alpha)
    rows += measure({"photos": 0.9, "toys": 0.9}, model="recipe-one", alpha=0.5)
    rows += measure({"photos": soup, "toys": soup}, model="recipe-one", alpha=1.0)
    claim, mixed = curve_claims({"grid": pd.DataFrame(rows)}, ROLES, ["recipe-one"])
    assert (claim.value, claim.verdict) == (pytest.approx(soup - 0.6), expected)
    assert "minus the best of 3 mixes (alpha = 1 of 000)" in claim.here
    assert mixed.value == pytest.approx(0.9 - soup)


@pytest.mark.parametrize(("nearest", "expected"), [(0.9, HOLDS), (0.65, OPEN), (0.2, FAILS)])
def test_mix_that_is_judged_has_the_most_of_the_soup_and_is_not_the_best_on_the_shifts(
    measure, nearest, expected
) -> None:
    rows = measure({"photos": 0.1, "toys": 0.1}, model="000", alpha=1.0)
    for alpha, value in ((0.0, 1.0), (0.5, 1.0), (0.75, nearest), (1.0, 0.6)):
        rows += measure({"photos": 0.1, "toys": value}, model="recipe-one", alpha=alpha)
    _, claim = curve_claims({"grid": pd.DataFrame(rows)}, ROLES, ["recipe-one"])
    assert (claim.value, claim.verdict) == (pytest.approx(nearest - 0.6), expected)
    assert claim.here.startswith("grid: alpha = 0.75 minus the recipe-one soup itself: ")
    ends = pd.DataFrame([row for row in rows if row["alpha"] == 1])
    assert len(curve_claims({"grid": ends}, ROLES, ["recipe-one"])) == 1
