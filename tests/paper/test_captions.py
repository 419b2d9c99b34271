"""Captions repeat the computed verdicts; descriptions are counts and averages worked by hand."""

import pandas as pd

from modelsoups.paper.captions import (
    CAPTIONS,
    DESCRIPTIONS,
    caption,
    describe_plane,
    describe_seeds,
    describe_wise,
)
from modelsoups.paper.claims import soup_claims, to_table
from small_scores import CORRECT_IMAGES, ROLES, SCORES

CLAIMS = to_table(soup_claims(SCORES, CORRECT_IMAGES, ROLES, "a-sweep"))


def test_caption_repeats_the_paper_and_the_computed_verdicts() -> None:
    text = caption("table3", "a toy study", CLAIMS)
    assert "Study: a toy study." in text
    assert "**The paper:** The greedy soup beats the best individual model" in text
    assert text.count("**Here:**") == len(CLAIMS)
    assert caption("figure2", "a toy study", CLAIMS, "least 20 %").endswith(
        "**Here:** least 20 %\n"
    )


def test_every_claim_is_shown_in_something_that_has_a_caption() -> None:
    assert {name for where in CLAIMS["shown_in"] for name in where.split()} <= CAPTIONS.keys()
    assert DESCRIPTIONS.keys() <= CAPTIONS.keys()


def test_plane_is_described_by_its_least_error_and_its_corners() -> None:
    corners = ["", "", "start", "first", "second"]
    table = pd.DataFrame({"corner": corners, "in_distribution": [0.3, 0.2, 0.5, 0.25, 0.35]})
    assert describe_plane(table.assign(plane="Seeds")).startswith(
        "Seeds, test error: least on the grid 20.0 %, at the initialisation 50.0 %, at the runs "
        "25.0 and 35.0 %."
    )


def test_wise_counts_points_as_good_as_the_soup_in_both_domains() -> None:
    # The soup at alpha 1 has 0.7 and 0.5; one point of the runs has more, one as much in one alone.
    rows = [
        ("uniform", 0.5, 0.9, 0.9),
        ("uniform", 1.0, 0.7, 0.5),
        ("000", 0.5, 0.8, 0.6),
        ("000", 1.0, 0.7, 0.4),
    ]
    table = pd.DataFrame(rows, columns=["model", "alpha", "in_distribution", "shifts"])
    table = table.assign(sweep="s")
    assert describe_wise(table).startswith("s, uniform soup: 1 of 2 points on the runs' curves")
    assert describe_wise(table.drop(columns="shifts")) == "no shift sets"


def test_seeds_are_described_by_the_mean_run_and_the_soup_of_all() -> None:
    rows = [
        ("individual", 1, 0.5),
        ("individual", 2, 0.6),
        ("soup", 1, 0.5),
        ("soup", 2, 0.65),
        ("ensemble", 1, 0.5),
        ("ensemble", 2, 0.7),
    ]
    table = pd.DataFrame(rows, columns=["method", "k", "in_distribution"])
    assert describe_seeds(table.assign(sweep="s", metric="accuracy")) == (
        "s, in distribution: runs 55.0 % on average, soup 65.0 %, ensemble 70.0 %."
    )
