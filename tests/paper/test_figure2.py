"""Planes in weight space: what is drawn of them, which runs span them."""

import pandas as pd
import pytest

from modelsoups.paper.claims import FAILS, HOLDS
from modelsoups.paper.figure2 import (
    DRAWN,
    RESULT,
    barrier_claims,
    corner_claims,
    describe,
    figure_2,
    landscape,
)

ROLES = {
    "learn": "train",
    "holdout": "held_out",
    "photos": "test",
    "sketches": "shift",
    "toys": "shift",
}
SPEC = {"sweep": "grid", "lr": 1e-3, "smaller_lr": 1e-2, "resolution": 3}


def plane() -> pd.DataFrame:
    """Two planes of nine mixes and three corners."""
    grid = [{"corner": "", "x": x, "y": y} for y in (0.0, 1, 2) for x in (0.0, 1, 2)]
    corners = [("start", 0.5, 0.5), ("first", 1.5, 0.5), ("second", 1.0, 1.5)]
    rows = grid + [{"corner": corner, "x": x, "y": y} for corner, x, y in corners]
    table = pd.DataFrame(rows)
    table["train_loss"] = 1 + (table["x"] - 1) ** 2 + table["y"]
    table["in_distribution"] = table["shifts"] = 0.2 + 0.1 * table["x"]
    return pd.concat([table.assign(plane="Seeds"), table.assign(plane="Rates")])


def test_landscape_has_train_loss_and_errors(measure) -> None:
    about = {"corner": "", "x": 1.0, "y": 2.0}
    rows = measure({"photos": 0.75, "sketches": 0.5, "toys": 0.25}, **about)
    rows += measure({"learn": 1.25, "photos": 9.0}, metric="nll", **about)
    table = landscape({"Seeds": pd.DataFrame(rows)}, ROLES)
    columns = ["plane", "x", "y", "train_loss", "in_distribution", "shifts"]
    assert table[columns].to_numpy().tolist() == [["Seeds", 1.0, 2.0, 1.25, 0.25, 0.625]]


def test_landscape_of_a_study_without_a_training_set_has_errors_alone(measure) -> None:
    rows = measure({"photos": 0.75}, corner="", x=1.0, y=2.0)
    table = landscape({"Seeds": pd.DataFrame(rows)}, {"holdout": "held_out", "photos": "test"})
    assert list(table) == ["corner", "y", "x", "in_distribution", "plane"]


def test_it_has_a_row_a_plane_and_a_column_a_domain() -> None:
    figure = figure_2(plane(), "A toy study")
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "A toy study"
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert [axes.get_title() for axes in panels[:3]] == [
        "Train loss (nats)",
        "Test error (%)",
        "Mean shift error (%)",
    ]
    assert [panels[0].get_ylabel(), panels[3].get_ylabel()] == [
        "Seeds\nAlong $u_2$",
        "Rates\nAlong $u_2$",
    ]


def test_arrows_are_drawn_at_the_angle_that_they_have_in_weight_space() -> None:
    """Of a plane twice as wide as it is high, whose arrows are 45 degrees apart."""
    table = plane().replace({"y": {1.0: 0.5, 2.0: 1.0}})
    table.loc[table["corner"] == "second", ["x", "y"]] = (1.0, 1.0)
    figure = figure_2(table, "A toy study")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    start, *ends = axes.transData.transform([(0.5, 0.5), (1.5, 0.5), (1.0, 1.0)])
    (along, flat), (right, up) = (end - start for end in ends)
    assert flat == pytest.approx(0) and along > 0
    assert up == pytest.approx(right)


def test_it_is_drawn_without_train_loss_and_shifts() -> None:
    figure = figure_2(plane().drop(columns=["train_loss", "shifts"]), "A toy study")
    figure.draw_without_rendering()
    assert sum(bool(axes.get_xlabel()) for axes in figure.axes) == 2


def test_a_flat_plane_is_drawn() -> None:
    figure = figure_2(plane().assign(shifts=0.98), "A toy study")
    figure.draw_without_rendering()


