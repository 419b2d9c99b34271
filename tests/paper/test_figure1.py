"""Figure 1 shows models where they belong."""

import pandas as pd
import pytest

from modelsoups.evaluation.scores import COLUMNS
from modelsoups.paper.figure1 import OTHERS, RESULT, describe, figure_1
from modelsoups.paper.methods import list_methods
from modelsoups.soups.registry import ENSEMBLES, RECIPES

ROLES = {"holdout": "held_out", "photos": "test", "sketches": "shift", "toys": "shift"}
NO_SHIFTS = {"holdout": "held_out", "photos": "test"}
ACCURACIES = {  # model: kind, accuracy on the held-out set, in distribution, on each shift
    "initialization": ("initialization", 0.2, 0.3, 0.1, 0.3),
    "000": ("run", 0.5, 0.9, 0.2, 0.4),
    "001": ("run", 0.8, 0.7, 0.5, 0.6),
    "uniform": ("soup", 0.8, 0.8, 0.6, 0.8),
    "greedy": ("soup", 0.9, 0.85, 0.6, 0.7),
    "ensemble": ("ensemble", 0.9, 0.95, 0.7, 0.7),
}
SCORES = pd.DataFrame(
    [
        (model, kind, dataset, "accuracy", value, 1300)
        for model, (kind, *values) in ACCURACIES.items()
        for dataset, value in zip(ROLES, values, strict=True)
    ],
    columns=list(COLUMNS),
)
SOUPS = {"uniform": {"kind": "uniform"}, "greedy": {"kind": "greedy"}}
METHODS = list_methods(SOUPS, {})


def make_figure(scores=SCORES, roles=ROLES, methods=METHODS):
    return figure_1(scores, roles, "A toy study", methods)


def test_models_are_in_percent_in_distribution_and_on_the_mean_of_shifts(drawn) -> None:
    assert drawn(make_figure().axes[0]) == {
        "Initialization": [[30, 20]],
        "Individual models": [[90, 30], [70, 55]],
        "Best on held-out set": [[70, 55]],  # 001, though 000 is better on photos
        "Uniform soup": [[80, 70]],
        "Greedy soup": [[85, 65]],
    }


def test_soups_that_do_not_exist_are_left_out(drawn) -> None:
    figure = make_figure(SCORES[SCORES["model"] != "greedy"])
    assert "Greedy soup" not in drawn(figure.axes[0])


def test_a_sweep_without_initialization_or_soups_is_drawn(drawn) -> None:
    figure = make_figure(SCORES[SCORES["kind"] == "run"])
    assert list(drawn(figure.axes[0])) == ["Individual models", "Best on held-out set"]


def test_labels_say_study_units_and_number_of_images() -> None:
    axes = make_figure().axes[0]
    assert axes.get_title() == "A toy study"
    assert axes.get_xlabel() == "Accuracy on photos (top-1, %; n = 1,300)"
    assert axes.get_ylabel() == "Mean accuracy on 2 shift sets (top-1, %)"


def test_legend_names_every_group_and_covers_no_model(drawn) -> None:
    figure = make_figure()
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(
        drawn(figure.axes[0])
    )
    assert not figure.legends[0].get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_without_shift_sets_groups_have_a_row_each(drawn) -> None:
    figure = make_figure(roles=NO_SHIFTS)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert drawn(axes) == {
        "Initialization": [[30, 0]],
        "Individual models": [[90, -1], [70, -1]],
        "Best on held-out set": [[70, -2]],
        "Uniform soup": [[80, -3]],
        "Greedy soup": [[85, -4]],
    }
    assert [text.get_text() for text in axes.get_yticklabels()] == list(drawn(axes))


def test_markers_differ_without_colour() -> None:
    entered = [
        method.look
        for entries in (RECIPES, ENSEMBLES)
        for entry in entries.values()
        for _, method in entry.methods
    ]
    shapes = [
        (look["marker"], look.get("facecolor") == "none") for look in (*OTHERS.values(), *entered)
    ]
    assert len(set(shapes)) == len(shapes)


def test_a_recipe_of_other_options_has_a_hollow_marker(drawn) -> None:
    methods = list_methods({"greedy": {"kind": "greedy", "accept_ties": True}}, {})
    axes = make_figure(methods=methods).axes[0]
    assert drawn(axes)["Greedy soup (accept ties)"] == [[85, 65]]
    assert axes.collections[-1].get_facecolor().size == 0


def test_a_choice_on_the_test_set_is_refused() -> None:
    roles = {"photos": "test", "sketches": "shift", "toys": "shift"}
    with pytest.raises(ValueError, match="one dataset with role held_out, found none"):
        make_figure(roles=roles)


def test_it_is_described_by_the_accuracies_of_the_best_run_and_the_soups() -> None:
    assert describe(SCORES, ROLES, METHODS) == (
        "Accuracy in distribution and on the shifts: Best on held-out set 70.0 % and 55.0 %; "
        "Uniform soup 80.0 % and 70.0 %; Greedy soup 85.0 % and 65.0 %. No test is made."
    )
    assert "shifts" not in describe(SCORES, NO_SHIFTS, METHODS)


def test_it_shows_the_papers_two_soups_by_any_name(make_given, drawn) -> None:
    recipes = {"one": {"kind": "uniform"}, "two": {"kind": "greedy"}, "three": {"kind": "learned"}}
    about = {"study": "A toy study", "roles": ROLES, "recipes": recipes, "ensembles": {}}
    names = {"uniform": "one", "greedy": "two", "ensemble": "three"}
    scores = SCORES.replace({"model": names})
    made = RESULT.make(make_given({"scores": scores}, {"sweep": "a-sweep"}, about))
    assert list(drawn(made.figure.axes[0]))[-2:] == ["Uniform soup", "Greedy soup"]
    pd.testing.assert_frame_equal(made.table, scores)
    assert RESULT.targets("a-sweep", {}) == {"figure1": {"sweep": "a-sweep"}}
