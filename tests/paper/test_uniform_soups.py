"""Where the uniform soup helps, and where not."""

import pytest

from modelsoups.paper.methods import list_methods
from modelsoups.paper.uniform_soups import RESULT, uniform_claims
from small_scores import ABOUT, CORRECT_IMAGES, METHODS, ROLES, SCORES

SPEC = {"all_good": "good", "some_bad": "bad"}
SCORES_OF = {"all_good": SCORES, "some_bad": SCORES}
IMAGES_OF = {"all_good": CORRECT_IMAGES, "some_bad": CORRECT_IMAGES}


def test_it_is_judged_both_ways() -> None:
    helps, hurts = uniform_claims(SCORES_OF, IMAGES_OF, ROLES, METHODS, SPEC)
    assert helps.value == pytest.approx(0.1)
    assert hurts.value == pytest.approx(-0.1)
    assert "sweep bad (held-out accuracy of its runs: 60.0 to 80.0 %)" in hurts.here


def test_it_is_found_by_any_name() -> None:
    methods = list_methods({"greedy": {"kind": "uniform"}}, {})
    helps, _ = uniform_claims(SCORES_OF, IMAGES_OF, ROLES, methods, SPEC)
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
