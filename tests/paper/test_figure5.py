"""Figure 5 is Figure 1 of another sweep, with claims of its own."""

import pytest

from modelsoups.paper.figure5 import RESULT
from small_scores import ABOUT, CORRECT_IMAGES, SCORES


def test_both_soups_are_compared_with_the_best_run(make_given, drawn) -> None:
    given = make_given({"scores": SCORES, "correct": CORRECT_IMAGES}, {"sweep": "align"}, ABOUT)
    made = RESULT.make(given)
    assert "Uniform soup" in drawn(made.figure.axes[0])
    # The best on the held-out set is 001: 7 of 10 photos and, of shifts, 5 of 10 and 16 of 40; the
    # greedy soup has 8, 5 and 24.
    inside, outside, uniform = made.claims
    assert (inside.value, outside.value) == (pytest.approx(0.1), pytest.approx(0.1))
    assert inside.here.startswith("greedy minus 001: +10.00 points")
    # Runs of 80, 70 and 60 % are not all good.
    assert uniform.here.startswith("not as the claim has it, sweep align: 1 of 3 runs are good")


def test_a_sweep_without_runs_is_refused(small_study) -> None:
    assert RESULT.targets("align", {}) == {"figure5": {"sweep": "align"}}
    assert list(RESULT.problems({"sweep": "soups"}, small_study)) == [
        "soups has no run, of which the best is what soups are compared with"
    ]
