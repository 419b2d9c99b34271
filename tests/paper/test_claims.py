"""Verdicts are computed from intervals; claims from tables whose answer is known."""

from math import nan

import numpy as np
import pandas as pd
import pytest

from modelsoups.paper.claims import (
    FAILS,
    HOLDS,
    OPEN,
    all_claims,
    calibration_claims,
    correlation_claim,
    print_claims,
    soup_claims,
    to_table,
    uniform_claims,
    verdict,
)
from small_scores import CORRECT_IMAGES, ROLES, SCORES


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.02, 0.01, 0.03, HOLDS),
        (-0.02, -0.03, -0.01, FAILS),
        (0.02, -0.01, 0.05, OPEN),
        (0.0, 0.0, 0.01, OPEN),
        (0.0, 0.0, 0.0, FAILS),
        (0.0, nan, nan, HOLDS),
        (-0.001, nan, nan, FAILS),
        (nan, nan, nan, OPEN),
    ],
)
def test_verdict_is_where_the_interval_lies(value, low, high, expected) -> None:
    assert verdict(value, low, high) == expected


def test_greedy_claims_have_the_tables_numbers() -> None:
    claims = {c.claim: c for c in soup_claims(SCORES, CORRECT_IMAGES, ROLES, "a-sweep")}
    held_out = claims["The greedy soup is no worse than the best run on the held-out set"]
    assert (held_out.verdict, held_out.value) == (HOLDS, pytest.approx(18 / 20 - 16 / 20))
    # 8 of 10 against 7: too few images to tell.
    test = claims["The greedy soup beats the best run in distribution"]
    assert (test.verdict, test.value) == (OPEN, pytest.approx(0.1))
    # Equal on 10 sketches, 24 against 16 of 40 toys, none lost: the interval is above zero.
    shifts = claims["The greedy soup beats the best run on the shifts"]
    assert (shifts.verdict, shifts.value) == (HOLDS, pytest.approx(0.1))
    assert 0 < shifts.low < 0.1 < shifts.high


def test_uniform_soup_is_judged_both_ways() -> None:
    both = {"good": SCORES, "bad": SCORES}
    images = {"good": CORRECT_IMAGES, "bad": CORRECT_IMAGES}
    helps, hurts = uniform_claims(both, images, ROLES, all_good="good", some_bad="bad")
    assert helps.value == pytest.approx(0.1)
    assert hurts.value == pytest.approx(-0.1)
    assert "sweep bad (held-out accuracy of its runs: 60.0 to 80.0 %)" in hurts.here


def test_calibration_claims_have_opposite_signs() -> None:
    rows = [
        {"method": method, "k": 5, "dataset": "photos", "metric": "ece_gain", **numbers}
        for method, numbers in (
            ("soup", {"value": 0.02, "low": 0.01, "high": 0.03}),
            ("ensemble", {"value": -0.05, "low": -0.06, "high": -0.04}),
        )
    ]
    soup, ensemble = calibration_claims(pd.DataFrame(rows), ROLES)
    assert (soup.verdict, ensemble.verdict) == (HOLDS, HOLDS)
    assert (ensemble.value, ensemble.low, ensemble.high) == (0.05, 0.04, 0.06)
    assert "-5.00 points (-6.00 to -4.00)" in ensemble.here


def test_correlation_is_resampled_by_runs() -> None:
    runs = [f"{i:03d}" for i in range(8)]
    pairs = [(a, b) for i, a in enumerate(runs) for b in runs[i + 1 :]]
    rng = np.random.default_rng(0)
    x = rng.random(len(pairs))
    table = pd.DataFrame(pairs, columns=["first", "second"]).assign(x=x, y=2 * x)
    claim = correlation_claim(table, "x", "y", "They go together", "3.2", "Figure 3", "figure3")
    assert (claim.verdict, claim.value, claim.low) == (HOLDS, pytest.approx(1), pytest.approx(1))
    noise = table.assign(y=rng.random(len(pairs)))
    claim = correlation_claim(noise, "x", "y", "They go together", "3.2", "Figure 3", "figure3")
    assert claim.verdict == OPEN


def test_a_study_without_analyses_has_the_claims_of_its_soups() -> None:
    claims = all_claims({"s": SCORES}, {"s": CORRECT_IMAGES}, {}, ROLES, "s", {}, {})
    assert len(claims) == 5


def test_page_repeats_the_computed_verdicts() -> None:
    claims = to_table(soup_claims(SCORES, CORRECT_IMAGES, ROLES, "a-sweep"))
    assert print_claims(claims, "a toy study").count("| **") == len(claims)
