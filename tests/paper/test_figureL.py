"""Figures L.1 and L.2: averages along trajectories, and their soups."""

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.paired import pack
from modelsoups.paper.claims import FAILS, HOLDS, OPEN
from modelsoups.paper.figureL import LOOKS, RESULT, family_claims, groups, say_average

SPEC = {
    "sweep": "runs",
    "number": 1,
    "learning_rates": [1e-3, 2e-3],
    "schedules": ["constant"],
    "averages": ["ema0.9", "swa", "swa0.7"],
}
ROLES = {"holdout": "held_out", "photos": "test", "sketches": "shift"}
ABOUT = {"study": "a toy study", "roles": ROLES, "recipes": {}, "ensembles": {}}


def make_mixes(counts: dict[str, dict[str, int]]) -> pd.DataFrame:
    """Of 100 images the first ones are right. counts: average -> row -> how many."""
    rows = []
    for group in groups(SPEC):
        about = group["about"]
        right = np.arange(100) < counts[about["average"]][about["row"]]
        for dataset in ("photos", "sketches"):
            common = {**about, "dataset": dataset, "n": 100, "metric": "accuracy"}
            rows.append({**common, "value": right.mean(), "right": pack(right)})
    return pd.DataFrame(rows)


def counts(soup: int, plain_soup: int = 50) -> dict[str, dict[str, int]]:
    """Singles of 40, 45 and 50; averaged ones of 60."""
    single = dict(zip(LOOKS, (40, 45, 50), strict=False))
    averaged = {**dict.fromkeys(LOOKS, 60), "soup": soup}
    return {"none": {**single, "soup": plain_soup}, **dict.fromkeys(SPEC["averages"], averaged)}


def test_groups_are_every_run_and_soup_of_every_average() -> None:
    found = groups(SPEC)
    assert len(found) == 2 * 1 * 4 * 4
    assert found[3] == {
        "about": {"lr": 1e-3, "schedule": "constant", "average": "none", "row": "soup"},
        "members": [
            {"lr": 1e-3, "schedule": "constant", "augmentation": each}
            for each in ("minimal", "medium", "strong")
        ],
    }
    assert found[-1]["average"] == "swa0.7"


@pytest.mark.parametrize(("soup", "verdict"), [(90, HOLDS), (30, FAILS), (61, OPEN)])
def test_soups_are_compared_with_the_best_of_their_ingredients(soup, verdict) -> None:
    claims = family_claims(make_mixes(counts(soup)), ROLES, SPEC["averages"], "runs")
    assert [claim.verdict for claim in claims] == [verdict] * 4
    assert claims[0].claim == "Soups add to EMA (in distribution, sweep runs)"
    assert claims[0].value == pytest.approx((soup - 60) / 100)
    assert claims[-1].here.endswith("of SWA, SWA 70 %")


def test_one_ingredient_that_is_better_than_the_soup_decides() -> None:
    values = counts(90)
    for average in SPEC["averages"]:
        values[average] = {**values[average], "strong": 99}
    verdicts = [c.verdict for c in family_claims(make_mixes(values), ROLES, ["ema0.9"], "runs")]
    assert verdicts == [FAILS] * 2


def test_panels_are_schedules_and_learning_rates_in_both_domains(make_given, drawn) -> None:
    made = RESULT.make(make_given({"mixes": make_mixes(counts(70))}, SPEC, ABOUT))
    panels = made.figure.axes
    assert len(panels) == 2 * 2
    assert drawn(panels[0])["soup"] == [[0, 50], [1, 70], [2, 70], [3, 70]]
    assert [each.get_text() for each in panels[-1].get_xticklabels()] == [
        *("no average", "EMA 0.9", "SWA", "SWA 70 %")
    ]
    assert made.found == [
        "Averages of single runs against their ends: in distribution EMA 0.9 +15.00 points, SWA "
        "+15.00 points, SWA 70 % +15.00 points; on the shifts EMA 0.9 +15.00 points, SWA +15.00 "
        "points, SWA 70 % +15.00 points."
    ]


def test_names_of_averages_are_printed_as_in_the_paper() -> None:
    assert [*map(say_average, ("none", "ema0.999", "swa", "swa0.7"))] == [
        *("no average", "EMA 0.999", "SWA", "SWA 70 %")
    ]


def test_figures_are_numbered_by_pre_training() -> None:
    targets = RESULT.targets([{"sweep": "a"}, {"sweep": "b"}], {})
    assert {name: spec["sweep"] for name, spec in targets.items()} == {
        "figureL1": "a",
        "figureL2": "b",
    }
