"""The uniform soup."""

import numpy as np
import torch

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate
from modelsoups.soups.registry import UniformSpec
from modelsoups.soups.uniform import uniform
from modelsoups.weights.average import average


def cook(pool, spec):
    candidates = [
        Candidate(name=name, weights=path, logits=pool.logits(name))
        for name, path in zip(pool.states, pool.arguments()["weights"], strict=True)
    ]
    return uniform(spec, candidates, pool.held_out, Trace(None, None))


def test_every_candidate_is_kept_alike(pool):
    soup = cook(pool, UniformSpec())
    assert soup.ingredients == list(pool.states)
    assert soup.coefficients == [1 / 3] * 3
    wanted = average(list(pool.states.values()))
    assert all(soup.weights[key].equal(wanted[key]) for key in wanted)


def test_estimated_statistics_are_those_of_the_held_out_images(pool):
    soup = cook(pool, UniformSpec(statistics="estimate"))
    pixels = pool.held_out.batch(np.arange(40)).float() / 255
    torch.testing.assert_close(soup.weights["norm.running_mean"], pixels.mean(dim=(0, 2, 3)))
