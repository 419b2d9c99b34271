"""Averages of the weights along a run's trajectory (paper Appendix L: Figures L.1 and L.2; Tables
1, 4 and C.1 have soups of them).

Sums are float64 and are cast once, as a soup's are: in float32 a step of a high decay such as
0.9999999 adds less than half a unit in the last place, which is nothing. Normalisation statistics
are frozen in fine-tuning, so those of an average are those of the run, and are not estimated anew.
"""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_swa_avg_fn

from modelsoups.study.search import RunSpec
from modelsoups.weights.checkpoints import Weights

# ModelEmaV3's warm-up has the decay 1 - (1 + n / GAMMA)^-POWER in the n-th step: n / (n + 9), which
# is tf.train.ExponentialMovingAverage's with the number of steps.
GAMMA, POWER = 9.0, 1.0


class Stored(Protocol):
    """An average as timm and torch have it."""

    module: nn.Module

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> Any: ...


class TrackedAverages:
    """Averages of a run's weights by name, which are told of its steps and of its epochs' ends."""

    def __init__(
        self,
        model: nn.Module,
        averages: Mapping[str, Stored],
        *,
        after_step: Callable[[int], None] = lambda step: None,
        after_epoch: Callable[[int], None] = lambda epoch: None,
    ):
        self._model, self._averages = model, averages
        self.after_step, self.after_epoch = after_step, after_epoch

    def weights(self) -> dict[str, Weights]:
        """Name -> the weights of an average, in the dtypes of the model."""
        dtypes = {key: tensor.dtype for key, tensor in self._model.state_dict().items()}
        return {
            name: {key: each.to(dtypes[key]) for key, each in average.module.state_dict().items()}
            for name, average in self._averages.items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {name: average.state_dict() for name, average in self._averages.items()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        for name, average in self._averages.items():
            average.load_state_dict(state[name])


def moving_averages(spec: RunSpec, model: nn.Module) -> TrackedAverages:
    """Exponential moving averages over the steps of a run (EMA), one for each decay.

    The paper has decays and no more. Without warm-up an average begins at the start's weights, so
    that after 20,000 steps one of 0.9999999 is the start by 99.8 %, which can hardly be the best
    single model of Table 4. Hence the warm-up of `RunSpec.ema_warmup`, which is TensorFlow's: what
    the ViT-G's averages had, the paper does not say.
    """
    averages = {
        f"ema{decay}": ModelEmaV3(
            model,
            decay=decay,
            use_warmup=spec.ema_warmup,
            warmup_gamma=GAMMA,
            warmup_power=POWER,
            dtype=torch.float64,
            exclude_buffers=True,
        )
        for decay in spec.ema
    }

    def after_step(step: int) -> None:
        for average in averages.values():
            average.update(model, step=step + 2)  # it counts steps from 2; 1 copies

    return TrackedAverages(model, averages, after_step=after_step)


def epoch_averages(spec: RunSpec, model: nn.Module) -> TrackedAverages:
    """Means of the weights at the ends of epochs (SWA), one for each share of the run before them.

    "SWA 70% only averages checkpoints after fine-tune is 70% complete": of ten epochs the ends of
    the last three, since the seventh ends when it is complete by just so much.
    """
    averages = {
        f"swa{share}" if share else "swa": AveragedModel(model, avg_fn=get_swa_avg_fn()).double()
        for share in spec.swa
    }
    first_epochs = [math.floor(round(share * spec.epochs, 9)) for share in spec.swa]

    def after_epoch(epoch: int) -> None:
        for first, average in zip(first_epochs, averages.values(), strict=True):
            if epoch >= first:
                average.update_parameters(model)

    return TrackedAverages(model, averages, after_epoch=after_epoch)
