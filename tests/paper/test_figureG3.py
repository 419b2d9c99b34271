"""The gains of greedy soups of two pre-trainings."""

import pytest

from modelsoups.paper.figureG3 import RESULT, difference_claims
from modelsoups.paper.methods import list_methods
from small_scores import ABOUT, CORRECT_IMAGES, METHODS, ROLES, SCORES, make_correct, make_scores

SPEC = {"sweep": "supervised", "reference": "contrastive"}
NAMES = list(SPEC.values())
# The greedy soup is right on 7 of 10 photos, as the best run is, and on 4 of 10 and 16 of 40 of the
# shifts' images where that is on 5 and 16.
WORSE = make_scores(greedy=("soup", 18, 7, 4, 16))


def test_gains_are_compared_image_by_image() -> None:
    images = [make_correct(WORSE), CORRECT_IMAGES]
    inside, outside = difference_claims([WORSE, SCORES], images, ROLES, METHODS, NAMES)
    # In distribution 0 against (8 - 7) / 10; on shifts -0.05 against the mean of 0 and 8 / 40.
    assert (inside.value, outside.value) == (pytest.approx(0.1), pytest.approx(0.15))
    assert inside.here.startswith("gain of supervised +0.00 points, of contrastive +10.00 points")
    assert outside.here.startswith("gain of supervised -5.00 points, of contrastive +10.00 points")


def test_without_a_greedy_soup_nothing_is_claimed() -> None:
    methods = list_methods({"uniform": {"kind": "uniform"}}, {})
    images = [CORRECT_IMAGES] * 2
    assert difference_claims([SCORES, SCORES], images, ROLES, methods, NAMES) == []


def test_the_sweep_is_drawn_and_both_are_described(make_given, drawn) -> None:
    tables = {"scores": [WORSE, SCORES], "correct": [make_correct(WORSE), CORRECT_IMAGES]}
    made = RESULT.make(make_given(tables, SPEC, ABOUT))
    (axes,) = made.figure.axes
    assert axes.get_title() == "a toy study: sweep supervised"
    assert drawn(axes)["Greedy soup"] == [[70, 40]]
    assert [text.partition(":")[0] for text in made.found] == NAMES
    assert [claim.section for claim in made.claims] == ["G"] * 4
    assert [need.sweep for need in RESULT.needs(SPEC)["correct"]] == NAMES
