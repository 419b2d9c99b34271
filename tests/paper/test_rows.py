"""What Table 3's rows say to the paper's claims, on numbers worked out by hand."""

import pytest

from modelsoups.evaluation.statistics import estimate
from modelsoups.paper.claims import FAILS, HOLDS, OPEN
from modelsoups.paper.methods import list_methods
from modelsoups.paper.rows import COMPARISONS, row_claims
from small_scores import METHODS, NO_SHIFTS, ROLES, SCORES, make_correct, make_scores


def claims_of(scores=SCORES, roles=ROLES, methods=METHODS) -> dict:
    """Claim -> what was found."""
    found = row_claims(scores, make_correct(scores), roles, methods, "sweep a-sweep")
    return {claim.claim: claim for claim in found}


def test_claims_have_the_tables_numbers() -> None:
    claims = claims_of()
    held_out = claims["The greedy soup is no worse than the best run on the held-out set"]
    assert (held_out.verdict, held_out.value) == (HOLDS, pytest.approx(18 / 20 - 16 / 20))
    # 8 of 10 against 7: too few images to tell.
    test = claims["The greedy soup beats the best run in distribution"]
    assert (test.verdict, test.value) == (OPEN, pytest.approx(0.1))
    assert test.here.startswith("greedy minus 001: +10.00 points (")
    assert test.here.endswith(", p = 0.56, sweep a-sweep")
    # Equal on 10 sketches, 24 against 16 of 40 toys, none lost: the interval is above zero.
    shifts = claims["The greedy soup beats the best run on the shifts"]
    assert (shifts.verdict, shifts.value) == (HOLDS, pytest.approx(0.1))
    assert 0 < shifts.low < 0.1 < shifts.high


def test_soups_are_as_good_if_they_surely_differ_by_less_than_the_margin() -> None:
    claim = "The greedy soup is as good as the uniform soup on the shifts, within 1.00 points"
    [comparison] = [each for each in COMPARISONS if each.claim == claim]
    for value, error, expected in [
        (0.0, 0.004, HOLDS),
        (0.0, 0.006, OPEN),  # 1.96 of these are more than a point
        (0.03, 0.006, FAILS),
        (-0.03, 0.006, FAILS),
    ]:
        found = comparison.judge(estimate(value, error), "greedy minus uniform")
        assert (found.value, found.verdict) == (pytest.approx(0.01 - abs(value)), expected)
    # 5 against 6 of 10 sketches, and the same of 40 toys: nothing is sure.
    assert claims_of()[claim].verdict == OPEN


def test_the_ensemble_is_compared_with_the_best_run_too() -> None:
    claim = claims_of()["The ensemble of all runs beats the best run in distribution"]
    assert (claim.value, claim.section) == (pytest.approx(0.2), "1")  # 9 of 10 against 7


def test_a_greedy_soup_below_the_best_run_on_the_held_out_set_fails_exactly() -> None:
    claims = claims_of(make_scores(greedy=("soup", 15, 8, 5, 24)))
    held_out = claims["The greedy soup is no worse than the best run on the held-out set"]
    assert (held_out.verdict, held_out.value) == (FAILS, pytest.approx(-0.05))


def test_claims_find_a_soup_by_its_kind_not_by_its_name() -> None:
    methods = list_methods({"recipe-one": {"kind": "greedy"}}, {"mean": {"kind": "uniform"}})
    scores = SCORES.replace({"model": {"greedy": "recipe-one", "ensemble": "mean"}})
    claims = claims_of(scores, methods=methods)
    assert len(claims) == 7
    first = claims["The greedy soup beats the best run in distribution"]
    assert first.here.startswith("recipe-one minus 001")


@pytest.mark.parametrize(
    ("recipes", "ensembles", "roles", "expected"),
    [
        ({}, {}, ROLES, 0),
        ({"uniform": {"kind": "uniform"}}, {"ensemble": {"kind": "uniform"}}, ROLES, 2),
        ({"greedy": {"kind": "greedy"}}, {}, ROLES, 3),
        ({"greedy": {"kind": "greedy"}}, {}, NO_SHIFTS, 2),
        ({"greedy": {"kind": "greedy"}}, {"ensemble": {"kind": "uniform"}}, NO_SHIFTS, 4),
    ],
)
def test_claims_with_nothing_to_compare_are_left_out(recipes, ensembles, roles, expected) -> None:
    assert len(claims_of(roles=roles, methods=list_methods(recipes, ensembles))) == expected
