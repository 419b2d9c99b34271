"""Which examples each step, process and part of a batch takes, and what they are seeded with."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from modelsoups.training.augmentation import AugmentedExamples
from modelsoups.training.processes import Process

Key = tuple[int, int]  # epoch and number of an example: decides how it is augmented
ORDER, EXAMPLE, STEP = range(3)  # what a seed is for


def seed_all(*numbers: int) -> None:
    """Make what follows a function of these numbers, whatever library draws from."""
    number = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(number)
    np.random.seed(number)
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # else manual_seed notes it, which takes longer than an image
        torch.cuda.manual_seed_all(number)


class SeededExamples(Dataset):
    """Training examples with labels: each a function of the run's seed, an epoch and a number."""

    def __init__(self, examples: AugmentedExamples, labels: np.ndarray, seed: int):
        """labels: (n,) integers."""
        self.examples, self.labels, self.seed = examples, labels, seed

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: Key) -> tuple[Any, int]:
        epoch, number = key
        seed_all(self.seed, EXAMPLE, epoch, number)
        return self.examples.draw(number, epoch), int(self.labels[number])


def batches_of_epoch(
    num_examples: int, batch_size: int, seed: int, epoch: int, lengths: np.ndarray | None = None
) -> np.ndarray:
    """Numbers of the examples of each step, (num_steps, batch_size); those left over are dropped.

    Args:
        lengths: (num_examples,) integers; a step's examples are then neighbours in the order of
            these, equal ones at random, and steps are in random order.
    Raises:
        ValueError: there are fewer examples than a batch has.
    """
    if num_examples < batch_size:
        raise ValueError(
            f"expected at least a batch of {batch_size} training examples, found {num_examples}; "
            "lower batch_size"
        )
    generator = np.random.default_rng([seed, ORDER, epoch])
    num_steps = num_examples // batch_size
    order = generator.permutation(num_examples)[: num_steps * batch_size]
    if lengths is None:
        return order.reshape(num_steps, batch_size)
    by_length = order[np.argsort(lengths[order], kind="stable")]
    return generator.permutation(by_length.reshape(num_steps, batch_size))


def split_batch(batch: np.ndarray, num_parts: int) -> np.ndarray:
    """A batch in equal parts, (num_parts, batch_size / num_parts).

    Mixup mixes the first example of a batch with its last, the second with the last but one, and
    so on. Each part gets both examples of such pairs, in the places where mixup of the part alone
    mixes the same two.

    Raises:
        ValueError: the parts would not be of one even size.
    """
    if len(batch) % (2 * num_parts):
        raise ValueError(
            f"batch_size {len(batch)} does not split into {num_parts} parts (processes times "
            "accumulate) of one even size; change accumulate, gpus or batch_size"
        )
    half = len(batch) // 2
    firsts = batch[:half].reshape(num_parts, -1)
    seconds = batch[: half - 1 : -1].reshape(num_parts, -1)  # the last example of the batch first
    return np.concatenate([firsts, seconds[:, ::-1]], axis=1)


def parts_of(
    batches: np.ndarray, epoch: int, accumulate: int, process: Process
) -> Iterator[list[Key]]:
    """The parts of batches (num_steps, batch_size) that a process computes, in their order."""
    num_parts = process.num_processes * accumulate
    for batch in batches:
        for part in split_batch(batch, num_parts)[process.rank :: process.num_processes]:
            yield [(epoch, int(number)) for number in part]
