"""Replicates of a small sweep, whose numbers are worked out by hand."""

from dataclasses import asdict
from math import nan

import numpy as np
import pandas as pd
import pytest

from modelsoups.evaluation.statistics import estimate, paired_difference, weakest
from modelsoups.paper.claims import FAILS, HOLDS, OPEN, exactly, make_claim
from modelsoups.paper.replicates import (
    each_draw,
    figure_replicates,
    open_replicate,
    pooled_claims,
    print_replicates,
    replicated_claims,
    replicated_table,
)
from modelsoups.paper.rows import BEST, SECOND
from small_scores import METHODS, NO_SHIFTS, ROLES, make_correct, make_scores


def draws(roles=ROLES, right=(8, 9, 10), folds="012") -> list:
    """Draws, three of as many folds: the greedy soup has so many of ten photos right, the best run
    7 in each."""
    found = []
    for photos, fold in zip(right, folds, strict=True):
        scores = make_scores(greedy=("soup", 18, photos, 9, 36))
        scores = scores[scores["dataset"].isin(list(roles))]
        correct = make_correct(scores, roles)
        found.append(open_replicate(scores, correct, roles, METHODS, fold))
    return found


def test_difference_is_the_mean_over_draws_with_their_spread() -> None:
    table = replicated_table(draws(), ROLES, "a toy study").set_index("method")
    row = table.loc["Greedy soup"]
    assert row["in_distribution_accuracy"] == pytest.approx(0.9)
    assert row["in_distribution_difference"] == pytest.approx(0.2)
    # Differences of 0.1, 0.2 and 0.3: 4.3027 (Student's of two degrees) times 0.1 / sqrt(3).
    half = 4.3027 * 0.1 / np.sqrt(3)
    assert row["in_distribution_low"] == pytest.approx(0.2 - half, abs=1e-4)
    assert row["in_distribution_high"] == pytest.approx(0.2 + half, abs=1e-4)
    assert (table["replicates"] == 3).all()


def test_draws_of_one_fold_count_as_their_mean() -> None:
    """They are of the same images, and say no more of how much images matter."""
    again = draws(right=(7, 9, 9, 9, 9, 10), folds="012012")  # means 8, 9 and 9.5
    row = replicated_table(again, ROLES, "a toy study").set_index("method").loc["Greedy soup"]
    half = 4.3027 * np.std([0.1, 0.2, 0.25], ddof=1) / np.sqrt(3)
    assert row["in_distribution_difference"] == pytest.approx(0.55 / 3)
    assert row["in_distribution_low"] == pytest.approx(0.55 / 3 - half, abs=1e-4)
    assert row["replicates"] == 6


def test_best_run_is_compared_with_nothing_and_rows_are_table_3s() -> None:
    table = replicated_table(draws(), ROLES, "a toy study").set_index("method")
    assert list(table.index[:3]) == [BEST, SECOND, "Uniform soup"]
    assert table.loc[BEST].filter(regex="difference|_p").isna().all()
    assert (table["shifts_p_holm"].dropna() >= table["shifts_p"].dropna()).all()


def test_images_of_the_shifts_count_as_the_same_in_every_draw() -> None:
    """The draws agree on them, so that what is not sure is the images alone."""
    table = replicated_table(draws(), ROLES, "a toy study").set_index("method")
    row = table.loc["Greedy soup"]
    assert row["shifts_difference"] == pytest.approx((4 / 10 + 20 / 40) / 2)
    assert 0 < row["shifts_low"] < row["shifts_difference"] < row["shifts_high"]


def test_claims_are_those_of_table_3() -> None:
    claims = {claim.claim: claim for claim in replicated_claims(draws(), ROLES)}
    assert claims["The greedy soup beats the best run on the shifts"].verdict == HOLDS
    assert claims["The greedy soup beats the best run in distribution"].here.endswith("3 draws")
    assert not [claim for claim in claims if "greedy ensemble" in claim]  # not in this sweep
    printed = print_replicates(
        replicated_table(draws(), ROLES, "a toy study"), list(claims.values())
    )
    assert printed.count("\n- ") == len(claims)
    assert "mean of 3 draws" in printed and "| Greedy soup | 90.00 | +20.00 (" in printed


def judged(found, domain="in_distribution", unit="points", exact=False) -> pd.DataFrame:
    """A draw's claims: one, with this number."""
    texts = {"claim": "The middle is better", "section": "3.2", "paper": "Figure 3"}
    claim = make_claim("001", found, **texts, domain=domain, unit=unit, exact=exact)
    return pd.DataFrame([{**asdict(claim), "shown_in": "figure3"}])


