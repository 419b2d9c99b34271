"""Soup minus ensemble against its approximation."""

import pandas as pd
import pytest

from modelsoups.paper.claims import HOLDS, OPEN
from modelsoups.paper.figureK1 import (
    RESULT,
    approximation_claims,
    describe_panels,
    figure_k1,
    panels,
)

SPEC = {
    "sweep": "grid",
    "learning_rates": [1e-3, 1e-2],
    "levels": [{"augmentation": "minimal"}],
    "seeds": [0, 1],
    "alphas": [0.5],
    "high_lr": 1e-2,
    "curvature": "differences",
}
ROLES = {"photos": "test"}


def make_table() -> pd.DataFrame:
    """16 pairs of ten runs; the approximation is off by a constant, and by a lot at the high lr."""
    return pd.DataFrame(
        [
            {
                **{"start": f"{start:03d}", "end": f"{end:03d}", "varied": "seed", "larger_lr": lr},
                **{"calibrated": calibrated, "differences": x, "forward_mode": 0.0},
                "loss_difference": x + 0.01 if lr < 1e-2 else -x,
                "error_difference": x / 10,
            }
            for calibrated in (True, False)
            for lr in (1e-3, 1e-2)
            for start in (0, 9)
            for end in range(1, 9)
            for x in (0.1 * end, -0.05 * end)
        ]
    )


def test_high_learning_rate_is_in_the_left_panels_alone() -> None:
    rows = [(calibrated, lr) for calibrated in (True, True, False) for lr in (1e-3, 1e-2)]
    found = panels(pd.DataFrame(rows, columns=["calibrated", "larger_lr"]), high_lr=1e-2)
    assert [len(rows) for _, _, rows in found] == [4, 2, 2, 2, 1, 1]
    assert [truth for _, truth, _ in found] == [
        "loss_difference",
        "loss_difference",
        "error_difference",
    ] * 2


def test_errors_are_drawn_in_points_and_losses_in_nats() -> None:
    table = make_table()
    notes = describe_panels(table, 1e-2, "differences")
    assert notes[1].startswith("r = 1.00 (95 %: 1.00 to 1.00), same sign 100 %")
    figure = figure_k1(table, "A toy study", 1e-2, "differences", notes)
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "A toy study: soup minus ensemble"
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == [
        "True loss difference (nats)",
        "True loss difference (nats)",
        "True error difference (points)",
    ]
    [seeds] = [dots for dots in figure.axes[2].collections if dots.get_label() == "seed"]
    assert seeds.get_offsets()[0].tolist() == pytest.approx([0.1, 1.0])


def test_claims_are_about_calibrated_pairs_without_the_high_learning_rate() -> None:
    loss, signs, beta, error = approximation_claims(make_table(), 1e-2, "differences")
    assert (loss.verdict, signs.verdict, error.verdict) == (HOLDS, HOLDS, HOLDS)
    assert loss.here.startswith(
        "correlation 1.00 (1.00 to 1.00), above 0.5 is asked for, 32 comparisons of 16 pairs; high"
    )
    assert "second derivative by differences" in loss.here
    assert signs.here.startswith("the same sign in 100 %")
    assert beta.value == pytest.approx(0)  # the table is the same with either beta


def test_few_pairs_decide_nothing() -> None:
    table = make_table()
    few = table[(table["start"] == "000")]  # eight pairs
    claims = approximation_claims(few, 1e-2, "differences")
    assert [claim.verdict for claim in claims] == [OPEN] * 4


def test_one_pair_claims_nothing() -> None:
    table = make_table()
    one = table[(table["end"] == "001") & (table["start"] == "000")]
    assert approximation_claims(one, 1e-2, "differences") == []


def test_errors_that_are_all_alike_decide_nothing() -> None:
    table = make_table().assign(error_difference=0.01)
    *_, error = approximation_claims(table, 1e-2, "differences")
    assert error.verdict == OPEN
    assert error.here.startswith("no correlation: too few or too alike, 32 comparisons")
    note = describe_panels(table, 1e-2, "differences")[2]
    assert note == "32 comparisons, too few or too alike"


def test_how_it_is_drawn_is_no_part_of_what_it_asks_for() -> None:
    (asked,) = RESULT.analyses({**SPEC, "max_images": 3})
    assert asked.table == RESULT.needs(SPEC)["approximation"].table
    assert set(asked.plan) == {"learning_rates", "levels", "seeds", "alphas", "max_images"}
    (other,) = RESULT.analyses({**SPEC, "max_images": 3, "high_lr": 1, "curvature": "forward_mode"})
    assert other == asked


def test_pairs_that_are_not_there_are_found_before_anything_runs(small_study) -> None:
    assert not RESULT.problems(SPEC, small_study)
    assert len(RESULT.problems({**SPEC, "seeds": [0, 5]}, small_study)) == 2
    (problem,) = RESULT.problems({**SPEC, "high_lr": 1e-3}, small_study)
    assert problem.startswith("no learning rate is below high_lr 0.001")
    assert len(RESULT.problems({**SPEC, "sweep": "given"}, small_study)) == 2


def test_it_is_made_from_files(make_given) -> None:
    about = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}
    made = RESULT.make(make_given({"approximation": make_table()}, SPEC, about))
    assert len(made.claims) == 4
    assert "r = 1.00" in made.figure.axes[1].get_title()
