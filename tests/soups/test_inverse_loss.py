import numpy as np
import pytest

from modelsoups.base.progress import Trace
from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.inverse_loss import coefficients_of, inverse_loss
from modelsoups.soups.pool import Candidate
from modelsoups.soups.registry import InverseLossSpec
from modelsoups.weights.average import average

NO_TRACE = Trace(None, None)


def candidates_of(pool) -> list[Candidate]:
    return [
        Candidate(name=name, weights=pool.folder / f"{name}.safetensors", logits=pool.logits(name))
        for name in pool.states
    ]


def test_coefficients_are_inverse_losses_of_sum_one():
    # 1/1 : 1/2 : 1/4 = 4 : 2 : 1; squared 16 : 4 : 1
    assert coefficients_of([1, 2, 4], 1) == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=1e-15)
    assert coefficients_of([1, 2, 4], 2) == pytest.approx([16 / 21, 4 / 21, 1 / 21], abs=1e-15)


def test_equal_losses_or_a_power_of_zero_are_the_uniform_soup():
    assert coefficients_of([0.3, 0.3], 1) == [0.5, 0.5]
    assert coefficients_of([0.1, 0.2, 7.0, 0.4], 0) == [0.25] * 4


def test_losses_of_zero_alone_count():
    assert coefficients_of([0.0, 1.0, 0.0], 1) == [0.5, 0, 0.5]


def test_losses_are_those_of_the_held_out_set(pool):
    labels = pool.held_out.labels
    for name, odds in zip(pool.states, (1, 3, 7), strict=True):
        # the label's odds against two other classes: probability 1/3, 3/5, 7/9
        logits = np.zeros((len(labels), 3), np.float32)
        logits[np.arange(len(labels)), labels] = np.log(odds)
        write_logits(pool.logits(name), logits, labels, {})
    candidates = candidates_of(pool)
    soup = inverse_loss(InverseLossSpec(), candidates, pool.held_out, NO_TRACE)
    losses = [np.log(3), np.log(5 / 3), np.log(9 / 7)]
    np.testing.assert_allclose(soup.details["losses"], losses, rtol=1e-6)
    inverse = 1 / np.array(losses)
    np.testing.assert_allclose(soup.coefficients, inverse / inverse.sum(), rtol=1e-6)
    wanted = average([each.weights for each in candidates], soup.coefficients)
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)
