"""The learned soup (paper Appendix I, eq. 2), in the memory of one model and its gradient.

Coefficients and a temperature beta minimise the held-out cross-entropy of beta times the logits of
the mixed weights. By the chain rule the gradient of a coefficient is the inner product of its
ingredient's weights with the gradient at the mix: one ordinary backward pass of one model, whatever
the number of ingredients. The official code (`learned_bylayer.py`) lets autograd go through all of
them, which takes their memory several times over for the same numbers.

*Digits.* What moves the coefficients is how these inner products differ, and ingredients are much
alike: in float32 the difference of two large sums would keep few digits, or none. So each
ingredient counts by its difference to the first one, and sums over a block are added in float64.

*Affine* coefficients may be negative: alpha = (1 + r - mean r) / K for any r, so that their sum is
one at every step (Li et al. 2024, "Learning scalable model soup on a single GPU", MEHL-Soup). The
gradient of r is (g - mean g) / K, which makes a step of size eta the projected one,
-eta (g - mean g). This is the softmax to first order at the uniform soup, r = 0, so that a learning
rate does the same to both there. MEHL-Soup moves the coefficients of differences to a center
instead, of some models at a time, which is the same set of soups.

Of labels the loss is the mean binary cross-entropy; of numbers it is the mean squared error, and
beta stays 1: a factor of numbers would be another model.

Ingredients are held on the device if they are small enough, else read anew for every step, ahead
of the computing.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from modelsoups.base.progress import Trace
from modelsoups.models.ahead import ahead_on
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool, soup_of_all
from modelsoups.soups.registry import LearnedSpec
from modelsoups.weights.average import average, check_finite, common_integers
from modelsoups.weights.checkpoints import (
    Checkpoint,
    Weights,
    check_alike,
    find_tied,
    load,
    open_source,
)
from modelsoups.weights.layers import GROUPINGS

logger = logging.getLogger(__name__)

# Kind of targets -> what is minimised, of outputs and targets; that of numbers has no temperature.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "class": cross_entropy,
    "labels": lambda logits, labels: binary_cross_entropy_with_logits(logits, labels.float()),
    "numbers": lambda outputs, numbers: mse_loss(outputs, numbers.float()),
}
Block = tuple[int, slice, Tensor]  # group, where it stands in the vector, and (K, width) float32
STATISTICS = "statistics"  # group of what is not learned
# Elements of all ingredients together in a block: those that are read for every step, on a CPU (in
# whose cache they stay) and on a GPU (which few large copies suit), and those that are held. Far
# below 2^31, where products on GPUs overflow.
STREAMED_BLOCK = {"cpu": 2**20, "cuda": 2**25}
RESIDENT_BLOCK = {"cpu": 2**24, "cuda": 2**26}
READ_AHEAD = {"cpu": 1, "cuda": 4}  # blocks, each by a thread of its own


def learned(
    spec: LearnedSpec,
    candidates: Sequence[Candidate],
    held_out: HeldOut,
    trace: Trace,
    initialization: Path | None = None,
) -> Soup:
    """The mix of all candidates with the coefficients that do best on the held-out set."""
    accuracies = check_pool(candidates, held_out)
    paths = [candidate.weights for candidate in candidates]
    weights, by_group, learner = learn(spec, paths, held_out, trace)
    return soup_of_all(
        weights,
        by_group["model"] if spec.coefficients_per == "model" else by_group,
        candidates,
        accuracies,
        held_out,
        "the learned soup",
        beta=learner.beta.item(),
        curve=learner.curve,
    )


def learn(
    spec: LearnedSpec,
    ingredients: Sequence[Mapping[str, Tensor] | Path],
    held_out: HeldOut,
    trace: Trace,
) -> tuple[Weights, dict[str, list[float]], "Learner"]:
    """The mix of ingredients, weights or their files, that does best on the held-out set.

    Returns: its weights; group -> coefficients; the optimisation, with its temperature and losses.
    """
    # Checks that keys and shapes are those of the model; of the weights none stay.
    held_out.pour(load(ingredients[0]), "ingredient 0")
    mixture = Mixture(held_out.evaluator.model, ingredients, spec)
    learner = Learner(mixture, spec, held_out)
    start = learner.restore(trace.load())
    for epoch in range(start, spec.epochs):
        try:
            learner.run_epoch(epoch)
        except FloatingPointError as error:
            for number, each in enumerate(ingredients):
                name = f"ingredient {number}" if isinstance(each, Mapping) else each
                check_finite(load(each), name)
            raise ValueError(
                f"learned: {error} in epoch {epoch + 1}; lower the learning rate"
            ) from error
        trace.save(learner.state())
        logger.info("epoch %d: mean loss %.4f", epoch + 1, np.mean(learner.curve[-1]))

    mixture.forget_gradient()
    coefficients = mixture.coefficients(learner.raw.detach())  # (K, num_groups)
    by_group = dict(zip(mixture.groups, coefficients.T.tolist(), strict=True))
    per_key = {key: by_group[group] for key, group in mixture.group_of.items()}
    return average(ingredients, per_key), by_group, learner


class Mixture:
    """A model whose weights are a mix of K files, and the gradient of the coefficients.

    The model's parameters and normalisation statistics become views of one vector of P elements;
    gradients likewise. A convolution that is stored channels last stays so, which a compiled model
    insists on: it is copied to and from the vector. Statistics are mixed like their layer but
    receive no gradient, as in autograd; of affine coefficients they stay the plain mean, since
    negative ones could make a variance negative.
    """

    def __init__(
        self,
        model: nn.Module,
        ingredients: Sequence[Mapping[str, Tensor] | Path],
        spec: LearnedSpec,
    ):
        """Check the headers of all files and put the model's tensors into the vector.

        `model` has the weights of one of the ingredients, in float32.
        """
        self._files = [
            open_source(each, f"ingredient {number}") for number, each in enumerate(ingredients)
        ]
        entries = check_alike(self._files)
        common_integers(self._files, entries)
        self.num_ingredients = len(ingredients)
        self._model = model
        self._affine = spec.constraint == "affine"
        naming = GROUPINGS[spec.coefficients_per]
        tied = find_tied(entries)
        self.group_of: dict[str, str] = {}  # of every floating tensor in the files
        tensors: dict[Tensor, str] = {}  # the model's own, each once -> key
        for key, tensor in model.state_dict(keep_vars=True).items():
            if key in entries and key not in tied and tensor.is_floating_point():
                first = tensors.setdefault(tensor, key)  # another key if the model ties them
                is_free = isinstance(tensor, nn.Parameter) or not self._affine
                group = naming(first) if is_free else STATISTICS
                self.group_of[key] = group
        self.groups = list(dict.fromkeys(self.group_of.values()))
        size = sum(tensor.numel() for tensor in tensors)
        device = next(iter(tensors)).device
        # Memory that is not written yet is not there yet: the model's own goes as this comes.
        self._mix, self._gradient = (
            torch.empty(size, device=device),
            torch.empty(size, device=device),
        )
        self._parts: list[tuple[str, int, int]] = []  # key, where it starts, number of elements
        self._apart: list[tuple[Tensor, slice]] = []  # that are no views of the vector
        start = 0
        for tensor, key in tensors.items():
            span = slice(start, start + tensor.numel())
            gradient = self._gradient[span].view(tensor.shape)
            if tensor.is_contiguous():
                tensor.data = self._mix[span].view(tensor.shape)
            else:
                gradient = torch.zeros_like(tensor)
                self._apart.append((tensor, span))
            if isinstance(tensor, nn.Parameter):
                tensor.grad = gradient
            self._parts.append((key, start, tensor.numel()))
            start = span.stop
        self._resident: list[Block] | None = None
        if 4 * size * self.num_ingredients <= spec.resident_gib * 2**30:
            self._resident = list(self._read_blocks(RESIDENT_BLOCK[device.type]))

    def forget_gradient(self) -> None:
        """Free the gradient: the soup takes its place in memory."""
        for parameter in self._model.parameters():
            parameter.grad = None
        self._gradient = self._gradient.new_empty(0)

    def coefficients(self, raw: Tensor) -> Tensor:
        """Coefficients (K, num_groups) float64 from what is learned (K, num_groups)."""
        raw = raw.double()
        if not self._affine:
            return raw.softmax(dim=0)
        fixed = torch.tensor([group == STATISTICS for group in self.groups], device=raw.device)
        return (1 + raw - raw.mean(dim=0)).where(~fixed, 1) / len(raw)

    @torch.no_grad()
    def mix(self, coefficients: Tensor) -> None:
        """Put the mix with these coefficients (K, num_groups) into the model; zero gradients."""
        self._gradient.zero_()
        # The blocks have the first ingredient, and the others less the first.
        factors = torch.cat([coefficients.sum(dim=0, keepdim=True), coefficients[1:]]).float()
        for group, span, block in self._blocks():
            torch.mv(block.T, factors[:, group], out=self._mix[span])
        for tensor, span in self._apart:
            tensor.copy_(self._mix[span].view(tensor.shape))
            if tensor.grad is not None:
                tensor.grad.zero_()

    @torch.no_grad()
    def gradient(self) -> Tensor:
        """Gradient of the coefficients (K, num_groups) float64, from the gradients in the model."""
        for tensor, span in self._apart:
            if tensor.grad is not None:
                self._gradient[span].view(tensor.shape).copy_(tensor.grad)
        shape = (self.num_ingredients, len(self.groups))
        total = self._gradient.new_zeros(shape, dtype=torch.float64)
        for group, span, block in self._blocks():
            total[:, group] += block @ self._gradient[span]
        total[1:] += total[0]
        return total

    def _blocks(self) -> Iterator[Block]:
        """Columns of a matrix (K, P): group, where they stand, and the block (K, width) float32.

        Its first row is the first ingredient, the others are the others less the first.
        """
        if self._resident is not None:
            yield from self._resident
        else:
            yield from self._read_blocks(STREAMED_BLOCK[self._mix.device.type])

    def _read_blocks(self, size: int) -> Iterator[Block]:
        """Blocks of at most `size` elements, on the model's device; some are read ahead."""
        device = self._mix.device
        parts = list(self._cut(size))
        depth = READ_AHEAD[device.type]
        with closing(ahead_on(device, lambda part: self._read(*part), parts, depth)) as blocks:
            for (key, start, begin, end), block in zip(parts, blocks, strict=True):
                block[1:] -= block[0]
                group = self.groups.index(self.group_of[key])
                yield group, slice(start + begin, start + end), block

    def _cut(self, size: int) -> Iterator[tuple[str, int, int, int]]:
        """Parts of tensors of which all ingredients' together have at most `size` elements: key,
        where the tensor starts in the vector, and the elements begin..end of it."""
        width = max(1, size // self.num_ingredients)
        for key, start, length in self._parts:
            for begin in range(0, length, width):
                yield key, start, begin, min(begin + width, length)

    def _read(self, key: str, start: int, begin: int, end: int) -> Tensor:
        """A part of all files' tensors, (K, end - begin) float32 in main memory."""
        pinned = self._mix.is_cuda
        block = torch.empty(self.num_ingredients, end - begin, pin_memory=pinned)
        for file, row in zip(self._files, block, strict=True):
            dtype = file.entries[key].dtype
            if dtype == row.dtype and isinstance(file, Checkpoint):
                file.read(key, begin, end, row)
            else:
                row.copy_(file.read(key, begin, end, torch.empty(end - begin, dtype=dtype)))
        return block


class Learner:
    """The optimisation: what is learned, and how it got there."""

    def __init__(self, mixture: Mixture, spec: LearnedSpec, held_out: HeldOut):
        self._mixture, self._spec, self._held_out = mixture, spec, held_out
        self._forward, device = held_out.evaluator.forward, held_out.evaluator.device
        shape = (mixture.num_ingredients, len(mixture.groups))
        self.raw = torch.zeros(shape, device=device, requires_grad=True)  # the uniform soup
        self._loss, tempered = LOSSES[held_out.kind], held_out.kind != "numbers"
        self.beta = torch.ones((), device=device, requires_grad=tempered)
        learned = [self.raw, self.beta] if tempered else [self.raw]
        self.optimizer = torch.optim.AdamW(
            learned, lr=spec.learning_rate, weight_decay=spec.weight_decay
        )
        self.curve: list[list[float]] = []  # loss of every batch, epoch by epoch

    def run_epoch(self, epoch: int) -> None:
        """Go once through the held-out set, in an order set by seed and epoch."""
        order = np.random.default_rng([self._spec.seed, epoch]).permutation(len(self._held_out))
        size = self._spec.batch_size
        self.curve.append(
            [self.step(order[start : start + size]) for start in range(0, len(order), size)]
        )

    def step(self, indices: np.ndarray) -> float:
        """One step of the optimiser on these examples; the loss before it."""
        coefficients = self._mixture.coefficients(self.raw)
        self._mixture.mix(coefficients.detach())
        labels = torch.from_numpy(self._held_out.labels[indices]).to(self.raw.device)
        logits = self._forward(self._held_out.batch(indices))
        loss = self._loss(self.beta * logits, labels)
        if not loss.isfinite():
            raise FloatingPointError(f"the held-out loss is {loss.item()}")
        self.optimizer.zero_grad()
        loss.backward()
        coefficients.backward(self._mixture.gradient())
        self.optimizer.step()
        return loss.item()

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on, as JSON; float32 numbers survive it exactly."""
        moments = self.optimizer.state_dict()["state"]
        return {
            "raw": self.raw.tolist(),
            "beta": self.beta.item(),
            "optimizer": [
                {key: value.tolist() for key, value in moments[i].items()} for i in sorted(moments)
            ],
            "curve": self.curve,
        }

    def restore(self, state: dict[str, Any] | None) -> int:
        """Take up what `state` returned; the number of epochs done."""
        if state is None:
            return 0
        self.curve = state["curve"]
        with torch.no_grad():
            self.raw.copy_(torch.tensor(state["raw"]))
            self.beta.fill_(state["beta"])
        moments = {
            i: {key: torch.tensor(value) for key, value in moment.items()}
            for i, moment in enumerate(state["optimizer"])
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        return len(self.curve)
