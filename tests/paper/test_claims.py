"""Verdicts are computed from intervals; claims from tables whose answer is known."""

from math import isnan, nan

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.statistics import estimate, mcnemar_test
from modelsoups.paper.claims import (
    FAILS,
    HOLDS,
    OPEN,
    compared,
    correlated,
    exactly,
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
    assert claim.here.endswith("p = 0.56, sweep s")


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
    assert constant.here == "28 pairs of 8 runs, too few or too alike for a correlation"


@pytest.mark.parametrize("runs", [["000", "001", "002"], ["000", "001", "002", "003", "004"]])
def test_a_correlation_over_few_runs_decides_nothing(runs) -> None:
    """Of three runs, resamples that have all three pairs are the sample itself, over and over."""
    table, _ = pairs()
    few = table[table["first"].isin(runs) & table["second"].isin(runs)]
    assert correlated(few, "x", "y", **TEXTS).verdict == OPEN


def test_a_strong_correlation_is_asked_for_where_the_paper_says_so() -> None:
    table, rng = pairs()
    weak = table.assign(y=table["x"] + 0.6 * rng.normal(size=len(table)))
    found, asked = (correlated(weak, "x", "y", **TEXTS, above=above) for above in (0, 0.5))
    assert asked.value == pytest.approx(found.value - 0.5)
    assert asked.verdict != HOLDS
    assert asked.here.endswith("the claim asks for more than 0.5")
    assert correlated(table, "x", "y", **TEXTS, above=0.5).verdict == HOLDS


def test_claims_come_back_from_their_files_with_where_they_are_shown(tmp_path) -> None:
    first = make_claim("by 1 point", exactly(0.01), exact=True, **TEXTS)
    second = make_claim("at “most” ±1", estimate(0.0, 0.01), **TEXTS)
    write_claims(tmp_path / "table3.json", [first])
    write_claims(tmp_path / "figure9.json", [second])
    write_claims(tmp_path / "figure1.json", [])
    names = ("table3", "figure1", "figure9")
    table = read_claims([tmp_path / f"{name}.json" for name in names])
    assert table["shown_in"].tolist() == ["table3", "figure9"]
    assert table["verdict"].tolist() == [HOLDS, OPEN]
    assert table["low"].tolist() == pytest.approx([nan, -0.0196], nan_ok=True, abs=1e-4)
    assert table["p"].tolist() == pytest.approx([nan, 1.0], nan_ok=True)
    assert table["here"].tolist() == [first.here, second.here]
    assert "NaN" not in (tmp_path / "table3.json").read_text("utf-8")


def test_a_study_without_claims_has_an_empty_page(tmp_path) -> None:
    write_claims(tmp_path / "figure1.json", [])
    table = read_claims([tmp_path / "figure1.json"])
    assert print_claims(table, "a toy study").count("| **") == 0
    assert "verdict" in table


def test_page_repeats_the_computed_verdicts(tmp_path) -> None:
    write_claims(tmp_path / "table3.json", [make_claim("x", estimate(0.1, 0.01), **TEXTS)] * 3)
    table = read_claims([tmp_path / "table3.json"])
    assert print_claims(table, "a toy study").count(f"| **{HOLDS}** |") == 3


def test_page_says_what_a_difference_of_zero_alone_is(tmp_path) -> None:
    write_claims(tmp_path / "figure3.json", [make_claim("one soup", estimate(0.0, 0.0), **TEXTS)])
    page = print_claims(read_claims([tmp_path / "figure3.json"]), "a toy study")
    assert f"| **{FAILS}** | {FAILS} |" in page
    assert "does not hold if it lies on the other side or is zero alone" in page


def test_verdicts_are_corrected_for_the_page(tmp_path) -> None:
    # p of 2.2 errors is 0.028: alone it decides, one of four it does not; 5 errors decide still.
    errors = [2.2, 5, -5, 0.3]
    claims = [make_claim("x", estimate(each, 1.0), **TEXTS) for each in errors]
    claims.append(make_claim("x", estimate(0.0, 0.0), **TEXTS))  # models that are one
    claims.append(make_claim("x", exactly(0.1), exact=True, **TEXTS))
    write_claims(tmp_path / "table3.json", claims)
    table = read_claims([tmp_path / "table3.json"])
    assert table["verdict"].tolist() == [HOLDS, HOLDS, FAILS, OPEN, FAILS, HOLDS]
    assert table["verdict_holm"].tolist() == [OPEN, HOLDS, FAILS, OPEN, FAILS, HOLDS]
    assert table["p_holm"][0] == pytest.approx(3 * 0.0278, abs=1e-3)


@pytest.mark.parametrize("wins", range(3, 12))
def test_a_verdict_and_its_p_value_agree_where_few_images_differ(wins) -> None:
    """An interval of resampled images lies above zero from four such images on, where the exact
    test has p = 0.125."""
    correct = pd.DataFrame({"dataset": "photos", "index": range(300)})
    correct = correct.assign(first=np.arange(300) < 100 + wins, second=np.arange(300) < 100)
    claim = compared(correct, ["first"], ["second"], ["photos"], "s", **TEXTS)
    exact = mcnemar_test(correct["first"].to_numpy(), correct["second"].to_numpy())
    assert (claim.verdict == HOLDS) == (claim.p < 0.05) == (exact < 0.05)
