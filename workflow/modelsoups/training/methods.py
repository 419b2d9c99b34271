"""What a run does with its batches and weights (paper Appendix J.2.1).

A method is a function here and an entry in one of the dictionaries; the loop knows none by name.
Whatever a run can do without is a field of `RunSpec` whose default is off.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from timm.data import Mixup
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer

from modelsoups.models.backbones import Classifier
from modelsoups.study.search import RunSpec
from modelsoups.training.resume import Stateful

T = TypeVar("T")

# A part of a batch (b, ...) with targets, (b,) int64 or (b, num_classes) shares, to such a pair.
Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]  # logits (b, num_classes) float32 and targets to a mean
# Adds the gradient of a batch at the weights as they are; returns its mean loss, part by part.
Backward = Callable[[], list[Tensor]]
Gradient = Callable[[Backward], list[Tensor]]  # the gradient that the optimiser gets; the same


class Follower(Stateful, Protocol):
    """Something that follows the weights of a run, such as their average over its steps.

    It is saved with the run, and goes on with it.
    """

    def after_step(self, step: int) -> None:
        """Called when the optimiser has taken step `step` (from 0) of the run."""
        ...

    def after_epoch(self, epoch: int) -> None:
        """Called after the last step of epoch `epoch` (from 0)."""
        ...


def mixup(spec: RunSpec, num_classes: int) -> Transform:
    """Each example mixed with another of its part of the batch, and its label likewise."""
    mix = Mixup(spec.mixup, label_smoothing=0.0, num_classes=num_classes)
    return lambda batch, targets: mix(batch.float(), targets)


def softmax(spec: RunSpec) -> Loss:
    """Cross-entropy of one class among all, with smoothed labels."""
    return partial(cross_entropy, label_smoothing=spec.label_smoothing)


def adamw(spec: RunSpec, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """AdamW; all parameters decay alike."""
    return AdamW(parameters, spec.lr, weight_decay=spec.weight_decay, fused=True)


def cosine(step: int, warmup_steps: int, num_steps: int) -> float:
    """Learning rate of a step as a fraction of its peak: linear warm-up, then a cosine to zero."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


def plain(backward: Backward) -> list[Tensor]:
    """The gradient at the weights as they are."""
    return backward()


# By the field of RunSpec that switches them on, in the order in which they are applied:
TRANSFORMS: dict[str, Callable[[RunSpec, int], Transform]] = {"mixup": mixup}
FOLLOWERS: dict[str, Callable[[RunSpec, nn.Module], Follower]] = {}
# By name; a field of RunSpec says which, where there are several:
LOSSES: dict[str, Callable[[RunSpec], Loss]] = {"softmax": softmax}
OPTIMIZERS: dict[str, Callable[[RunSpec, Iterable[nn.Parameter]], Optimizer]] = {"adamw": adamw}
SCHEDULES: dict[str, Callable[[int, int, int], float]] = {"cosine": cosine}
GRADIENTS: dict[str, Gradient] = {"plain": plain}


@dataclass(frozen=True, kw_only=True)
class Methods:
    """The methods of one run."""

    transforms: list[Transform]  # of a part of a batch, one after another
    loss: Loss
    gradient: Gradient
    optimizer: Optimizer
    lr_at: Callable[[int], float]  # step of the run -> learning rate
    followers: dict[str, Follower]

    def transform(self, batch: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A part of a batch as the model gets it, with its targets."""
        for each in self.transforms:
            batch, targets = each(batch, targets)
        return batch, targets

    def update(self, step: int) -> None:
        """Take a step of the run by the gradient that is there, and clear it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_at(step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        for follower in self.followers.values():
            follower.after_step(step)

    def end_epoch(self, epoch: int) -> None:
        """Tell those that follow the run that an epoch is over."""
        for follower in self.followers.values():
            follower.after_epoch(epoch)


def build_methods(spec: RunSpec, model: Classifier, num_steps: int) -> Methods:
    """The methods that a run's hyper-parameters name, for its model and its number of steps."""
    schedule, num_classes = SCHEDULES["cosine"], model.head.out_features
    return Methods(
        transforms=[make(spec, num_classes) for make in switched_on(TRANSFORMS, spec).values()],
        loss=LOSSES["softmax"](spec),
        gradient=GRADIENTS["plain"],
        optimizer=OPTIMIZERS["adamw"](spec, model.parameters()),
        lr_at=lambda step: spec.lr * schedule(step, spec.warmup_steps, num_steps),
        followers={name: make(spec, model) for name, make in switched_on(FOLLOWERS, spec).items()},
    )


def switched_on(methods: dict[str, T], spec: RunSpec) -> dict[str, T]:
    """The methods whose field is not off (0, none or empty)."""
    return {name: make for name, make in methods.items() if getattr(spec, name)}
