import math
import random

import pytest

from modelsoups.study.spaces import draw, grid_search, random_search

PAPER = {  # Appendix J.2.1, "random search"
    "lr": {"log_uniform": [1e-6, 1e-4]},
    "weight_decay": {"log_uniform": [1e-4, 10**-0.2]},
    "label_smoothing": {"choice": [0, {"uniform": [0, 0.25]}]},
    "epochs": {"integer": [4, 16]},
    "mixup": {"choice": [0, {"uniform": [0, 0.9]}]},
    "augmentation": {
        "choice": [
            "minimal",
            {"randaugment": {"magnitude": {"integer": [0, 20]}, "num_ops": {"integer": [0, 2]}}},
        ],
        "probabilities": [1 / 3, 2 / 3],
    },
}


class Fixed(random.Random):
    """A generator whose `random()` gives the numbers it was made with."""

    def __init__(self, *numbers):
        self.numbers = iter(numbers)

    def random(self):
        return next(self.numbers)


def test_uniform_goes_from_low_to_high():
    assert draw({"uniform": [2, 4]}, Fixed(0.25)) == 2.5


def test_log_uniform_is_uniform_in_the_exponent():
    # halfway between the exponents -6 and -4
    assert draw({"log_uniform": [1e-6, 1e-4]}, Fixed(0.5)) == pytest.approx(1e-5)


def test_integer_includes_both_ends():
    assert draw({"integer": [4, 16]}, Fixed(0.0)) == 4
    assert draw({"integer": [4, 16]}, Fixed(0.9999)) == 16


def test_choice_draws_option_then_its_own_space():
    assert draw({"choice": [0, {"uniform": [0, 1]}]}, Fixed(0.49)) == 0
    assert draw({"choice": [0, {"uniform": [0, 1]}]}, Fixed(0.51, 0.75)) == 0.75


def test_choice_respects_probabilities():
    space = {"choice": ["a", "b"], "probabilities": [1 / 3, 2 / 3]}
    assert [draw(space, Fixed(x)) for x in (0.33, 0.34, 0.9999)] == ["a", "b", "b"]


def test_randaugment_becomes_a_timm_policy():
    space = {"randaugment": {"magnitude": {"integer": [0, 20]}, "num_ops": 2}}
    assert draw(space, Fixed(0.5)) == "rand-m10-n2"


def test_unknown_space_is_named():
    with pytest.raises(
        ValueError, match=r"unknown search space \{'normal': \[0, 1\]\}; expected one of"
    ):
        draw({"normal": [0, 1]}, Fixed(0.5))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"uniform": [0, 1], "choice": [0]}, "unknown search space .*; expected one of"),
        ({"uniform": [0, 1], "probabilities": [1]}, "unknown search space"),
        ({"uniform": [2, 1]}, r"uniform: expected \[low, high\], found \[2, 1\]"),
        ({"uniform": [None, 1]}, r"uniform: expected a list of numbers, found \[None, 1\]"),
        ({"log_uniform": ["low", "high"]}, "log_uniform: expected a list of numbers, found"),
        ({"log_uniform": [0, 1]}, "log_uniform: expected positive ends"),
        ({"integer": [0, 1.5]}, "integer: expected whole numbers"),
        ({"choice": []}, "choice: expected a list of options"),
        ({"choice": [1, 2], "probabilities": [0.5, 0.6]}, "2 probabilities that sum to 1"),
        ({"choice": [1, 2], "probabilities": [1.0]}, "2 probabilities that sum to 1"),
        ({"choice": [1, 2], "probabilities": [-0.5, 1.5]}, "2 probabilities that sum to 1"),
        ({"choice": [1], "probabilities": "all"}, "probabilities: expected a list of numbers"),
        ({"randaugment": {"magnitude": 3}}, "randaugment: expected magnitude and num_ops"),
    ],
)
def test_space_that_makes_no_sense_is_refused(space, message):
    with pytest.raises(ValueError, match=message):
        draw(space, random.Random(0))


def test_longer_search_begins_with_the_same_runs():
    assert random_search(PAPER, 20, seed=3)[:7] == random_search(PAPER, 7, seed=3)


def test_another_seed_gives_other_runs():
    assert random_search(PAPER, 3, seed=0) != random_search(PAPER, 3, seed=1)


def test_paper_search_has_the_papers_proportions_and_ranges():
    runs = random_search(PAPER, 6000, seed=0)

    def share(condition):
        return sum(map(condition, runs)) / len(runs)

    # three standard errors of a proportion over 6000 draws are below 0.02
    assert share(lambda run: run["augmentation"] == "minimal") == pytest.approx(1 / 3, abs=0.02)
    assert share(lambda run: run["mixup"] == 0) == pytest.approx(0.5, abs=0.02)
    assert share(lambda run: run["label_smoothing"] == 0) == pytest.approx(0.5, abs=0.02)
    assert share(lambda run: run["lr"] < 1e-5) == pytest.approx(0.5, abs=0.02)
    assert share(lambda run: run["weight_decay"] < 10**-2.1) == pytest.approx(0.5, abs=0.02)
    assert {run["epochs"] for run in runs} == set(range(4, 17))
    assert {run["augmentation"] for run in runs} == {"minimal"} | {
        f"rand-m{magnitude}-n{num_ops}" for magnitude in range(21) for num_ops in range(3)
    }
    assert max(run["mixup"] for run in runs) < 0.9
    assert all(-4 <= math.log10(run["weight_decay"]) <= -0.2 for run in runs)


def test_grid_is_every_combination_last_axis_fastest():
    runs = grid_search({"lr": [1, 2], "seed": [0, 1]})
    assert runs == [{"seed": s, "lr": lr} for lr, s in [(1, 0), (1, 1), (2, 0), (2, 1)]]
