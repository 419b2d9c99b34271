"""Networks of torchvision as towers: a model without its last linear layer."""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from modelsoups.models.towers import (
    Preprocessing,
    Tower,
    TowerSpec,
    find_weights,
    load_by_name,
    take_off_head,
)


def check_torchvision(spec: TowerSpec) -> None:
    names = torchvision.models.list_models(module=torchvision.models)
    if spec.model not in names:
        close = [name for name in names if name.startswith(spec.model[:6])]
        raise ValueError(f"torchvision has no model {spec.model!r}; similar: {close}")


def build_torchvision(spec: TowerSpec) -> Tower:
    module = torchvision.models.get_model(spec.model, weights=None)
    head = take_off_head(module, spec.model)
    data = published(spec.model).transforms()
    preprocessing = Preprocessing(
        mean=tuple(data.mean),
        std=tuple(data.std),
        interpolation=data.interpolation.value,
        resize_mode="shortest",
        fixed_size=getattr(module, "image_size", None),  # of ViTs
    )
    return Tower(module, head.in_features, preprocessing)


def published(model: str) -> Any:
    """The weights that torchvision has for a model: its first on ImageNet, if any."""
    weights = torchvision.models.get_model_weights(model)
    return getattr(weights, "IMAGENET1K_V1", None) or weights.DEFAULT


def load_torchvision(spec: TowerSpec, module: nn.Module) -> None:
    if spec.weights not in ("torchvision", "random"):
        return load_by_name(module, find_weights(spec.weights))
    weights = published(spec.model) if spec.weights == "torchvision" else None
    state = torchvision.models.get_model(spec.model, weights=weights).state_dict()
    module.load_state_dict({key: state[key] for key in module.state_dict()})


def find_torchvision(spec: TowerSpec) -> Path:
    if spec.weights != "torchvision":
        return find_weights(spec.weights)
    return Path(torch.hub.get_dir(), "checkpoints", published(spec.model).url.rpartition("/")[2])
