"""Verdicts are computed from intervals; claims from tables whose answer is known."""

from math import isnan, nan

import numpy as np
import pandas as pd
import pytest

from modelsoups.paper.claims import (
    FAILS,
    HOLDS,
    OPEN,
    compared,
    correlated,
    make_claim,
    print_claims,
    read_claims,
    verdict,
    write_claims,
)
from small_scores import CORRECT_IMAGES

TEXTS = {"claim": "They go together", "section": "3.2", "paper": "Figure 3"}


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (0.02, 0.01, 0.03, HOLDS),
        (-0.02, -0.03, -0.01, FAILS),
        (0.02, -0.01, 0.05, OPEN),
        (0.0, 0.0, 0.01, OPEN),
        (0.0, 0.0, 0.0, FAILS),
        (nan, nan, nan, OPEN),
        (0.9, nan, nan, OPEN),
    ],
)
def test_verdict_is_where_the_interval_lies(value, low, high, expected) -> None:
    assert verdict(value, low, high) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.0, HOLDS), (-0.001, FAILS), (nan, OPEN)])
def test_an_exact_number_needs_no_interval(value, expected) -> None:
    assert verdict(value, exact=True) == expected


def test_models_are_compared_on_the_same_images() -> None:
    claim = compared(CORRECT_IMAGES, ["greedy"], ["001"], ["photos"], "sweep s", **TEXTS)
    assert claim.value == pytest.approx(0.1)
    assert claim.here.startswith("greedy minus 001: +10.00 points (")
    assert claim.here.endswith("p = 1, sweep s")


def test_several_models_are_averaged() -> None:
    orders = [f"greedy-order{i}" for i in (1, 2, 3)]
    claim = compared(CORRECT_IMAGES, orders, ["001"], ["photos"], "sweep s", **TEXTS)
    assert claim.value == pytest.approx((6 + 7 + 8) / 30 - 7 / 10)


def pairs() -> tuple[pd.DataFrame, np.random.Generator]:
    """All pairs of eight runs, with a random x and y = 2 x."""
    runs = [f"{i:03d}" for i in range(8)]
    names = [(a, b) for i, a in enumerate(runs) for b in runs[i + 1 :]]
    rng = np.random.default_rng(0)
    x = rng.random(len(names))
    return pd.DataFrame(names, columns=["first", "second"]).assign(x=x, y=2 * x), rng


def test_correlation_is_resampled_by_runs() -> None:
    table, rng = pairs()
    claim = correlated(table, "x", "y", **TEXTS)
    assert (claim.verdict, claim.value, claim.low) == (HOLDS, pytest.approx(1), pytest.approx(1))
    noise = table.assign(y=rng.random(len(table)))
    assert correlated(noise, "x", "y", **TEXTS).verdict == OPEN


def test_a_correlation_without_an_interval_decides_nothing() -> None:
    table, _ = pairs()
    constant = correlated(table.assign(y=1.0), "x", "y", **TEXTS)
    assert (constant.verdict, isnan(constant.value)) == (OPEN, True)
    assert constant.here == "28 pairs, too few or too alike for a correlation"
    # Three pairs that share no run: a resample with all of them draws each of six runs once, which
    # is the sample itself; none of 1,000 does.
    apart = table[
        table[["first", "second"]].agg("".join, axis=1).isin(["000001", "002003", "004005"])
    ]
    claim = correlated(apart, "x", "y", **TEXTS)
    assert claim.value == pytest.approx(1)
    assert claim.verdict == (OPEN if isnan(claim.low) else HOLDS)


def test_claims_come_back_from_their_files_with_where_they_are_shown(tmp_path) -> None:
    first = make_claim("by 1 point", 0.01, exact=True, **TEXTS)
    second = make_claim("at “most” ±1", 0.0, -0.01, 0.01, **TEXTS)
    write_claims(tmp_path / "table3.json", [first])
    write_claims(tmp_path / "figure9.json", [second])
    write_claims(tmp_path / "figure1.json", [])
    names = ("table3", "figure1", "figure9")
    table = read_claims([tmp_path / f"{name}.json" for name in names])
    assert table["shown_in"].tolist() == ["table3", "figure9"]
    assert table["verdict"].tolist() == [HOLDS, OPEN]
    assert table["low"].tolist() == [pytest.approx(nan, nan_ok=True), -0.01]
    assert table["here"].tolist() == [first.here, second.here]
    assert "NaN" not in (tmp_path / "table3.json").read_text("utf-8")


def test_a_study_without_claims_has_an_empty_page(tmp_path) -> None:
    write_claims(tmp_path / "figure1.json", [])
    table = read_claims([tmp_path / "figure1.json"])
    assert print_claims(table, "a toy study").count("| **") == 0
    assert "verdict" in table


def test_page_repeats_the_computed_verdicts(tmp_path) -> None:
    write_claims(tmp_path / "table3.json", [make_claim("x", 0.0, 0.1, 0.2, **TEXTS)] * 3)
    table = read_claims([tmp_path / "table3.json"])
    assert print_claims(table, "a toy study").count(f"| **{HOLDS}** |") == 3
