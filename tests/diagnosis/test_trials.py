"""Lines, blocks and soups without one, of weights whose scores are known by hand."""

import numpy as np
import pytest
import torch

from modelsoups.diagnosis.trials import (
    along_line,
    block_by_block,
    compare,
    examples_to_tell,
    without_each,
)
from modelsoups.weights.average import average


def weights(first, second, count=1):
    return {
        "blocks.0.w": torch.tensor([float(first)]),
        "blocks.1.w": torch.tensor([float(second)]),
        "count": torch.tensor(count),
    }


def evaluate(given):
    """Two examples: what each block has."""
    return {"score": np.array([given["blocks.0.w"].item(), given["blocks.1.w"].item()])}


def test_scores_of_other_examples_are_not_compared():
    for count in (1, 3):  # one number would be compared with all
        with pytest.raises(ValueError, match=f"same examples for all weights, found 2 and {count}"):
            compare(np.zeros(2), np.zeros(count))


def test_line_has_both_ends_and_three_places_between():
    one, other = weights(0, 4), weights(1, 0)
    line = along_line(one, other, (evaluate(one), evaluate(other)), evaluate)
    assert line.values("score") == {0.0: 2, 0.25: 1.625, 0.5: 1.25, 0.75: 0.875, 1.0: 0.5}
    assert line.middle.value == 0


def test_barrier_is_how_far_the_middle_is_below_the_mean_of_both_ends():
    one, other = weights(-1, 1), weights(1, 1)

    def squared(given):
        return {"score": evaluate(given)["score"] ** 2 / 2}

    line = along_line(one, other, (squared(one), squared(other)), squared)
    # In the middle the first block is 0, so that the first example falls from 0.5 to 0.
    assert line.middle.value == -0.25
    assert line.middle.low < -0.25 < line.middle.high


def test_one_block_at_a_time_goes_halfway():
    found = block_by_block(
        weights(0, 0), weights(2, 6), lambda key: key.rpartition(".")[0], evaluate
    )
    assert {layer: list(each["score"]) for layer, each in found.items()} == {
        "blocks.0": [1, 0],
        "blocks.1": [0, 3],
    }


def test_soup_without_each_is_the_mean_of_the_others_also_beside_huge_weights():
    models = {"a": weights(1, 2), "b": weights(3, 5), "c": weights(1e9, -1e9)}
    soup = average(list(models.values()))
    found = without_each(models, soup, evaluate)
    assert list(found["c"]["score"]) == [2, 3.5]
    assert list(found["a"]["score"]) == pytest.approx([(1e9 + 3) / 2, (5 - 1e9) / 2])


def test_difference_of_single_values_has_no_interval():
    found = compare(np.array([0.7]), np.array([0.5]))
    assert found.value == pytest.approx(0.2)
    assert np.isnan(found.low)


def test_difference_of_any_size_has_students_interval():
    found = compare(np.array([10.0, 14.0, 12.0]), np.zeros(3))
    # Mean 12, deviation 2, t(0.975, 2) = 4.303: 12 +- 4.303 * 2 / sqrt 3.
    assert found.value == 12
    assert found.low == pytest.approx(12 - 4.303 * 2 / 3**0.5, abs=1e-3)


def test_examples_to_tell_grow_with_the_square_of_the_width():
    right = np.repeat([1.0, 0.0], 50)
    found = compare(right, right[::-1])
    width = (found.high - found.low) / 2
    assert examples_to_tell(found, 100, width / 2) == pytest.approx(400, abs=1)
