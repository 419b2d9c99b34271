"""The learned soup (paper Appendix I, eq. 2), in the memory of one model and its gradient.

Coefficients and a temperature beta minimise the held-out cross-entropy of beta times the logits of
the mixed weights. By the chain rule the gradient of a coefficient is the inner product of its
ingredient's weights with the gradient at the mix: one ordinary backward pass of one model, whatever
the number of ingredients. The official code (`learned_bylayer.py`) lets autograd go through all of
them, which takes their memory several times over for the same numbers.

*Affine* coefficients may be negative: alpha = (1 + r - mean r) / K for any r, so that their sum is
one at every step (Li et al. 2024, "Learning scalable model soup on a single GPU", MEHL-Soup). The
gradient of r is (g - mean g) / K, which makes a step of size eta the projected one,
-eta (g - mean g). This is the softmax to first order at the uniform soup, r = 0, so that a learning
rate does the same to both there. MEHL-Soup moves the coefficients of differences to a center
instead, of some models at a time, which is the same set of soups.

*Turns.* While the r of some models move and those of the others stay, the mix changes by the sum of
(r - r before) (theta - mean) / K over the former, so that these models alone have to be held (block
coordinate descent, as in MEHL-Soup+). The batches of an epoch are shared out among the turns.

Of labels the loss is the mean binary cross-entropy; of numbers it is the mean squared error, and
beta stays 1: a factor of numbers would be another model.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from modelsoups.base.progress import Trace
from modelsoups.soups.mixture import Mixture
from modelsoups.soups.pool import Candidate, HeldOut, Soup, check_pool, soup_of_all
from modelsoups.soups.registry import LearnedSpec
from modelsoups.weights.average import average, check_finite
from modelsoups.weights.checkpoints import Model, Weights, open_source

logger = logging.getLogger(__name__)

# Kind of targets -> what is minimised, of outputs and targets; that of numbers has no temperature.
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "class": cross_entropy,
    "labels": lambda logits, labels: binary_cross_entropy_with_logits(logits, labels.float()),
    "numbers": lambda outputs, numbers: mse_loss(outputs, numbers.float()),
}


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
    ingredients: Sequence[Model],
    held_out: HeldOut,
    trace: Trace,
) -> tuple[Weights, dict[str, list[float]], "Learner"]:
    """The mix of ingredients, weights or their files, that does best on the held-out set.

    Returns: its weights; group -> coefficients; the optimisation, with its temperature and losses.
    """
    # Checks that keys and shapes are those of the model; of the weights none stay.
    sources = [open_source(each, f"ingredient {i}") for i, each in enumerate(ingredients)]
    held_out.pour(sources[0].load(), str(sources[0].path))
    mixture = Mixture(held_out.evaluator.model, sources, spec)
    learner = Learner(mixture, spec, held_out)
    start = learner.restore(trace.load())
    for epoch in range(start, spec.epochs):
        try:
            learner.run_epoch(epoch)
        except FloatingPointError as error:
            for source in sources:
                check_finite(source.load(), source.path)
            raise ValueError(
                f"learned: {error} in epoch {epoch + 1}; lower the learning rate"
            ) from error
        trace.save(learner.state())
        logger.info("epoch %d: mean loss %.4f", epoch + 1, np.mean(learner.curve[-1]))

    mixture.forget_gradient()
    coefficients = mixture.coefficients(learner.raw)  # (K, num_groups)
    by_group = dict(zip(mixture.groups, coefficients.T.tolist(), strict=True))
    per_key = {key: by_group[group] for key, group in mixture.group_of.items()}
    return average(sources, per_key), by_group, learner


class Learner:
    """The optimisation: what is learned, and how it got there."""

    def __init__(self, mixture: Mixture, spec: LearnedSpec, held_out: HeldOut):
        self._mixture, self._spec, self._held_out = mixture, spec, held_out
        self._forward, device = held_out.evaluator.forward, held_out.evaluator.device
        count = mixture.num_ingredients
        size = spec.models_at_a_time or count
        self._turns = [range(i, min(i + size, count)) for i in range(0, count, size)]
        self._raw = [  # of each turn; zero is the uniform soup
            torch.zeros((len(members), len(mixture.groups)), device=device, requires_grad=True)
            for members in self._turns
        ]
        self._loss, tempered = LOSSES[held_out.kind], held_out.kind != "numbers"
        self.beta = torch.ones((), device=device, requires_grad=tempered)
        learned = [*self._raw, self.beta] if tempered else self._raw
        self.optimizer = torch.optim.AdamW(
            learned, lr=spec.learning_rate, weight_decay=spec.weight_decay
        )
        self.curve: list[list[float]] = []  # loss of every batch, epoch by epoch

    @property
    def raw(self) -> Tensor:
        """What is learned, (K, num_groups)."""
        return torch.cat([part.detach() for part in self._raw])

    def run_epoch(self, epoch: int) -> None:
        """Go once through the held-out set, in an order set by seed and epoch."""
        order = np.random.default_rng([self._spec.seed, epoch]).permutation(len(self._held_out))
        size = self._spec.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        run = self._run_turns if self._spec.models_at_a_time else self._run
        self.curve.append(run(batches, epoch))

    def _run(self, batches: Sequence[np.ndarray], epoch: int) -> list[float]:
        """A step on every batch."""
        return [self.step(batch) for batch in batches]

    def step(self, indices: np.ndarray) -> float:
        """One step of the optimiser on these examples; the loss before it."""
        coefficients = self._mixture.coefficients(self._raw[0])
        self._mixture.mix(coefficients.detach())
        loss = self._descend(indices)
        coefficients.backward(self._mixture.gradient())
        self.optimizer.step()
        return loss

    def _run_turns(self, batches: Sequence[np.ndarray], epoch: int) -> list[float]:
        """The same, a part of the batches for each turn's coefficients; turns in an order set by
        seed and epoch."""
        rng = np.random.default_rng([self._spec.seed, epoch, 1])
        self._mixture.begin_epoch_of_turns(self._mixture.coefficients(self.raw))
        losses = []
        shares = np.array_split(np.arange(len(batches)), len(self._turns))
        for turn, share in zip(rng.permutation(len(self._turns)), shares, strict=True):
            if not len(share):
                continue
            raw, before = self._raw[turn], self._raw[turn].detach().clone()
            self._mixture.begin_turn(self._turns[turn])
            for number in share:
                self._mixture.mix_in_turn(raw.detach() - before)
                losses.append(self._descend(batches[number]))
                raw.grad = self._mixture.gradient_in_turn()
                self.optimizer.step()  # of those alone that have a gradient
            self._mixture.mix_in_turn(raw.detach() - before)
        return losses

    def _descend(self, indices: np.ndarray) -> float:
        """Loss on these examples; its gradients are in the model, and in beta."""
        labels = torch.from_numpy(self._held_out.labels[indices]).to(self.beta.device)
        logits = self._forward(self._held_out.batch(indices))
        if not torch.is_tensor(logits):
            raise ValueError(
                f"learned: expected a tensor of outputs, found {type(logits).__name__}; give a "
                "model whose forward returns its logits"
            )
        if not logits.requires_grad:
            raise ValueError(
                "learned: expected outputs with a gradient for the model's weights, found none; "
                "take no_grad, inference_mode or detach out of its forward"
            )
        loss = self._loss(self.beta * logits, labels)
        if not loss.isfinite():
            raise FloatingPointError(f"the held-out loss is {loss.item()}")
        self.optimizer.zero_grad()
        loss.backward()
        return loss.item()

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on, as JSON; float32 numbers survive it exactly."""
        moments = self.optimizer.state_dict()["state"]
        return {
            "raw": [part.tolist() for part in self._raw],
            "beta": self.beta.item(),
            "optimizer": {
                str(number): {key: value.tolist() for key, value in moment.items()}
                for number, moment in moments.items()
            },
            "curve": self.curve,
        }

    def restore(self, state: dict[str, Any] | None) -> int:
        """Take up what `state` returned; the number of epochs done."""
        if state is None:
            return 0
        self.curve = state["curve"]
        with torch.no_grad():
            for part, values in zip(self._raw, state["raw"], strict=True):
                part.copy_(torch.tensor(values))
            self.beta.fill_(state["beta"])
        moments = {
            int(number): {key: torch.tensor(value) for key, value in moment.items()}
            for number, moment in state["optimizer"].items()
        }
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        return len(self.curve)
