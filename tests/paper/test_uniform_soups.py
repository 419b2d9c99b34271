"""Where the uniform soup helps, and where not."""

import pytest

from modelsoups.paper.claims import OPEN
from modelsoups.paper.methods import list_methods
from modelsoups.paper.uniform_soups import RESULT, uniform_claims
from small_scores import ABOUT, CORRECT_IMAGES, METHODS, ROLES, SCORES

SPEC = {"all_good": "good", "some_bad": "bad"}
SCORES_OF = {"all_good": SCORES, "some_bad": SCORES}
IMAGES_OF = {"all_good": CORRECT_IMAGES, "some_bad": CORRECT_IMAGES}


def test_it_is_judged_both_ways() -> None:
    # Held-out accuracies are 80, 70 and 60 %.
    helps, _ = uniform_claims(SCORES_OF, IMAGES_OF, ROLES, METHODS, SPEC, good_within=0.25)
    _, hurts = uniform_claims(SCORES_OF, IMAGES_OF, ROLES, METHODS, SPEC, good_within=0.15)
    assert helps.value == pytest.approx(0.1)
    assert hurts.value == pytest.approx(-0.1)
    assert "sweep bad: 2 of 3 runs are good, within 15 points of the best" in hurts.here
    assert hurts.here.endswith("(60.0 to 80.0 %)")


def test_sweeps_that_are_not_as_they_are_said_to_be_are_not_judged() -> None:
    good, _ = uniform_claims(SCORES_OF, IMAGES_OF, ROLES, METHODS, SPEC, good_within=0.15)
    _, bad = uniform_claims(SCORES_OF, IMAGES_OF, ROLES, METHODS, SPEC, good_within=0.25)
    for claim in (good, bad):
        assert claim.verdict == OPEN
        assert claim.here.startswith("not as the claim has it, sweep")


def test_it_is_found_by_any_name() -> None:
    methods = list_methods({"greedy": {"kind": "uniform"}}, {})
    helps, _ = uniform_claims(SCORES_OF, IMAGES_OF, ROLES, methods, SPEC, good_within=0.25)
    assert helps.here.startswith("greedy minus 001")


def test_a_study_without_a_uniform_soup_claims_nothing() -> None:
    methods = list_methods({"greedy": {"kind": "greedy"}}, {})
    assert uniform_claims(SCORES_OF, IMAGES_OF, ROLES, methods, SPEC) == []


def test_they_are_claims_without_a_table(make_given) -> None:
    tables = {"scores": [SCORES, SCORES], "correct": [CORRECT_IMAGES, CORRECT_IMAGES]}
    made = RESULT.make(make_given(tables, SPEC, ABOUT))
    assert (RESULT.kind, made.table, made.figure, len(made.claims)) == ("claims", None, None, 2)
    assert [need.sweep for need in RESULT.needs(SPEC)["correct"]] == ["good", "bad"]
    assert RESULT.targets(SPEC, {}) == {"uniform-soups": SPEC}
