"""Table 3 from a small sweep whose numbers are worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.statistics import accuracy_interval, mean_interval
from modelsoups.paper.methods import list_methods
from modelsoups.paper.table3 import PAPER_COLUMNS, RESULT, table_3, to_markdown
from small_scores import (
    ABOUT,
    CORRECT_IMAGES,
    METHODS,
    NO_SHIFTS,
    ROLES,
    SCORES,
    make_correct,
    make_scores,
)


def make_table(scores: pd.DataFrame, paper_columns: bool = True) -> pd.DataFrame:
    """Table 3 with methods as index."""
    correct = make_correct(scores)
    table = table_3(scores, correct, ROLES, "a toy study", METHODS, paper_columns)
    return table.set_index("method")


def test_rows_are_those_that_exist_in_the_papers_order() -> None:
    table = make_table(make_scores())
    assert dict(table["models"]) == {
        "Initialization": "initialization",
        "Best individual model": "001",
        "Second best model": "002",
        "Uniform soup": "uniform",
        "Greedy soup": "greedy",
        "Greedy soup (random order)": "greedy-order1 greedy-order2 greedy-order3",
        "Ensemble": "ensemble",
    }
    assert set(table["study"]) == {"a toy study"}


def test_averages_of_a_sweeps_runs_are_no_rows_and_no_best_model() -> None:
    better = make_scores(**{"000-ema0.9": ("average", 20, 10, 10, 40)})
    pd.testing.assert_frame_equal(make_table(better), make_table(SCORES))


def test_a_recipe_by_any_name_has_its_row() -> None:
    scores = SCORES.replace({"model": {"greedy": "recipe-one"}})
    methods = list_methods({"recipe-one": {"kind": "greedy"}}, {})
    table = table_3(scores, make_correct(scores), ROLES, "a toy study", methods)
    assert dict(table[["method", "models"]].to_numpy())["Greedy soup"] == "recipe-one"


def test_a_recipe_that_the_paper_does_not_have_comes_last() -> None:
    recipes = {"again": {"kind": "greedy", "accept_ties": True}, "greedy": {"kind": "greedy"}}
    methods = list_methods(recipes, {"ensemble": {"kind": "uniform"}})
    scores = make_scores(again=("soup", 18, 8, 5, 24))
    table = table_3(scores, make_correct(scores), ROLES, "a toy study", methods, True)
    assert table["method"].tolist()[-3:] == ["Greedy soup", "Ensemble", "Greedy soup (accept ties)"]
    assert table[PAPER_COLUMNS].iloc[-1].isna().all()
    assert to_markdown(table).splitlines()[-1].endswith("| – | – |")


def test_best_models_are_picked_on_the_held_out_set_not_on_the_test_set() -> None:
    table = make_table(make_scores())
    assert table["models"]["Best individual model"] == "001"  # 16/20, where 000 has 12/20
    assert table["in_distribution_accuracy"]["Best individual model"] == 0.7
    assert table["in_distribution_accuracy"].max() == 0.9


def test_ties_for_best_are_stated() -> None:
    table = make_table(make_scores(**{"002": ("run", 16, 6, 6, 20)}))
    assert table["models"]["Best individual model"] == "002"  # the later of equal ones
    assert table["models"]["Second best model"] == "001"
    assert table["note"]["Best individual model"] == "tied on the held-out set with 001"
    assert table["note"]["Second best model"] == "tied on the held-out set with 002"
    assert set(make_table(make_scores())["note"]) == {""}


def test_accuracies_are_fractions_with_n_and_interval() -> None:
    row = make_table(make_scores()).loc["Uniform soup"]
    assert row["held_out_accuracy"] == 0.8
    assert row["in_distribution_accuracy"] == 0.8
    assert (row["sketches_accuracy"], row["toys_accuracy"]) == (0.6, 0.6)
    assert [row[f"{name}_n"] for name in ("held_out", "in_distribution", "sketches", "toys")] == [
        20,
        10,
        10,
        40,
    ]
    interval = (row["in_distribution_low"], row["in_distribution_high"])
    assert interval == accuracy_interval(0.8, 10)
    assert (row["shifts_low"], row["shifts_high"]) == mean_interval([0.6, 0.6], [10, 40])
    assert pd.isna(row["in_distribution_std"])


def test_mean_of_shifts_counts_sets_alike() -> None:
    row = make_table(make_scores()).loc["Best individual model"]
    assert row["shifts_accuracy"] == pytest.approx((5 / 10 + 16 / 40) / 2)


def test_random_orders_have_mean_and_sample_standard_deviation() -> None:
    row = make_table(make_scores()).loc["Greedy soup (random order)"]
    # 0.6, 0.7, 0.8: squared deviations 0.01 + 0 + 0.01, over 2, is 0.1 squared.
    assert row["in_distribution_accuracy"] == pytest.approx(0.7)
    assert row["in_distribution_std"] == pytest.approx(0.1)
    # Means of shifts: (0.5 + 0.5) / 2, (0.6 + 0.6) / 2, (0.7 + 0.7) / 2.
    assert row["shifts_accuracy"] == pytest.approx(0.6)
    assert row["shifts_std"] == pytest.approx(0.1)
    assert pd.isna(row["in_distribution_low"])
    assert pd.isna(row["shifts_high"])


def test_the_papers_numbers_are_named_as_such() -> None:
    table = make_table(make_scores())
    assert table["paper_clip_vit_b32_imagenet"]["Greedy soup"] == 0.8103
    assert table["paper_clip_vit_b32_shifts"]["Greedy soup"] == 0.5075
    assert table.loc["Initialization", ["paper_clip_vit_b32_imagenet"]].isna().all()


def test_a_study_that_does_not_ask_for_the_papers_numbers_has_none() -> None:
    table = make_table(SCORES, paper_columns=False)
    assert not set(PAPER_COLUMNS) & set(table)
    assert "paper" not in to_markdown(table.reset_index())
    assert RESULT.targets("a-sweep", {})["table3"]["paper_columns"] is False
    assert RESULT.targets("a-sweep", {"paper_columns": True})["table3"]["paper_columns"] is True


def test_a_study_without_shift_sets_has_none() -> None:
    table = table_3(SCORES, CORRECT_IMAGES, NO_SHIFTS, "a toy study", METHODS)
    assert table["shifts_accuracy"].isna().all()
    assert "sketches_n" not in table
    printed = to_markdown(table)
    assert "shifts" not in printed
    assert "nan" not in printed


def test_a_choice_on_the_test_set_is_refused() -> None:
    roles = {"photos": "test", "sketches": "shift", "toys": "shift"}
    with pytest.raises(ValueError, match=r"one dataset with role held_out, found none"):
        table_3(SCORES, CORRECT_IMAGES, roles, "a toy study", METHODS)


def test_missing_score_is_named() -> None:
    scores = make_scores()
    gone = (scores["model"] == "greedy") & (scores["dataset"] == "toys")
    with pytest.raises(ValueError, match=r"found none for \[\('greedy', 'toys'\)\]; evaluate"):
        make_table(scores[~gone])


def test_models_measured_on_different_images_are_refused() -> None:
    scores = make_scores()
    scores.loc[(scores["model"] == "greedy") & (scores["dataset"] == "toys"), "n"] = 80
    with pytest.raises(ValueError, match=r"one number of images.*\{'toys': \[40, 80\]\}"):
        make_table(scores)


def test_print_is_in_percent() -> None:
    table = make_table(make_scores(**{"002": ("run", 16, 6, 6, 20)})).reset_index()
    lines = to_markdown(table).splitlines()
    assert lines[0].startswith(
        "| a toy study: accuracy in % | In distribution (n = 10) | Mean of shifts (n = 50) "
        "| sketches (n = 10) | toys (n = 40) "
        "| p against the best: in distribution | p: mean of shifts "
        "| Held-out (n = 20), chosen on | Held-out − test | The paper's CLIP ViT-B/32: ImageNet |"
    )
    low, high = accuracy_interval(0.8, 10)
    assert f"| Greedy soup (greedy) | 80.00 ({100 * low:.2f}–{100 * high:.2f}) | 55.00" in lines[6]
    assert "| 50.00 | 60.00 | 0.5" in lines[6]  # 2 images of 10: 2 (1/2)^2
    assert "| 90.00 | +10.00 (" in lines[6]
    assert lines[6].endswith("| 81.03 | 50.75 |")
    assert "| 70.00 (± 10.00) | 60.00 (± 10.00) | 60.00 | 60.00 |" in lines[7]
    assert lines[7].endswith("| 85.00 | +15.00 | 80.79 | 51.30 |")
    assert lines[2].endswith("| – | – |")
    assert "(002; tied on the held-out set with 001)" in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_print_is_the_same_from_the_file(tmp_path) -> None:
    table = make_table(SCORES).reset_index()
    table.to_csv(tmp_path / "table3.csv", index=False)
    assert to_markdown(pd.read_csv(tmp_path / "table3.csv")) == to_markdown(table)


def test_p_values_are_against_the_best_individual_model() -> None:
    table = make_table(SCORES)
    # 9 against 7 of 10 images, none lost: 2 (1/2)^2. On the shifts the ensemble has one image of
    # 10 and eight of 40 more: the mean has the observed size only if all nine keep their sign.
    assert table["in_distribution_p"]["Ensemble"] == 0.5
    assert table["shifts_p"]["Ensemble"] == pytest.approx(2 / 2**9, abs=2e-3)
    assert table.loc["Best individual model", ["in_distribution_p", "shifts_p"]].isna().all()


def test_correction_counts_all_comparisons_of_the_table() -> None:
    table = make_table(SCORES)
    p_values = table[["in_distribution_p", "shifts_p"]].to_numpy().ravel()
    smallest = np.nanargmin(p_values)
    corrected = table[["in_distribution_p_holm", "shifts_p_holm"]].to_numpy().ravel()
    assert corrected[smallest] == pytest.approx(p_values[smallest] * 12)  # 6 rows, 2 columns


def test_optimism_is_held_out_minus_test_accuracy() -> None:
    row = make_table(SCORES).loc["Greedy soup"]
    assert row["optimism"] == pytest.approx(18 / 20 - 8 / 10)
    assert row["optimism_low"] < 0 < row["optimism_high"]


def test_it_is_made_from_files(make_given) -> None:
    spec = {"sweep": "a-sweep", "paper_columns": True}
    made = RESULT.make(make_given({"scores": SCORES, "correct": CORRECT_IMAGES}, spec, ABOUT))
    pd.testing.assert_frame_equal(made.table, make_table(SCORES).reset_index(), check_like=True)
    assert made.markdown == to_markdown(made.table)
    assert len(made.claims) == 9
    assert {need.sweep for need in RESULT.needs(spec).values()} == {"a-sweep"}


def test_a_pool_without_a_run_has_no_best_one(small_study) -> None:
    assert not RESULT.problems({"sweep": "given"}, small_study)
    (problem,) = RESULT.problems({"sweep": "soups"}, small_study)
    assert problem.startswith("soups has no run")
