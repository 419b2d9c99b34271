"""What a run does with its batches and weights (paper Appendices C, F, J.2, L).

A method is a function here and an entry in one of the dictionaries; the loop knows none by name.
Whatever a run can do without is a field of `RunSpec` whose default is off.
"""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import torch
from timm.data import Mixup
from timm.optim.adafactor_bv import AdafactorBigVision
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    nll_loss,
    one_hot,
)
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from modelsoups.models.backbones import Classifier
from modelsoups.study.search import RunSpec
from modelsoups.training.averages import TrackedAverages, epoch_averages, moving_averages
from modelsoups.training.distillation import Teachers, distillation
from modelsoups.training.resume import Stateful
from modelsoups.weights.checkpoints import Weights

T = TypeVar("T")

# A part of a batch (b, ...) with targets, (b,) int64 or (b, num_classes) shares, to such a pair.
Transform = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]  # logits (b, num_classes) float32 and targets to a mean
SMALLEST_NORM = 1e-12  # of a gradient that is divided by it


class Backward(Protocol):
    """Adds the gradient of a batch at the weights as they are.

    Args: together: of the whole batch, over all processes; else of this process's share alone.
    Returns: the mean loss of its share, part by part.
    """

    def __call__(self, together: bool = True) -> list[Tensor]: ...


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


def mix(spec: RunSpec, num_classes: int) -> Transform:
    """Each example mixed with another of its part of the batch, and its label likewise.

    Mixup takes the mean of the two, CutMix a rectangle of the other; of a run with both each step
    draws one, with equal chances (timm). The shares of a part are those of every part of its batch.
    """
    mixing = Mixup(spec.mixup, spec.cutmix, label_smoothing=0.0, num_classes=num_classes)
    return lambda batch, targets: mixing(batch.float(), targets)


def softmax(spec: RunSpec) -> Loss:
    """Cross-entropy of one class among all, with smoothed labels."""
    return partial(cross_entropy, label_smoothing=spec.label_smoothing)


def binary(spec: RunSpec) -> Loss:
    """Cross-entropy of every class by itself, summed over the classes (J.2.3).

    The paper gives no more than the name. A sum is what the pre-training of ViT-G has, whose loss
    this is; labels are smoothed as those of `softmax` are.
    """

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        num_classes = logits.shape[1]
        shares = one_hot(targets, num_classes) if targets.ndim == 1 else targets
        shares = shares * (1 - spec.label_smoothing) + spec.label_smoothing / num_classes
        return binary_cross_entropy_with_logits(logits, shares, reduction="none").sum(1).mean()

    return loss


def likelihood(spec: RunSpec) -> Loss:
    """Minus the label's logit, where logits are log-probabilities: pre-training's own loss (J.5).

    A text's log-probability is the sum over its tokens, where transformers' loss is their mean:
    with Adam the two differ at most in which gradients are clipped.
    """
    return nll_loss


