"""The ends of one-dimensional grids, averaged, against the best run between."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.paired import pack
from modelsoups.paper.claims import HOLDS
from modelsoups.paper.figureF1 import RESULT, endpoint_gains, figure_f1, name_runs, too_large_places

ROLES = {"holdout": "held_out", "photos": "test", "sketches": "shift", "toys": "shift"}
RUNS = {"000": 2, "001": 12, "002": 14, "003": 10}  # right of 20 held-out images
RIGHT = {
    "000": 4,
    "001": 12,
    "002": 11,
    "003": 8,
}  # of 20 images of each other set
SPEC = {
    "sweep": "lines",
    "match": {"optimizer": "adamw", "lr": 1e-3},
    "grids": {
        "Rate": [{"lr": 1e-2}, {"lr": 1e-3}, {"lr": 1e-4}],
        "Optimizer": [{"optimizer": "sgd", "lr": 0.1}, {"optimizer": "adamw"}],
    },
    "too_large": {"optimizer": "adamw", "lr": 1e-2},
}
PARTS = [  # grid, ends, runs between, right of the average
    ("Rate", 0, 1, "000 001", 6),
    ("Rate", 0, 2, "000 001 002", 5),
    ("Rate", 1, 2, "001 002", 15),
    ("Optimizer", 0, 1, "003 001", 14),
]


def tables():
    rows = [
        {
            "mix": mix, "grid": grid, "first": first, "second": second, "between": between,
            "dataset": dataset, "metric": metric, "value": right / 20, "n": 20,
            "right": pack(np.arange(20) < right),
        }
        for mix, (grid, first, second, between, right) in enumerate(PARTS)
        for dataset in ("photos", "sketches", "toys")
        for metric in ("accuracy", "nll")
    ]  # fmt: skip
    scores = pd.DataFrame(
        [(run, "run", "holdout", "accuracy", n / 20, 20) for run, n in RUNS.items()],
        columns=["model", "kind", "dataset", "metric", "value", "n"],
    )
    correct = pd.concat(
        pd.DataFrame({"dataset": dataset, **{run: np.arange(20) < n for run, n in counts.items()}})
        for dataset, counts in [("holdout", RUNS), *((d, RIGHT) for d in list(ROLES)[1:])]
    )
    return pd.DataFrame(rows), scores, correct


def test_the_best_run_between_the_ends_is_chosen_on_the_held_out_set() -> None:
    table, _ = endpoint_gains(*tables(), ROLES, {"Rate": [0]})
    # 002 has more of the held-out images right than 001, though fewer of the others.
    assert table["best"].tolist() == ["001", "002", "002", "001"]
    # (6 - 12) / 20, (5 - 11) / 20, (15 - 11) / 20, (14 - 12) / 20; all sets alike.
    for domain in ("in_distribution", "shifts"):
        assert table[domain].tolist() == pytest.approx([-0.3, -0.3, 0.2, 0.1])
    assert table["too_large"].tolist() == [True, True, False, False]


def test_claims_are_about_the_mean_of_the_parts_apart_from_too_large_rates() -> None:
    _, claims = endpoint_gains(*tables(), ROLES, {"Rate": [0]})
    assert [claim.value for claim in claims] == pytest.approx([0.15, 0.3, 0.15, 0.3])
    assert "mean of 2 parts: +15.00 points" in claims[0].here
    assert claims[0].here.endswith("the average is above at 2 of them")
    assert claims[1].here.endswith("the average is above at 0 of them")
    assert claims[3].verdict == HOLDS  # 20 images of two sets


def test_without_a_rate_that_is_too_large_there_is_one_claim_a_domain() -> None:
    _, claims = endpoint_gains(*tables(), {"holdout": "held_out", "photos": "test"}, {})
    assert [claim.value for claim in claims] == pytest.approx([(-0.3 - 0.3 + 0.2 + 0.1) / 4])


def test_a_run_of_another_optimizer_is_not_too_large() -> None:
    assert too_large_places(SPEC) == {"Rate": [0], "Optimizer": []}
    assert too_large_places({"grids": SPEC["grids"]}) == {"Rate": [], "Optimizer": []}


def test_squares_have_the_difference_in_points_at_their_two_ends() -> None:
    table, _ = endpoint_gains(*tables(), ROLES, {"Rate": [0]})
    names = name_runs(SPEC["grids"])
    assert names == {"Rate": ["0.01", "0.001", "0.0001"], "Optimizer": ["sgd, 0.1", "adamw"]}
    figure = figure_f1(table, names, "A toy study")
    figure.draw_without_rendering()
    rate = figure.axes[0]
    texts = {text.get_position(): text.get_text() for text in rate.texts}
    assert texts == {(0, 1): "-30.0", (0, 2): "-30.0", (1, 2): "+20.0"}
    assert [label.get_text() for label in rate.get_xticklabels()] == ["0.01", "0.001"]
    assert [label.get_text() for label in rate.get_yticklabels()] == ["0.001", "0.0001"]
    assert rate.get_title() == "Rate: in distribution"
    assert rate.images[0].get_clim() == (-20, 20)  # what is too large does not set the colours


def test_runs_are_looked_up_by_all_that_they_share_and_what_they_differ_in(small_study) -> None:
    assert [asked.plan for asked in RESULT.analyses(SPEC)] == [
        {
            "kind": "endpoints",
            "grids": {
                "Rate": [{"optimizer": "adamw", "lr": lr} for lr in (1e-2, 1e-3, 1e-4)],
                "Optimizer": [
                    {"optimizer": "sgd", "lr": 0.1},
                    {"optimizer": "adamw", "lr": 1e-3},
                ],
            },
        }
    ]
    spec = {"sweep": "grid", "match": {"seed": 0}, "grids": {"Rate": [{"lr": 1e-3}, {"lr": 5.0}]}}
    assert list(RESULT.problems(spec, small_study)) == [
        "expected one run of grid with {'seed': 0, 'lr': 5.0}, found none"
    ]


def test_it_is_made_of_the_averages_the_scores_and_what_is_right(make_given) -> None:
    mixes, scores, correct = tables()
    about = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}
    given = make_given({"endpoints": mixes, "scores": scores, "correct": correct}, SPEC, about)
    made = RESULT.make(given)
    assert (len(made.table), len(made.claims)) == (4, 4)
    assert RESULT.needs(SPEC).keys() == {"endpoints", "scores", "correct"}
