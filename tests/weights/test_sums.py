"""Sums that are kept in a file: what is put is what is got, to the bit."""

import pytest
import torch

from modelsoups.weights.sums import Sums

SHAPES = {"a": (3, 2), "scalar": (), "empty": (0, 4), "b": (5,)}


@pytest.fixture
def sums():
    sums = Sums(SHAPES, torch.device("cpu"))
    yield sums
    sums.close()


def values():
    torch.manual_seed(0)
    return {key: torch.randn(shape, dtype=torch.float64) for key, shape in SHAPES.items()}


def test_tensors_come_back_as_they_were_whatever_the_order(sums):
    put = values()
    for key in reversed(SHAPES):
        sums.put(key, put[key])
    for key, tensor in put.items():
        assert sums.get(key).equal(tensor) and sums.get(key).shape == tensor.shape
    assert [key for key, _ in sums.items()] == list(SHAPES)


def test_a_tensor_that_is_replaced_leaves_the_others(sums):
    put = values()
    for key, tensor in put.items():
        sums.put(key, tensor)
    sums.put("a", put["a"].T.contiguous().view(2, 3).T)  # of other strides
    assert sums.get("a").equal(put["a"].T.contiguous().view(2, 3).T)
    assert sums.get("b").equal(put["b"]) and sums.get("scalar").equal(put["scalar"])


def test_what_was_not_put_is_not_there(sums):
    sums.put("b", values()["b"])
    assert "b" in sums and "a" not in sums
    assert [key for key, _ in sums.items()] == ["b"]
