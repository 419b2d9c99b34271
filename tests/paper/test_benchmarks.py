"""Figures G.1 and G.2 show models where a benchmark's metric puts them."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.paper.benchmarks import (
    describe,
    draw_panels,
    judge,
    problems,
    score_panel,
)
from modelsoups.paper.claims import FAILS, HOLDS
from modelsoups.paper.figureG1 import RESULT as FIGURE_G1
from modelsoups.paper.figureG2 import RESULT as FIGURE_G2
from modelsoups.paper.methods import list_methods
from modelsoups.study.study import Study

RECIPES = {
    "uniform": {"kind": "uniform"},
    "greedy": {"kind": "greedy"},
    "greedy-worst": {"kind": "greedy", "metric": "worst_group_accuracy"},
}
METHODS = list_methods(RECIPES, {})
WORST = {"sweep": "search", "metric": "worst_group_accuracy"}
# model -> kind, and the number right of the ten images of each part.
PARTS = [  # data set, role, group
    ("held", "held_out", "ink"),
    ("photos", "test", "ink"),
    ("photos", "test", "oil"),
    ("sketches", "shift", "pen"),
    ("toys", "shift", "wood"),
]
RIGHT = {
    "start/initialization": ("initialization", 2, 2, 2, 2, 4),
    "search/000": ("run", 6, 9, 8, 3, 9),
    "search/001": ("run", 8, 7, 10, 5, 6),
    "uniform": ("soup", 7, 8, 8, 6, 8),
    "greedy": ("soup", 7, 9, 9, 6, 6),
    "greedy-worst": ("soup", 9, 8, 9, 7, 8),
}
SCORES = pd.DataFrame(
    [(model, kind, "photos", "accuracy", 0.5, 10) for model, (kind, *_) in RIGHT.items()],
    columns=["model", "kind", "dataset", "metric", "value", "n"],
)


PREDICTIONS = pd.concat(
    [
        pd.DataFrame(
            {
                **{"dataset": dataset, "role": role, "index": np.arange(10), "label": 0},
                "group": group,
                # Of labels 0 the first ones are right.
                **{model: (np.arange(10) >= right[1 + n]) * 1 for model, right in RIGHT.items()},
            }
        )
        for n, (dataset, role, group) in enumerate(PARTS)
    ],
    ignore_index=True,
)


def panel(**changes):
    return score_panel(PREDICTIONS, SCORES, METHODS, {**WORST, **changes})


def test_models_are_at_their_worst_group_of_the_test_set_and_of_all_shift_sets_together(
    drawn,
) -> None:
    figure = draw_panels([panel()], "A toy study")
    assert drawn(figure.axes[0]) == {
        "Initialization": [[20, 20]],
        "Individual models": [[80, 30], [70, 50]],
        "Best on held-out set": [[70, 50]],
        "Uniform soup": [[80, 60]],
        "Greedy soup": [[80, 70]],  # the one by this metric
    }
    assert figure.axes[0].get_title() == "search: worst-group accuracy"
    assert figure.axes[0].get_xlabel() == "Worst-group accuracy in distribution (%; n = 20)"
    assert figure.axes[0].get_ylabel() == "Worst-group accuracy on shift sets (%; n = 20)"


def test_by_accuracy_and_on_one_shift_set(drawn) -> None:
    table = panel(metric="accuracy", shift_sets=["toys"])
    assert drawn(draw_panels([table], "").axes[0])["Greedy soup"] == [[90, 60]]
    best = table[table["label"] == "Best on held-out set"].iloc[0]
    assert (best["in_distribution"], best["shifts"], best["num_shifts"]) == (0.85, 0.6, 10)


def test_of_runs_that_are_as_good_the_later_is_the_best() -> None:
    held_out = PREDICTIONS["role"] == "held_out"
    alike = PREDICTIONS.copy()
    alike.loc[held_out, "search/000"] = alike.loc[held_out, "search/001"]
    table = score_panel(alike, SCORES, METHODS, WORST)
    assert table.set_index("label").loc["Best on held-out set", "model"] == "search/001"


def test_panels_stand_side_by_side_with_one_legend() -> None:
    figure = draw_panels([panel(), panel(metric="accuracy")], "A toy study")
    figure.draw_without_rendering()
    assert len(figure.axes) == 2
    assert len(figure.legends) == 1
    assert not figure.legends[0].get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_a_panel_is_described_by_its_best_run_and_soups() -> None:
    assert describe(panel(), WORST) == (
        "search, worst-group accuracy in distribution and on the shifts: Best on held-out set "
        "70.0 % and 50.0 %; Uniform soup 80.0 % and 60.0 %; Greedy soup 80.0 % and 70.0 %."
    )


def test_the_shift_sets_that_a_panel_names_are_named_in_its_texts() -> None:
    some = {**WORST, "shift_sets": ["toys"]}
    assert "in distribution and on toys: " in describe(panel(shift_sets=["toys"]), some)
    claims = judge(panel(shift_sets=["toys"]), PREDICTIONS, some, "the paper")
    assert [claim.claim.rpartition(" (")[2] for claim in claims] == [
        "in distribution)",
        "on toys)",
    ]


def test_the_greedy_soup_is_judged_against_the_best_run_in_either_domain() -> None:
    many = pd.concat([PREDICTIONS] * 30, ignore_index=True)
    claims = judge(panel(), many, WORST, "the paper")
    assert [claim.value for claim in claims] == pytest.approx([0.1, 0.2])
    assert [claim.verdict for claim in claims] == [HOLDS, HOLDS]
    assert claims[1].claim == (
        "The greedy soup is better than the best run by worst-group accuracy (on the shifts)"
    )
    assert claims[0].here.startswith("greedy-worst minus search/001: +10.00 points (")
    swapped = many.rename(columns={"greedy-worst": "search/001", "search/001": "greedy-worst"})
    assert [each.verdict for each in judge(panel(), swapped, WORST, "")] == [FAILS, FAILS]


def test_figures_are_made_of_the_tables_of_their_panels(make_given, drawn) -> None:
    about = {"study": "A toy study", "roles": {}, "recipes": RECIPES, "ensembles": {}}
    spec = FIGURE_G1.targets([WORST], {})["figureG1"]
    tables = {"predictions": [PREDICTIONS], "scores": [SCORES]}
    made = FIGURE_G1.make(make_given(tables, spec, about))
    assert made.figure.get_suptitle() == "A toy study"
    assert len(made.claims) == 2
    assert made.table["metric"].unique().tolist() == ["worst_group_accuracy"]
    spec = FIGURE_G2.targets({"sweep": "search", "shift_sets": ["toys"]}, {})["figureG2"]
    made = FIGURE_G2.make(make_given(tables, spec, about))
    assert drawn(made.figure.axes[0])["Greedy soup"] == [[90, 60]]
    assert list(FIGURE_G2.names(spec)) == [("sweep", "search"), ("dataset", "toys")]
    assert {need.table for needs in FIGURE_G2.needs(spec).values() for need in needs} == {
        "predictions",
        "scores",
    }


def test_what_a_panel_lacks_is_said(small_study: Study) -> None:
    assert not list(problems({"panels": [{"sweep": "grid", "metric": "accuracy"}]}, small_study))
    lacking = {"panels": [{"sweep": "grid", "metric": "macro_f1", "shift_sets": ["photos"]}]}
    assert list(problems(lacking, small_study)) == [
        "photos is no shift set of grid, which has sketches",
        "grid has no recipe {kind: greedy, metric: macro_f1} to compare with its runs",
    ]
    datasets = {k: v for k, v in small_study.config["datasets"].items() if v["role"] != "shift"}
    inside = Study({**small_study.config, "datasets": datasets})
    (problem,) = problems({"panels": [{"sweep": "grid", "metric": "accuracy"}]}, inside)
    assert problem == "grid has no shift set, on which soups are compared with runs"
