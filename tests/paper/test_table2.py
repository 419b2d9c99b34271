"""Table 2 of a small sweep whose costs are worked out by hand."""

import pandas as pd
import pytest

from modelsoups.paper.table2 import RESULT
from modelsoups.study.study import Study
from small_scores import ABOUT, COSTS, SCORES

TIMING = pd.DataFrame(
    {
        "model": ["001", *COSTS["model"], "ensemble"],
        "num_models": [1] * 6 + [3],
        "num_examples": 500,
        "seconds": [0.5, 0.6, 0.5, 0.4, 0.5, 0.9, 1.6],
        "weights_mb": [20.0] * 6 + [60.0],
        "device": "cpu",
        "threads": 1,
        "precision": "float32",
    }
)


@pytest.fixture
def made(make_given):
    tables = {"scores": SCORES, "timing": TIMING, "costs": COSTS}
    return RESULT.make(make_given(tables, {"sweep": "a"}, ABOUT))


def test_a_soup_costs_one_model_and_an_ensemble_all_of_its_own(made):
    rows = made.table.set_index("method")
    assert list(rows.index) == [
        *("Best individual model", "Uniform soup", "Greedy soup", "Greedy soup (random order)"),
        "Ensemble",
    ]
    assert rows["cost"].tolist() == ["O(1)"] * 4 + ["O(k)"]
    assert rows["num_models"].tolist() == [1, 1, 1, 1, 3]
    assert rows["relative_weights"].tolist() == [1, 1, 1, 1, 3]


def test_times_are_multiples_of_the_best_runs_and_means_over_the_models_of_a_row(made):
    rows = made.table.set_index("method")
    assert rows["seconds_per_1000"].tolist() == pytest.approx([1, 1.2, 1, 1.2, 3.2])
    assert rows["relative_seconds"].tolist() == pytest.approx([1, 1.2, 1, 1.2, 3.2])
    assert rows.loc["Greedy soup (random order)", "models"] == "greedy-order1 " + (
        "greedy-order2 greedy-order3"
    )


def test_what_cooking_took_stands_beside_soups_alone(made):
    rows = made.table.set_index("method")
    assert rows["passes"].tolist()[1:4] == [1, 1.5, 3]
    assert rows["seconds"].tolist()[1:4] == [1, 4, 5]
    assert rows.loc[["Best individual model", "Ensemble"], "passes"].isna().all()


def test_print_has_formulas_of_the_paper_and_dashes_where_there_is_nothing(made):
    lines = made.markdown.splitlines()
    assert "1 = 1.00 s for 1,000 on cpu, float32" in lines[0]
    assert lines[2].endswith("| f(x, argmax_i ValAcc(θ_i)) | O(1) | 1 | 1.00 | 1.00 | – | – | – |")
    assert lines[5].endswith("| – | O(1) | 1 | 1.20 | 1.00 | ≥ 3.0 | ≥ 5.0 | 1.20 |")
    assert lines[6].endswith("| O(k) | 3 | 3.20 | 3.00 | – | – | – |")


def test_what_is_found_is_said_in_words(made):
    assert made.found == [
        "A prediction by the soups took 1.00 to 1.20 times as long as one by the best run.",
        "A prediction by the ensembles took 3.20 to 3.20 times as long as one by the best run.",
    ]


def test_an_evaluator_of_the_users_own_is_not_timed(small_study: Study):
    assert not list(RESULT.problems({"sweep": "grid"}, small_study))
    own = Study({**small_study.config, "soup": {"evaluate": "module:function"}})
    (problem,) = RESULT.problems({"sweep": "grid"}, own)
    assert "not timed" in problem
