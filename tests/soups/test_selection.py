"""Recipe 1's decisions, on scores that are looked up."""

import pytest

from modelsoups.soups.registry import GreedySpec
from modelsoups.soups.selection import Attempt, choose, order_candidates


def test_order_is_by_score_and_of_equals_the_later_first():
    assert order_candidates([0.5, 0.7, 0.5, 0.6], GreedySpec()) == [1, 3, 2, 0]


def test_random_order_is_a_permutation_set_by_its_seed():
    orders = [order_candidates([0.5] * 9, GreedySpec(order="random", seed=s)) for s in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(range(9))


def scripted(scores):
    """An `attempt` that looks scores up."""
    return lambda position, to_beat: Attempt(score=scores[position], bound=None, num_evaluated=1)


@pytest.mark.parametrize(
    ("accept_ties", "kept"), [(False, ["a", "d"]), (True, ["a", "b", "d", "e"])]
)
def test_a_tie_is_kept_only_if_ties_are_accepted(accept_ties, kept):
    decisions = choose(
        list("abcde"),
        [0.5] * 5,
        GreedySpec(accept_ties=accept_ties),
        attempt=scripted([0.5, 0.5, 0.4, 0.6, 0.6]),
    )
    assert [d.name for d in decisions if d.decision == "kept"] == kept


def test_the_first_candidate_is_kept_even_with_no_image_right():
    decisions = choose(["a", "b"], [0.0, 0.0], GreedySpec(), attempt=scripted([0.0, 0.0]))
    assert [d.decision for d in decisions] == ["kept", "rejected"]


def test_a_whole_metric_may_be_negative():
    decisions = choose(["a", "b"], [0.1, 0.1], GreedySpec(), attempt=scripted([-0.5, -0.2]))
    assert [d.decision for d in decisions] == ["kept", "kept"]
