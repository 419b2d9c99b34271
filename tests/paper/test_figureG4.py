"""Seeds alone, of several groups of runs."""

import pandas as pd
import pytest

from modelsoups.paper.figureG4 import (
    RESULT,
    cut_to_fewest,
    describe,
    figure_g4,
    gain_claims,
    name_groups,
)
from modelsoups.paper.seeds import LOOKS

ROLES = {"holdout": "held_out", "photos": "test"}
GROUPS = [
    {"sweep": "grid", "match": {"lr": 1e-3}},
    {"sweep": "grid", "match": {"lr": 1e-2}},
    {"sweep": "other"},
]
NAMES = ["grid, lr 0.001", "grid, lr 0.01", "other"]


def test_groups_of_one_sweep_are_told_apart() -> None:
    assert name_groups(GROUPS) == NAMES
    assert name_groups(GROUPS[1:]) == ["grid", "other"]


def test_groups_are_described_by_the_mean_run_and_the_soup_of_all() -> None:
    rows = [
        ("individual", 1, 0.5),
        ("individual", 2, 0.6),
        ("soup", 1, 0.5),
        ("soup", 2, 0.65),
        ("ensemble", 1, 0.5),
        ("ensemble", 2, 0.7),
    ]
    table = pd.DataFrame(rows, columns=["method", "k", "in_distribution"])
    assert describe(table.assign(runs="s", metric="accuracy")) == (
        "s, in distribution: runs 55.0 % on average, soup 65.0 %, ensemble 70.0 %."
    )


def test_one_sweep_with_two_matches_is_drawn_from_two_tables(make_given, measure) -> None:
    assert [need.table for need in RESULT.needs({"seeds": GROUPS})["seeds"]] == [
        "seeds/lr-0.001",
        "seeds/lr-0.01",
        "seeds/all",
    ]
    assert [asked.plan for asked in RESULT.analyses({"seeds": GROUPS})] == [
        {"match": {"lr": 1e-3}},
        {"match": {"lr": 1e-2}},
        {"match": {}},
    ]
    tables = [
        pd.DataFrame(
            row for method in LOOKS for row in measure({"photos": value}, method=method, k=1)
        )
        for value in (0.1, 0.2, 0.3)
    ]
    about = {"study": "A toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}
    made = RESULT.make(make_given({"seeds": tables}, {"seeds": GROUPS}, about))
    found = made.table.groupby("runs", sort=False)["in_distribution"].first()
    assert found.to_dict() == dict(zip(NAMES, (0.1, 0.2, 0.3), strict=True))
    assert made.table["sweep"].unique().tolist() == ["grid", "other"]


def test_gains_are_compared_image_by_image(measure) -> None:
    def seeds(runs, soup):
        rows = [measure({"photos": v}, method="individual", k=k) for k, v in enumerate(runs, 1)]
        return pd.DataFrame(sum(rows, measure({"photos": soup}, method="soup", k=2)))

    # Gains of 0.2 and 0.05.
    tables = {"clip": seeds([0.5, 0.6], 0.75), "other": seeds([0.5, 0.5], 0.55)}
    (claim,) = gain_claims(tables, ROLES)
    assert claim.value == pytest.approx(0.15)
    assert claim.here.startswith("gain of clip +20.00 points, of other +5.00 points: +15.00 points")


def test_groups_are_cut_to_the_number_of_the_smallest() -> None:
    many, few = (pd.DataFrame({"k": range(1, n + 1), "method": "soup"}) for n in (20, 5))
    assert [table["k"].max() for table in cut_to_fewest([many, few])] == [5, 5]


def test_calibrated_curves_are_not_drawn() -> None:
    table = pd.concat(
        pd.DataFrame({"method": method, "k": [1, 2], "in_distribution": [0.5, 0.6]})
        for method in LOOKS
    )
    figure = figure_g4(table.assign(runs="s", metric="accuracy"), "A toy study")
    figure.draw_without_rendering()
    assert [line.get_label() for line in figure.axes[0].lines] == ["individual", "soup", "ensemble"]
    assert figure.axes[0].get_title() == "s: in distribution"


def test_each_group_is_checked_before_anything_runs(small_study) -> None:
    groups = [{"sweep": "grid"}, {"sweep": "given"}]
    assert len(RESULT.problems({"seeds": groups}, small_study)) == 2
    assert list(RESULT.names({"seeds": groups})) == [("sweep", "grid"), ("sweep", "given")]
