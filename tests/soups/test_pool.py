"""The held-out set, and what is refused as a pool of candidates."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from modelsoups.evaluation.metrics import METRICS
from modelsoups.soups.pool import Candidate, check_pool
from small_pools import make_held_out


def candidates_of(pool) -> list[Candidate]:
    paths = zip(pool.states, pool.arguments()["weights"], strict=True)
    return [Candidate(name=name, weights=path, logits=pool.logits(name)) for name, path in paths]


def test_images_without_labels_are_refused():
    with pytest.raises(ValueError, match="found 3 examples and 2 labels"):
        make_held_out(nn.Identity(), np.zeros((3, 2, 2, 3), np.uint8), np.zeros(2))


def test_every_batch_has_one_shape(pool):
    sizes = []
    pool.held_out.evaluator.model.register_forward_pre_hook(
        lambda _, inputs: sizes.append(len(inputs[0]))
    )
    pool.held_out.logits(np.arange(19))
    assert sizes == [8, 8, 8]


def test_logits_do_not_depend_on_how_many_images_are_asked_for(pool):
    everything = pool.held_out.logits()
    assert everything.shape == (40, 3)
    some = np.array([39, 3, 17])
    assert np.array_equal(pool.held_out.logits(some), everything[some])


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "matthews"])
def test_candidates_are_scored_by_their_stored_predictions(pool, metric):
    wanted = []
    for weights in pool.states.values():
        pool.held_out.pour(weights, "it")
        wanted.append(METRICS[metric](pool.held_out.logits(), pool.held_out.labels))
    assert check_pool(candidates_of(pool), pool.held_out, metric) == wanted


def test_a_pool_without_candidates_or_with_a_name_twice_is_refused(pool):
    first, second, _ = candidates_of(pool)
    for found in ([], [first, replace(second, name=first.name)]):
        with pytest.raises(ValueError, match="expected a pool of differently named candidates"):
            check_pool(found, pool.held_out)