def test_claim_of_another_figure_is_the_mean_over_draws_of_its_number() -> None:
    numbers = [estimate(value, 0.01) for value in (0.1, 0.2, 0.3)]
    (claim,) = pooled_claims([judged(each) for each in numbers], "012")
    half = 4.3027 * 0.1 / np.sqrt(3)
    assert (claim.value, claim.low) == pytest.approx((0.2, 0.2 - half), abs=1e-5)
    assert claim.verdict == OPEN and (claim.claim, claim.section) == ("The middle is better", "3.2")
    assert claim.here.startswith("+20.00 points (-4.84 to +44.84), p = 0.074, above zero in 3 of 3")
    correlations = [judged(each, "shifts", "correlation") for each in numbers]
    (wider,) = pooled_claims(correlations, "012")
    assert wider.value == claim.value and wider.high != claim.high
    assert wider.here.startswith("correlation beyond what is asked: +0.200 (")


def test_numbers_of_one_fold_count_as_their_mean() -> None:
    """Values of 0.1 and 0.3 in one fold are one of 0.2, with errors of 0.03 and 0.04."""
    values = [(0.1, 0.03), (0.3, 0.04), (0.4, 0.01)]
    for domain in ("in_distribution", "shifts"):
        numbers = [judged(estimate(*each), domain) for each in values]
        together = [(0.2, np.sqrt((0.03**2 + 0.04**2) / 2)), (0.4, 0.01)]
        (claim,) = pooled_claims(numbers, "112")
        (same,) = pooled_claims([judged(estimate(*each), domain) for each in together], "12")
        assert (claim.value, claim.low) == pytest.approx((same.value, same.low))
        assert "3 of 3 draws" in claim.here
    assert pooled_claims(numbers[:2], "11") == []


def test_panels_that_claim_the_same_of_other_pools_are_not_averaged() -> None:
    values = [(0.1, -0.2), (0.2, -0.3)]
    panels = [pd.concat([judged(estimate(value, 0.01)) for value in draw]) for draw in values]
    claims = pooled_claims(panels, "01")
    assert [claim.value for claim in claims] == pytest.approx([0.15, -0.25])
    assert ["2 of 2 draws" in claims[0].here, "0 of 2 draws" in claims[1].here] == [True, True]


def test_least_of_several_is_not_below_zero_over_draws_because_it_is_in_each_by_chance() -> None:
    """Eleven equal pairs of models: the least difference of 843 images is below zero in nearly all
    draws. Where one pair differs by five points, the draws tell."""
    random = np.random.default_rng(0)

    def pooled_verdict(differences):
        draws = [
            weakest(
                [
                    paired_difference([random.choice([1.0, -1, 0], 843, p=[p, 0.1 - p, 0.9])])
                    for p in (0.05 + np.array(differences) / 2)
                ]
            )
            for _ in range(5)
        ]
        (claim,) = pooled_claims([judged(each) for each in draws], "01234")
        return claim.verdict, claim.p

    equal = [pooled_verdict([0] * 11) for _ in range(40)]
    assert [verdict for verdict, _ in equal if verdict != OPEN] == []
    assert min(p for _, p in equal) >= 0.05
    assert pooled_verdict([0] * 10 + [-0.05])[0] == FAILS
    assert pooled_verdict([0.05] * 11)[0] == HOLDS


def test_draws_that_do_not_judge_a_claim_are_left_out_and_one_alone_says_nothing() -> None:
    unknown, known = judged(estimate(nan, nan)), judged(estimate(0.1, 0.01))
    (claim,) = pooled_claims([known, unknown, known], "012")
    assert "2 of 2 draws" in claim.here
    assert pooled_claims([known, unknown, unknown], "012") == []


def test_exact_claim_holds_if_it_does_in_every_draw() -> None:
    good, bad = (judged(exactly(value), exact=True) for value in (0.0, -0.01))
    assert [claim.verdict for claim in pooled_claims([good, good], "01")] == [HOLDS]
    assert [claim.verdict for claim in pooled_claims([good, bad], "01")] == [FAILS]


def test_a_study_without_shift_sets_has_one_domain() -> None:
    found = draws(NO_SHIFTS)
    table = replicated_table(found, NO_SHIFTS, "a toy study")
    assert "shifts_accuracy" not in table
    assert set(each_draw(found, NO_SHIFTS)["domain"]) == {"in_distribution"}


def test_each_draw_is_a_faint_line_and_methods_are_marked() -> None:
    found = draws()
    table = replicated_table(found, ROLES, "a toy study")
    lines = each_draw(found, ROLES)
    assert isinstance(lines, pd.DataFrame) and lines["replicate"].unique().tolist() == [1, 2, 3]
    figure = figure_replicates(lines, table, "A toy study", METHODS)
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert sum(line.get_alpha() == 0.5 for line in axes.lines) == 3
        labels = [text.get_text() for text in axes.get_xticklabels()]
        assert labels == table["method"].tolist()[2:]
    assert figure.get_suptitle() == "A toy study: 3 draws"
