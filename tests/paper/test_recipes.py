"""The recipes side by side, from a small sweep whose numbers are worked out by hand."""

import numpy as np
import pytest

from modelsoups.paper.figureRecipes import RESULT as FIGURE
from modelsoups.paper.recipes import RESULT, mean_cost
from modelsoups.study.study import Study
from small_scores import ABOUT, CORRECT_IMAGES, COSTS, NO_SHIFTS, SCORES


@pytest.fixture
def made(make_given):
    """The table, and what else is said, of two sweeps that are alike."""
    tables = {"scores": [SCORES] * 2, "correct": [CORRECT_IMAGES] * 2, "costs": [COSTS] * 2}
    return RESULT.make(make_given(tables, {"sweeps": ["a", "b"]}, ABOUT))


def test_rows_are_the_best_run_and_every_soup_of_every_sweep(made):
    table = made.table
    assert table["sweep"].tolist() == ["a"] * 4 + ["b"] * 4
    assert table["method"].tolist()[:4] == [
        *("Best individual model", "Uniform soup", "Greedy soup", "Greedy soup (random order)")
    ]
    assert table["models"][3] == "greedy-order1 greedy-order2 greedy-order3"
    assert table["in_distribution_accuracy"].tolist()[:3] == [0.7, 0.8, 0.8]


def test_differences_are_to_the_greedy_soup_on_the_same_images(made):
    rows = made.table.set_index("method").iloc[:4]
    best = rows.loc["Best individual model"]
    # photos: 7 against 8 of 10, one image differs; sketches and toys: 5/10 and 16/40 against 24/40
    assert best["in_distribution_difference"] == pytest.approx(-0.1)
    assert (best["in_distribution_p"], best["in_distribution_test"]) == (1, "mcnemar")
    assert best["shifts_difference"] == pytest.approx((0.4 - 0.6) / 2)
    assert rows["in_distribution_difference"].isna().tolist() == [False, False, True, False]


def test_p_values_are_corrected_for_all_comparisons_of_the_table(made):
    table = made.table
    plain = table[["in_distribution_p", "shifts_p"]].to_numpy(float)
    corrected = table[["in_distribution_p_holm", "shifts_p_holm"]].to_numpy(float)
    least = np.nanmin(plain)
    num_comparisons = np.isfinite(plain).sum()
    assert num_comparisons == 2 * 2 * 3
    assert np.nanmin(corrected) == pytest.approx(min(1, num_comparisons * least))


def test_costs_stand_beside_and_are_means_over_the_models_of_a_row(made):
    rows = made.table.set_index("method").iloc[:4]
    assert rows["passes"].tolist()[1:] == [1, 1.5, 3]
    assert rows["seconds"].tolist()[1:] == [1, 4, 5]
    assert rows["peak_memory_mb"].tolist()[1:] == [900, 1100, 1200]
    assert rows["resumed"].tolist()[1:] == [False, False, True]
    assert np.isnan(rows["passes"].iloc[0])
    assert np.isnan(mean_cost(COSTS, ["greedy"])["device_memory_mb"])


def test_it_is_printed_with_its_price_and_says_what_differs(made):
    lines = made.markdown.splitlines()
    assert "| Held-out passes | Seconds | Memory (GB) |" in lines[0]
    assert lines[4].startswith("| a: Greedy soup (greedy) | 80.00 (")
    assert "| – | – | 90.00 | +10.00 (" in lines[4] and lines[4].endswith(
        "| 2 | 1.5 | 4.0 | 1.10 |"
    )
    assert "| ≥ 3.0 | ≥ 5.0 | 1.20 |" in lines[5]  # one was interrupted
    assert "| -10.00 (" in lines[2] and "p 1.000 (Holm 1.000)" in lines[2]
    assert lines[2].endswith("| – | – | – | – |")
    assert made.found[0].startswith("a: in distribution 0 of 3 methods are above the greedy soup")
    assert "held-out minus test accuracy of the greedy soup: +10.00 (" in made.found[0]


def test_without_shift_sets_there_are_no_columns_of_them(make_given):
    scores = SCORES[SCORES["dataset"].isin(NO_SHIFTS)]
    correct = CORRECT_IMAGES[CORRECT_IMAGES["dataset"].isin(NO_SHIFTS)]
    tables = {"scores": [scores], "correct": [correct], "costs": [COSTS]}
    given = make_given(tables, {"sweeps": ["a"]}, {**ABOUT, "roles": NO_SHIFTS})
    made = RESULT.make(given)
    assert "shifts" not in made.markdown
    assert len(FIGURE.make(given).figure.axes) == 1


def test_figure_has_a_row_of_panels_a_sweep_and_a_line_a_method(make_given):
    tables = {"scores": [SCORES] * 2, "correct": [CORRECT_IMAGES] * 2, "costs": [COSTS] * 2}
    figure = FIGURE.make(make_given(tables, {"sweeps": ["a", "b"]}, ABOUT)).figure
    assert len(figure.axes) == 4
    panel = figure.axes[0]
    assert panel.get_title() == "a: in distribution"
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert labels == ["Best individual model", "Uniform soup", "Greedy soup (random order)"]
    centers = [line.get_xdata()[0] for line in panel.lines if len(line.get_xdata()) == 1]
    assert centers == pytest.approx([-10, 0, -10])


def test_a_sweep_without_the_greedy_soup_is_refused():
    study = Study(
        {
            "sweeps": {"given": {"kind": "checkpoints", "backbone": "b", "files": "m_{0..2}.pt"}},
            "recipes": {"mine": {"kind": "greedy", "order": "random"}},
        }
    )
    (problem,) = RESULT.problems({"sweeps": ["given"]}, study)
    assert problem.startswith("given has no recipe of kind greedy with its default options")
    assert problem.endswith("it has Greedy soup (random order)")
