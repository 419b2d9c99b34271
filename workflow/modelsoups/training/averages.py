"""Averages of the weights along a run's trajectory (paper Appendix L: Figures L.1 and L.2; Tables
1, 4 and C.1 have soups of them).

Sums are float64 and are cast once, as a soup's are: in float32 a step of a high decay such as
0.9999999 adds less than half a unit in the last place, which is nothing. Normalisation statistics
are frozen in fine-tuning, so those of an average are those of the run, and are not estimated anew.
"""

import math
from collections.abc import Mapping
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


class MovingAverages:
    """Exponential moving averages over the steps of a run, one for each decay.

    The paper has decays and no more. Without warm-up an average begins at the start's weights, so
    that after 20,000 steps one of 0.9999999 is the start by 99.8 %, which can hardly be the best
    single model of Table 4. Hence the warm-up of `RunSpec.ema_warmup`, which is TensorFlow's: what
    the ViT-G's averages had, the paper does not say.
    """

    def __init__(self, spec: RunSpec, model: nn.Module):
        self._model = model
        self._averages = {
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

    def after_step(self, step: int) -> None:
        for average in self._averages.values():
            average.update(self._model, step=step + 2)  # it counts steps from 2; 1 copies

    def after_epoch(self, epoch: int) -> None:
        pass

    def weights(self) -> dict[str, Weights]:
        return weights_of(self._averages, self._model)

    def state_dict(self) -> dict[str, Any]:
        return states_of(self._averages)

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        load_states(self._averages, state)


class EpochAverages:
    """Means of the weights at the ends of epochs (SWA), one for each share of the run before them.

    "SWA 70% only averages checkpoints after fine-tune is 70% complete": of ten epochs the ends of
    the last three, since the seventh ends when it is complete by just so much.
    """

    def __init__(self, spec: RunSpec, model: nn.Module):
        self._model = model
        self._averages = {
            f"swa{share}" if share else "swa": AveragedModel(
                model, avg_fn=get_swa_avg_fn()
            ).double()
            for share in spec.swa
        }
        self._first_epochs = [math.floor(round(share * spec.epochs, 9)) for share in spec.swa]

    def after_step(self, step: int) -> None:
        pass

    def after_epoch(self, epoch: int) -> None:
        for first, average in zip(self._first_epochs, self._averages.values(), strict=True):
            if epoch >= first:
                average.update_parameters(self._model)

    def weights(self) -> dict[str, Weights]:
        return weights_of(self._averages, self._model)

    def state_dict(self) -> dict[str, Any]:
        return states_of(self._averages)

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        load_states(self._averages, state)


def weights_of(averages: Mapping[str, Stored], model: nn.Module) -> dict[str, Weights]:
    """Name -> the weights of an average, in the dtypes of the model."""
    dtypes = {key: tensor.dtype for key, tensor in model.state_dict().items()}
    return {
        name: {key: each.to(dtypes[key]) for key, each in average.module.state_dict().items()}
        for name, average in averages.items()
    }


def states_of(averages: Mapping[str, Stored]) -> dict[str, Any]:
    """What goes on with an interrupted run, by the averages' names."""
    return {name: average.state_dict() for name, average in averages.items()}


def load_states(averages: Mapping[str, Stored], states: dict[str, Any]) -> None:
    """Put averages back to what `states_of` had."""
    for name, average in averages.items():
        average.load_state_dict(states[name])