def test_it_is_described_by_its_least_error_and_its_corners() -> None:
    corners = ["", "", "start", "first", "second"]
    table = pd.DataFrame({"corner": corners, "in_distribution": [0.3, 0.2, 0.5, 0.25, 0.35]})
    assert describe(table.assign(plane="Seeds")).startswith(
        "Seeds, test error: least on the grid 20.0 %, at the initialisation 50.0 %, at the runs "
        "25.0 and 35.0 %."
    )


def test_planes_are_spanned_by_runs_that_differ_in_seed_or_learning_rate() -> None:
    spec = {**SPEC, "match": {"augmentation": "minimal"}, "seeds": [3, 4], "max_images": 10}
    first = {"augmentation": "minimal", "lr": 1e-3, "seed": 3}
    plans = {asked.table: asked.plan for asked in RESULT.analyses(spec)}
    shared = {"kind": "plane", "first": first, "resolution": 3, "max_images": 10}
    assert plans == {
        "mixes/plane-seed": {**shared, "second": {**first, "seed": 4}},
        "mixes/plane-smaller-lr": {**shared, "second": {**first, "lr": 1e-2}},
    }
    assert [need.table for need in RESULT.needs(spec)["planes"]] == list(plans)


def test_runs_that_span_no_plane_are_found_before_anything_runs(small_study) -> None:
    assert not RESULT.problems(SPEC, small_study)
    assert RESULT.problems({**SPEC, "smaller_lr": 5.0}, small_study) == [
        "expected one run of grid with {'lr': 5.0, 'seed': 0}, found none"
    ]
    assert "no initialization" in RESULT.problems({**SPEC, "sweep": "given"}, small_study)[0]


def test_it_is_made_from_files(make_given, measure) -> None:
    rows = []
    for corner, x, y in (
        *(("", x, y) for y in (0.0, 1.0) for x in (0.0, 1.0)),
        *(("start", 0.0, 0.0), ("first", 1.0, 0.0), ("second", 0.0, 1.0), ("middle", 0.5, 0.5)),
    ):
        rows += measure(
            {"photos": 0.5 + 0.1 * x, "sketches": 0.4, "toys": 0.4}, corner=corner, x=x, y=y
        )
        rows += measure({"learn": 1 + y}, metric="nll", corner=corner, x=x, y=y)
    about = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}
    made = RESULT.make(make_given({"planes": [pd.DataFrame(rows)] * len(DRAWN)}, SPEC, about))
    assert list(dict.fromkeys(made.table["plane"])) == [
        "Same learning rate",
        "Smaller learning rate",
    ]
    assert "least on the grid 40.0 %" in made.found[0]
    assert len(made.claims) == 2


def of_corners(measure, **values) -> pd.DataFrame:
    """Mixes with these accuracies in both domains."""
    return pd.DataFrame(
        [
            row
            for corner, value in values.items()
            for row in measure({"photos": value, "sketches": value, "toys": value}, corner=corner)
        ]
    )


def test_middle_has_to_be_above_every_corner(measure) -> None:
    mixes = of_corners(measure, start=0.1, first=0.3, second=0.4, middle=0.95)
    inside, outside = corner_claims(mixes, ROLES)
    assert (inside.verdict, outside.verdict) == (HOLDS, HOLDS)
    assert inside.value == pytest.approx(0.55)
    mixes = of_corners(measure, start=0.1, first=0.3, second=0.95, middle=0.95)
    assert corner_claims(mixes, ROLES)[0].verdict != HOLDS
    mixes = of_corners(measure, start=0.1, first=0.3, second=0.95, middle=0.2)
    assert corner_claims(mixes, ROLES)[0].verdict == FAILS


def test_barrier_is_error_of_the_middle_above_that_of_the_runs(measure) -> None:
    mixes = of_corners(measure, start=0.1, first=0.7, second=0.9, middle=0.2)
    inside, _ = barrier_claims(mixes, ROLES)
    assert (inside.value, inside.verdict) == (pytest.approx(0.6), HOLDS)
    mixes = of_corners(measure, start=0.1, first=0.3, second=0.5, middle=0.9)
    assert barrier_claims(mixes, ROLES)[1].verdict == FAILS