def adamw(spec: RunSpec, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """AdamW; all parameters decay alike."""
    return AdamW(parameters, spec.lr, weight_decay=spec.weight_decay, fused=True)


def adam(spec: RunSpec, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Adam; weight decay is a part of the gradient."""
    return Adam(parameters, spec.lr, weight_decay=spec.weight_decay, fused=True)


def rmsprop(spec: RunSpec, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """RMSProp as torch has it, without momentum: Appendix F gives its learning rate alone."""
    return RMSprop(parameters, spec.lr, weight_decay=spec.weight_decay)


def sgd(spec: RunSpec, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """SGD without momentum: Appendix F gives none, only that its learning rate is larger."""
    return SGD(parameters, spec.lr, weight_decay=spec.weight_decay, fused=True)


def adafactor(spec: RunSpec, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Adafactor with the changes of "Scaling Vision Transformers", as timm has it.

    The paper fine-tunes that article's ViT-G, at learning rates of Adam's size (3e-5): so this
    one, whose steps are as long as the learning rate says. Adafactor as first described, and as
    torch and transformers have it, multiplies them by the size of the weights.
    """
    return AdafactorBigVision(parameters, spec.lr, weight_decay=spec.weight_decay)


# Schedules: the learning rate of a step as a fraction of its peak, after a linear warm-up.


def cosine(step: int, warmup_steps: int, num_steps: int, epochs: int = 1) -> float:
    """A cosine to zero."""
    return warm_up(step, warmup_steps, num_steps, lambda t: 0.5 * (1 + math.cos(math.pi * t)))


def constant(step: int, warmup_steps: int, num_steps: int, epochs: int = 1) -> float:
    """The peak throughout."""
    return warm_up(step, warmup_steps, num_steps, lambda t: 1.0)


def linear(step: int, warmup_steps: int, num_steps: int, epochs: int = 1) -> float:
    """A straight line to zero."""
    return warm_up(step, warmup_steps, num_steps, lambda t: 1 - t)


def cosine_restarts(step: int, warmup_steps: int, num_steps: int, epochs: int = 1) -> float:
    """A cosine to zero in each epoch, beginning at the peak again.

    Appendix L gives no period. With an epoch's, SWA averages the ends of cycles, as it is meant to.
    """
    if step < warmup_steps:
        return cosine(step, warmup_steps, num_steps)
    length = num_steps // epochs
    first = step // length * length  # step of the epoch
    return cosine(step - first, max(0, warmup_steps - first), length)


def warm_up(step: int, warmup_steps: int, num_steps: int, then: Callable[[float], float]) -> float:
    """A straight line to one, then a function of the share of the other steps that is taken."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return then((step - warmup_steps) / max(1, num_steps - warmup_steps))


def plain(backward: Backward) -> list[Tensor]:
    """The gradient at the weights as they are."""
    return backward()


def sam(spec: RunSpec, model: nn.Module) -> Gradient:
    """The gradient rho uphill: where the normalised gradient of all parameters leads to (Foret et
    al. 2021; paper Appendix L, Table L.3).

    Both gradients are of the whole batch, in however many parts it is computed, with the same
    random numbers. J.2.3 has "perturbations either synchronized or unsynchronized across
    accelerators": synchronised, all processes go uphill by the gradient of the whole batch, as one
    process would; else each by that of its own share. The loss is that before the move. The paper
    gives no rho (Foret et al. have 0.05): choose it on the held-out set.
    """

    def gradient(backward: Backward) -> list[Tensor]:
        losses = backward(together=spec.sam_synchronized)
        with torch.no_grad():
            moved = [(each, each.grad) for each in model.parameters() if each.grad is not None]
            before = [each.clone() for each, _ in moved]
            norm = nn.utils.get_total_norm([uphill for _, uphill in moved])
            for each, uphill in moved:
                each.add_(uphill * (spec.sam / norm.clamp(min=SMALLEST_NORM)))
                each.grad = None
        backward()
        with torch.no_grad():
            for (each, _), weights in zip(moved, before, strict=True):
                each.copy_(weights)
        return losses

    return gradient


# By the field of RunSpec that switches them on, in the order in which they are applied; one that
# several fields switch on is applied once:
TRANSFORMS: dict[str, Callable[[RunSpec, int], Transform]] = {"mixup": mix, "cutmix": mix}
GRADIENTS: dict[str, Callable[[RunSpec, nn.Module], Gradient]] = {"sam": sam}  # at most one
FOLLOWERS: dict[str, Callable[[RunSpec, nn.Module], TrackedAverages]] = {
    "ema": moving_averages,
    "swa": epoch_averages,
}
# By name; a field of RunSpec says which, where there are several (`study.search.CHOICES`):
LOSSES: dict[str, Callable[[RunSpec], Loss]] = {
    "softmax": softmax,
    "binary": binary,
    "likelihood": likelihood,
}
OPTIMIZERS: dict[str, Callable[[RunSpec, Iterable[nn.Parameter]], Optimizer]] = {
    "adamw": adamw,
    "adam": adam,
    "rmsprop": rmsprop,
    "sgd": sgd,
    "adafactor": adafactor,
}
SCHEDULES: dict[str, Callable[[int, int, int, int], float]] = {
    "cosine": cosine,
    "constant": constant,
    "linear": linear,
    "cosine-restarts": cosine_restarts,
}


@dataclass(frozen=True, kw_only=True)
class Methods:
    """The methods of one run."""

    transforms: list[Transform]  # of a part of a batch, one after another
    loss: Loss
    gradient: Gradient
    optimizer: Optimizer
    lr_at: Callable[[int], float]  # step of the run -> learning rate
    followers: dict[str, Follower]
    averages: list[TrackedAverages]  # some of them

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

    def averaged(self) -> dict[str, Weights]:
        """The models that the run ends with beside its own: name -> weights."""
        return {name: found for each in self.averages for name, found in each.weights().items()}

    def average(self, name: str) -> Weights:
        """One of them as it is now."""
        return self.averaged()[name]


def build_methods(
    spec: RunSpec, model: Classifier, num_steps: int, teachers: Sequence[nn.Module] = ()
) -> Methods:
    """The methods that a run's hyper-parameters name, for its model and its number of steps.

    Args: teachers: the models that the run learns from, on its device.
    Raises: ValueError if they are not as many as it names.
    """
    if len(teachers) != len(spec.teachers):
        raise ValueError(f"expected the models of {[*spec.teachers]}, found {len(teachers)} models")
    schedule, num_classes = SCHEDULES[spec.schedule], model.head.out_features
    makers = dict.fromkeys(switched_on(TRANSFORMS, spec).values())
    transforms = [make(spec, num_classes) for make in makers]
    followers = {name: make(spec, model) for name, make in switched_on(FOLLOWERS, spec).items()}
    gradients = [make(spec, model) for make in switched_on(GRADIENTS, spec).values()]
    return Methods(
        transforms=[*transforms, Teachers(spec, teachers)] if teachers else transforms,
        loss=distillation(spec) if teachers else LOSSES[spec.loss](spec),
        gradient=[*gradients, plain][0],
        optimizer=OPTIMIZERS[spec.optimizer](spec, model.parameters()),
        lr_at=lambda step: spec.lr * schedule(step, spec.warmup_steps, num_steps, spec.epochs),
        followers={**followers},
        averages=[*followers.values()],
    )


def switched_on(methods: dict[str, T], spec: RunSpec) -> dict[str, T]:
    """The methods whose field is not off (0, none or empty)."""
    return {name: make for name, make in methods.items() if getattr(spec, name)}
