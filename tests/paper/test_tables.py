"""Table 3 from a small sweep whose numbers are worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.statistics import accuracy_interval, mean_interval
from modelsoups.paper.tables import (
    METHODS,
    ORACLE,
    PAPER,
    SHIFTS_MEAN,
    print_runs,
    print_table_4,
    table_3,
    table_4,
    to_html,
    to_markdown,
    write_table,
)
from small_scores import (
    CORRECT_IMAGES,
    ROLES,
    SCORES,
    make_correct,
    make_scores,
    make_table,
)


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
    assert list(table.index) == ["Initialization", *(row for row in PAPER if row in table.index)]
    assert set(table["study"]) == {"a toy study"}


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


def test_a_study_without_shift_sets_has_none() -> None:
    roles = {"holdout": "held_out", "photos": "test"}
    table = table_3(make_scores(), make_correct(make_scores()), roles, "a toy study")
    assert table["shifts_accuracy"].isna().all()
    assert "sketches_n" not in table


def test_a_choice_on_the_test_set_is_refused() -> None:
    roles = {"photos": "test", "sketches": "shift", "toys": "shift"}
    with pytest.raises(ValueError, match=r"one dataset with role held_out, found none"):
        table_3(make_scores(), make_correct(make_scores()), roles, "a toy study")


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


def test_unknown_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found rows \['Soup du jour'\], expected some of \['Be"):
        table_3(
            SCORES, CORRECT_IMAGES, ROLES, "a toy study", {**METHODS, "Soup du jour": ["uniform"]}
        )


def test_print_is_in_percent() -> None:
    scores = make_scores(**{"002": ("run", 16, 6, 6, 20)})
    table = table_3(scores, make_correct(scores), ROLES, "a toy study")
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
    table = table_3(SCORES, CORRECT_IMAGES, ROLES, "a toy study")
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


def make_table_4() -> pd.DataFrame:
    scores = make_scores(**{"greedy-ensemble": ("ensemble", 18, 2, 6, 30)})
    correct = make_correct(scores)
    relabelled = correct[correct["dataset"] == "photos"].assign(dataset="relabelled")
    correct = pd.concat([correct, relabelled], ignore_index=True)
    return table_4(scores, correct, ROLES, {"relabelled": "v3"}, "a toy study", "a-sweep")


def test_table_4_has_the_papers_form() -> None:
    table = make_table_4()
    assert list(dict.fromkeys(table["dataset"])) == [
        "photos",
        "relabelled",
        "sketches",
        "toys",
        SHIFTS_MEAN,
    ]
    assert list(dict.fromkeys(table["method"])) == [
        "Initialization",
        "Best model on held out val set",
        ORACLE,
        "Greedy ensemble",
        "Greedy soup",
    ]


def test_oracle_is_the_best_run_on_each_set_and_not_marked() -> None:
    oracle = make_table_4().query("method == @ORACLE").set_index("dataset")
    assert oracle["model"].to_dict() == {
        "photos": "000",
        "relabelled": "000",
        "sketches": "002",
        "toys": "002",
        SHIFTS_MEAN: "002",
    }
    assert not oracle["marked"].any()


def test_what_does_not_differ_from_the_best_is_marked() -> None:
    # On photos the greedy soup has 8 of 10, the best run 7 (p = 1), the ensemble 2 (p = 2 / 2^6).
    photos = make_table_4().query("dataset == 'photos'").set_index("method")
    assert photos["marked"][["Best model on held out val set", "Greedy soup"]].all()
    assert photos["p"]["Greedy ensemble"] == 2 / 2**6
    assert not photos["marked"][["Greedy ensemble", "Initialization"]].any()
    assert np.isnan(photos["p"]["Greedy soup"])


def test_table_4_prints_marks_in_bold_and_percent() -> None:
    lines = print_table_4(make_table_4()).splitlines()
    assert lines[0].startswith(
        "| a toy study, sweep a-sweep: accuracy in % | photos (n = 10) | relabelled (v3; n = 10) |"
    )
    assert lines[-1].startswith("| Greedy soup (greedy) | **80.00** | **80.00** | **50.00** |")
    page = to_html("\n".join([*lines, "", "A note <here>."]), "Table 4")
    assert "<td><b>80.00</b></td>" in page
    assert "<th>photos (n = 10)</th>" in page
    assert "<p>A note &lt;here&gt;.</p>" in page


def test_table_is_written_as_numbers_in_print_and_as_a_page(tmp_path) -> None:
    table = make_table_4()
    printed = print_table_4(table)
    csv, markdown, page = (tmp_path / name for name in ("t.csv", "t.md", "t.html"))
    write_table(table, printed, "Table 4", csv=csv, markdown=markdown, page=page)
    read = pd.read_csv(csv, dtype={"model": str}).fillna({"note": ""})
    pd.testing.assert_frame_equal(read, table)
    assert markdown.read_text() == printed
    assert page.read_text() == to_html(printed, "Table 4")


def test_runs_are_listed_with_settings_and_accuracies() -> None:
    runs = pd.DataFrame({"run": ["000", "001"], "lr": [0.00123456, 0.01], "seed": [0, 1]})
    lines = print_runs(runs, CORRECT_IMAGES).splitlines()
    assert lines[0] == "| run | lr | seed | holdout | photos | sketches | toys |"
    assert lines[2] == "| 000 | 0.00123 | 0 | 60.00 | 90.00 | 40.00 | 30.00 |"
