from pathlib import Path

import numpy as np
import pytest
import torch

from modelsoups.base.progress import Trace
from modelsoups.soups.pool import Candidate, Soup
from modelsoups.soups.registry import StockSpec
from modelsoups.soups.stock import mean_cosine, ratio_of, stock
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import read_weights, write_weights

NO_TRACE = Trace(None, None)


def cook(pool, names: list[str], **options) -> Soup:
    candidates = [
        Candidate(name=name, weights=pool.folder / f"{name}.safetensors", logits=pool.logits(name))
        for name in names
    ]
    start = pool.folder / "initialization.safetensors"
    return stock(StockSpec(**options), candidates, pool.held_out, NO_TRACE, start)


def displace(pool, name: str, **moves: torch.Tensor) -> Path:
    """Write a model that is the initialisation, but for these tensors' displacements."""
    start = pool.states["initialization"]
    moved = {key.replace("__", "."): value for key, value in moves.items()}
    path = pool.folder / f"{name}.safetensors"
    write_weights(path, {key: start[key] + moved.get(key, 0) for key in start})
    return path


def test_ratio_follows_from_the_mean_cosine_of_the_pairs():
    # Displacements (1, 0), (0, 2) and (3, 3): cosines 0, 1/sqrt 2, 1/sqrt 2.
    vectors = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    cosine = mean_cosine(vectors @ vectors.T)
    assert cosine == pytest.approx(np.sqrt(2) / 3)
    assert ratio_of(0.5, 2) == pytest.approx(2 / 3)  # 2 * 0.5 / (1 + 0.5)
    assert ratio_of(0.25, 4) == pytest.approx(4 / 7)  # 4 * 0.25 / (1 + 3 * 0.25)


def test_ratio_is_between_orthogonal_and_parallel_and_one_without_a_pair():
    assert [ratio_of(c, 5) for c in (0.0, -0.1, 1.0, 1 + 1e-15)] == [0, 0, 1, 1]
    assert mean_cosine(np.array([[4.0]])) is None
    assert mean_cosine(np.diag([4.0, 0.0])) is None
    assert ratio_of(None, 5) == 1


def test_soup_is_between_the_mean_and_the_initialisation_tensor_by_tensor(pool):
    bias = torch.tensor
    displace(pool, "000", head__bias=bias([1.0, 0, 0]), norm__bias=bias([2.0, 0, 0]))
    displace(pool, "grid-2", head__bias=bias([1.0, 1, 0]), norm__bias=bias([0.0, 4, 0]))
    soup = cook(pool, ["000", "grid-2"])
    start, t = pool.states["initialization"], 2 * np.sqrt(0.5) / (1 + np.sqrt(0.5))
    assert soup.details["ratios"]["head.bias"] == pytest.approx(t, rel=1e-6)
    assert soup.details["ratios"]["norm.bias"] == 0
    assert soup.details["cosines"]["norm.weight"] is None  # moved by none
    wanted = start["head.bias"] + t * bias([1.0, 0.5, 0])
    torch.testing.assert_close(soup.weights["head.bias"], wanted.float())
    assert soup.weights["norm.bias"].equal(start["norm.bias"])
    assert soup.weights["norm.weight"].equal(start["norm.weight"])
    assert soup.ingredients == ["000", "grid-2", "initialization"]
    assert soup.coefficients["head.bias"] == pytest.approx([t / 2, t / 2, 1 - t], rel=1e-6)


@pytest.mark.parametrize("per", ["model", "layer", "tensor"])
def test_soup_is_the_average_with_its_coefficients(pool, per):
    soup = cook(pool, ["000", "grid-2"], ratio_per=per)
    groups = {"model": soup.coefficients} if per == "model" else soup.coefficients
    assert all(sum(values) == pytest.approx(1) for values in groups.values())
    if per == "model":
        files = [pool.folder / f"{name}.safetensors" for name in soup.ingredients]
        wanted = average(files, soup.coefficients)
        assert all(soup.weights[key].equal(wanted[key]) for key in wanted)


def test_soup_of_one_or_of_equals_is_that_model(pool):
    write_weights(pool.folder / "grid-2.safetensors", pool.states["000"])
    for names in (["000"], ["000", "grid-2"]):
        soup = cook(pool, names)
        assert all(soup.weights[key].equal(pool.states["000"][key]) for key in soup.weights)


def test_initialisation_in_the_pool_is_left_out(pool):
    with_start = cook(pool, ["initialization", "000", "grid-2"])
    without = cook(pool, ["000", "grid-2"])
    assert all(with_start.weights[key].equal(without.weights[key]) for key in without.weights)
    assert [each["decision"] for each in with_start.candidates] == ["rejected", "kept", "kept"]
    with pytest.raises(ValueError, match="expected fine-tuned candidates, found weights equal to"):
        cook(pool, ["initialization"])


def test_files_are_read_in_blocks_of_any_size(pool, monkeypatch):
    whole = cook(pool, ["000", "grid-2"])
    monkeypatch.setattr("modelsoups.weights.geometry.BLOCK", 15)
    parts = cook(pool, ["000", "grid-2"])
    for key, cosine in whole.details["cosines"].items():
        assert parts.details["cosines"][key] == pytest.approx(cosine)
    assert read_weights(pool.folder / "000.safetensors").keys() == whole.weights.keys()
