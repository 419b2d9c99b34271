"""Figures show the points where they belong, and the same ones give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.scores import COLUMNS
from modelsoups.paper.figures import (
    EVERYTHING,
    MARKERS,
    SEEDS,
    SOUPS,
    figure_1,
    figure_2,
    figure_3,
    figure_4,
    figure_b1,
    figure_b2,
    figure_curves,
    figure_d1,
    figure_g4,
    figure_k1,
    save,
)

ROLES = {"holdout": "held_out", "photos": "test", "sketches": "shift", "toys": "shift"}
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


def points(figure) -> dict[str, list]:
    """Label -> coordinates of the points drawn under it."""
    return {
        collection.get_label(): np.round(collection.get_offsets(), 6).tolist()
        for collection in figure.axes[0].collections
    }


def test_points_are_percent_in_distribution_and_on_the_mean_of_shifts() -> None:
    assert points(figure_1(SCORES, ROLES, "A toy study")) == {
        "Initialization": [[30, 20]],
        "Individual models": [[90, 30], [70, 55]],
        "Best on held-out set": [[70, 55]],  # 001, though 000 is better on photos
        "Uniform soup": [[80, 70]],
        "Greedy soup": [[85, 65]],
    }


def test_ensembles_are_shown_if_asked() -> None:
    figure = figure_1(SCORES, ROLES, "A toy study", {**SOUPS, "Ensemble": "ensemble"})
    assert points(figure)["Ensemble"] == [[95, 70]]


def test_soups_that_do_not_exist_are_left_out() -> None:
    figure = figure_1(SCORES[SCORES["model"] != "greedy"], ROLES, "A toy study")
    assert "Greedy soup" not in points(figure)


def test_labels_say_study_units_and_number_of_images() -> None:
    axes = figure_1(SCORES, ROLES, "A toy study").axes[0]
    assert axes.get_title() == "A toy study"
    assert axes.get_xlabel() == "Accuracy on photos (top-1, %; n = 1,300)"
    assert axes.get_ylabel() == "Mean accuracy on 2 shift sets (top-1, %)"


def test_legend_names_every_group_and_covers_no_point() -> None:
    figure = figure_1(SCORES, ROLES, "A toy study")
    figure.draw_without_rendering()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(points(figure))
    assert not figure.legends[0].get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_markers_differ_without_colour() -> None:
    shapes = [(look["marker"], look.get("facecolor") == "none") for look in MARKERS.values()]
    assert len(set(shapes)) == len(shapes)


def test_same_figure_has_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        figure = figure_1(SCORES, ROLES, "A toy study")
        save(figure, tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    for suffix in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{suffix}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
    assert "<dc:date>" not in (tmp_path / "a.svg").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.png", "b.svg"]


def test_a_study_without_shift_sets_is_refused() -> None:
    with pytest.raises(ValueError, match="figure 1 needs a dataset with role shift"):
        figure_1(SCORES, {"holdout": "held_out", "photos": "test"}, "A toy study")


def test_a_choice_on_the_test_set_is_refused() -> None:
    roles = {"photos": "test", "sketches": "shift", "toys": "shift"}
    with pytest.raises(ValueError, match="one dataset with role held_out, found none"):
        figure_1(SCORES, roles, "A toy study")


def plane() -> pd.DataFrame:
    """Two planes of nine points and three corners."""
    grid = [{"corner": "", "x": x, "y": y} for y in (0.0, 1, 2) for x in (0.0, 1, 2)]
    corners = [("start", 0.5, 0.5), ("first", 1.5, 0.5), ("second", 1.0, 1.5)]
    rows = grid + [{"corner": corner, "x": x, "y": y} for corner, x, y in corners]
    table = pd.DataFrame(rows)
    table["train_loss"] = 1 + (table["x"] - 1) ** 2 + table["y"]
    table["in_distribution"] = table["shifts"] = 0.2 + 0.1 * table["x"]
    return pd.concat([table.assign(plane="Seeds"), table.assign(plane="Rates")])


def curve(**columns) -> pd.DataFrame:
    return pd.DataFrame({"in_distribution": [0.5, 0.6], "shifts": [0.3, 0.4], **columns})


def approximations() -> pd.DataFrame:
    rows = [
        {
            **{"start": "000", "end": "001", "varied": "seed", "larger_lr": lr},
            **{"calibrated": calibrated, "differences": x, "loss_difference": x + 0.01},
            "error_difference": 0.02,
        }
        for calibrated in (True, False)
        for lr in (1e-3, 1e-2)
        for x in (-0.1, 0.2)
    ]
    return pd.DataFrame(rows)


SEED_CURVES = pd.concat(
    [
        curve(method=method, k=[1, 2], metric=metric)
        for method in SEEDS
        for metric in ("accuracy", "ece", "nll")
    ]
)
DRAWN = {
    "2": lambda: figure_2(plane(), "A toy study"),
    "J.1": lambda: figure_2(plane(), "A toy study", log_levels=False),
    "3": lambda: figure_3(
        pd.DataFrame({"varied": ["seed", "lr"], "angle": [60, 80], "advantage": [0.01, 0.02]}),
        "A toy study",
    ),
    "4": lambda: figure_4(
        pd.DataFrame(
            {
                "domain": ["in_distribution", "shifts"],
                "larger_lr": [1e-3, 1e-4],
                "soup": [0.7, 0.4],
                "ensemble": [0.75, 0.35],
            }
        ),
        "A toy study",
    ),
    "B.1": lambda: figure_b1(
        pd.concat(curve(order=order, k=[1, 2], method="Greedy soup") for order in (0, -1)),
        "A toy study",
    ),
    "B.2": lambda: figure_b2(SEED_CURVES, "A toy study"),
    "G.4": lambda: figure_g4(SEED_CURVES.assign(sweep="seeds"), "A toy study"),
    "D.1": lambda: figure_d1(
        pd.concat(curve(sweep="s", model=m, alpha=[0, 1]) for m in ("000", "uniform")),
        "A toy study",
    ),
    "K.1": lambda: figure_k1(approximations(), "A toy study", 1e-2, "differences", ["r = 0"] * 6),
    "curves": lambda: figure_curves(
        pd.DataFrame({"run": "000", "epoch": [1, 2], "loss": [2.0, 1.0], "lr": 1e-3}),
        "A toy study",
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_names_the_study_and_its_axes(name: str) -> None:
    figure = DRAWN[name]()
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    assert any("A toy study" in title for title in titles)
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes[:1])
    figure.draw_without_rendering()


def test_advantage_is_drawn_in_percentage_points() -> None:
    assert points(DRAWN["3"]()) == {"Seed": [[60, 1]], "Learning rate": [[80, 2]]}


def test_pairs_are_drawn_soup_across_and_ensemble_up() -> None:
    left, right = DRAWN["4"]().axes[:2]
    assert left.collections[0].get_offsets().tolist() == [[70, 75]]
    assert right.collections[0].get_offsets().tolist() == [[40, 35]]


def test_calibrated_curves_are_omitted_from_accuracy_alone() -> None:
    accuracy, ece = DRAWN["B.2"]().axes[:2]
    assert [line.get_label() for line in accuracy.lines] == ["individual", "soup", "ensemble"]
    assert [line.get_label() for line in ece.lines] == list(SEEDS)


def test_figure_l3_has_several_points_of_one_label() -> None:
    orders = [SCORES[SCORES["model"] == "greedy"].assign(model=f"greedy-order{i}") for i in (1, 2)]
    figure = figure_1(pd.concat([SCORES, *orders]), ROLES, "A toy study", EVERYTHING)
    assert points(figure)["Greedy soup (random order)"] == [[85, 65], [85, 65]]
