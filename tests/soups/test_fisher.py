import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from modelsoups.base.progress import Trace
from modelsoups.soups.fisher import TINY, diagonal_fisher, draw_label, fisher, share_of
from modelsoups.soups.pool import Candidate, Soup
from modelsoups.soups.registry import FisherSpec
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import write_weights

NO_TRACE = Trace(None, None)


def cook(pool, names=("initialization", "000", "grid-2"), **options) -> Soup:
    candidates = [
        Candidate(name=name, weights=pool.folder / f"{name}.safetensors", logits=pool.logits(name))
        for name in names
    ]
    return fisher(FisherSpec(**options), candidates, pool.held_out, NO_TRACE)


def fisher_by_hand(pool, name: str, spec: FisherSpec) -> torch.Tensor:
    """Of the head's bias: the gradient of -log p_y is p less one at y."""
    random = np.random.default_rng(spec.seed)
    chosen = np.sort(random.permutation(len(pool.held_out))[: spec.num_images])
    draws = random.random(len(chosen))
    pool.held_out.pour(pool.states[name], name)
    logits = torch.from_numpy(pool.held_out.logits(chosen)).double()
    p = log_softmax(logits, dim=1).exp().numpy()
    labels = [
        int(np.searchsorted(row.cumsum(), draw, "right"))
        for row, draw in zip(p, draws, strict=True)
    ]
    return torch.from_numpy(((p - np.eye(3)[labels]) ** 2).mean(axis=0))


@pytest.mark.parametrize("num_images", [1, 7, 1000])
def test_information_of_a_bias_is_that_of_the_predictions(pool, num_images):
    spec = FisherSpec(num_images=num_images, seed=3)
    wanted = fisher_by_hand(pool, "000", spec)  # and the weights are in the model
    found = diagonal_fisher(pool.held_out, spec)
    torch.testing.assert_close(found["head.bias"].double(), wanted, rtol=1e-5, atol=1e-9)
    assert found.keys() == {"norm.weight", "norm.bias", "head.weight", "head.bias"}
    pool.held_out.evaluator.model.requires_grad_(False)
    assert diagonal_fisher(pool.held_out, spec)["head.bias"].equal(found["head.bias"])


def test_soup_is_weighted_by_the_information_element_by_element(pool):
    spec = FisherSpec(num_images=20)
    soup = cook(pool, num_images=20)
    information = [fisher_by_hand(pool, name, spec) for name in pool.states]
    biases = [weights["head.bias"].double() for weights in pool.states.values()]
    wanted = sum(f * b for f, b in zip(information, biases, strict=True)) / sum(information)
    torch.testing.assert_close(soup.weights["head.bias"].double(), wanted, rtol=1e-5, atol=1e-8)
    mean = average(list(pool.states.values()))
    assert not soup.weights["head.bias"].allclose(mean["head.bias"])
    for key in ("norm.running_mean", "norm.num_batches_tracked"):
        assert soup.weights[key].equal(mean[key])
    assert len(soup.details["fisher"]) == 3 and soup.coefficients is None


def test_normalized_information_takes_out_a_candidates_scale(pool):
    soup = cook(pool, num_images=20, normalize=True)
    plain = cook(pool, num_images=20)
    scaled = [
        fisher_by_hand(pool, name, FisherSpec(num_images=20)) / mean
        for name, mean in zip(pool.states, plain.details["fisher"], strict=True)
    ]
    biases = [weights["head.bias"].double() for weights in pool.states.values()]
    wanted = sum(f * b for f, b in zip(scaled, biases, strict=True)) / sum(scaled)
    torch.testing.assert_close(soup.weights["head.bias"].double(), wanted, rtol=1e-5, atol=1e-8)


def test_soup_of_one_or_of_equals_is_that_model(pool):
    write_weights(pool.folder / "grid-2.safetensors", pool.states["000"])
    for names in (["000"], ["000", "grid-2"]):
        soup = cook(pool, names, num_images=3)
        assert all(soup.weights[key].equal(pool.states["000"][key]) for key in soup.weights)


def test_least_share_of_an_element_is_the_floor_and_without_any_all_are_alike():
    weights = torch.ones(4)
    values = torch.tensor([0.0, 1.0, 3.0, 4.0])  # their mean is 2
    assert share_of(values, weights, 0.1).tolist() == [0.2, 1, 3, 4]
    assert share_of(torch.zeros(4), weights, 0.1).tolist() == [TINY] * 4
    assert share_of(None, weights, 0.1).tolist() == [1] * 4


def test_label_is_drawn_from_the_softmax():
    logits = torch.tensor([1.0, 2.0, 5.0]).log()  # 1/8, 2/8, 5/8
    drawn = [draw_label(logits, draw) for draw in (0, 0.12, 0.13, 0.37, 0.38, 0.999)]
    assert drawn == [0, 0, 1, 1, 2, 2]


def test_a_candidate_with_values_that_are_not_finite_is_named(pool):
    broken = {key: tensor.clone() for key, tensor in pool.states["000"].items()}
    broken["head.bias"][0] = torch.nan
    write_weights(pool.folder / "000.safetensors", broken)
    with pytest.raises(ValueError, match=r"000.safetensors: values are NaN or infinite in head"):
        cook(pool)
