"""Figure 1 shows the sweep's points where they belong, and the same ones give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelsoups.figures import MARKERS, SOUPS, figure_1, save
from modelsoups.scores import COLUMNS

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
