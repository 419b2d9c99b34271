import numpy as np
import pytest
import torch

from modelsoups.training.batches import SeededExamples, batches_of_epoch, parts_of, split_batch
from modelsoups.training.processes import Process


def test_epoch_has_every_example_once_but_those_left_over():
    batches = batches_of_epoch(num_examples=26, batch_size=8, seed=0, epoch=1)
    assert batches.shape == (3, 8)
    assert len(set(batches.flatten())) == 24
    assert not np.array_equal(batches, batches_of_epoch(26, 8, seed=0, epoch=2))


def test_steps_of_like_lengths_are_neighbours_in_length_and_come_in_random_order():
    lengths = np.random.default_rng(3).integers(0, 9, 200)
    batches = batches_of_epoch(200, 16, 0, 1, lengths)
    assert batches.shape == (12, 16)
    assert len(set(batches.flatten())) == 12 * 16
    steps = [tuple(sorted(lengths[batch])) for batch in batches]
    assert steps != sorted(steps)
    in_order = np.concatenate(sorted(steps))
    assert (np.diff(in_order) >= 0).all()
    again, other = (batches_of_epoch(200, 16, 0, epoch, lengths) for epoch in (1, 2))
    assert np.array_equal(batches, again)
    assert {frozenset(batch) for batch in batches}.isdisjoint(map(frozenset, other))


def test_fewer_examples_than_a_batch_are_an_error():
    with pytest.raises(ValueError, match="at least a batch of 8 training examples, found 7"):
        batches_of_epoch(7, 8, 0, 0)


def test_parts_of_a_batch_hold_the_pairs_of_mixup_in_its_places():
    """Mixup of 0..7 mixes 0 with 7, 1 with 6, 2 with 5 and 3 with 4."""
    assert split_batch(np.arange(8), 1).tolist() == [[0, 1, 2, 3, 4, 5, 6, 7]]
    assert split_batch(np.arange(8), 2).tolist() == [[0, 1, 6, 7], [2, 3, 4, 5]]
    assert split_batch(np.arange(8), 4).tolist() == [[0, 7], [1, 6], [2, 5], [3, 4]]
    with pytest.raises(ValueError, match="batch_size 8 does not split into 3 parts"):
        split_batch(np.arange(8), 3)


def test_processes_share_the_parts_of_each_batch():
    batches = np.arange(16).reshape(2, 8)
    first, second = (
        [[number for _, number in part] for part in parts_of(batches, 5, 2, Process(rank, 2))]
        for rank in (0, 1)
    )
    assert first == [[0, 7], [2, 5], [8, 15], [10, 13]]
    assert second == [[1, 6], [3, 4], [9, 14], [11, 12]]


class Noise:
    """Examples that are random numbers."""

    def __len__(self):
        return 2

    def draw(self, number, epoch):
        return torch.rand(3)


def test_example_is_a_function_of_seed_epoch_and_number():
    examples = SeededExamples(Noise(), np.array([7, 8]), seed=0)
    first, label = examples[3, 1]
    torch.rand(1)
    assert label == 8
    assert torch.equal(examples[3, 1][0], first)
    others = [examples[4, 1], examples[3, 0], SeededExamples(Noise(), np.zeros(2), 1)[3, 1]]
    assert not any(torch.equal(other, first) for other, _ in others)
