"""IconCLIP: a network of timm and a projection to the embeddings of MiniLM."""

from pathlib import Path

import torch
from torch import nn

from modelsoups.models.timm_towers import build_timm
from modelsoups.models.towers import (
    TextTower,
    Tower,
    TowerSpec,
    find_weights,
    load_in_order,
    read_state_dict,
)
from modelsoups.weights.checkpoints import Weights

MINILM_SIZE = 384  # numbers in an embedding of MiniLM, and so of IconCLIP's image tower
START_SCALE = 1 / 0.07  # CLIP's inverse temperature before training


def build_iconclip(spec: TowerSpec) -> Tower:
    trunk = build_timm(spec)
    projection = nn.Linear(trunk.num_features, MINILM_SIZE, bias=False)
    module = nn.Sequential()
    module.add_module("backbone", trunk.module)
    module.add_module("projection", projection)
    return Tower(module, MINILM_SIZE, trunk.preprocessing)


def load_iconclip(spec: TowerSpec, module: nn.Module) -> None:
    if spec.weights == "random":
        module.load_state_dict(build_iconclip(spec).module.state_dict())
    else:
        state, _ = read_iconclip(spec.weights)
        load_in_order(module, state, spec.weights)


def find_iconclip(spec: TowerSpec) -> Path:
    return find_weights(spec.weights)


def load_iconclip_text(spec: TowerSpec, device: torch.device) -> TextTower:
    from modelsoups.models.minilm import load_minilm  # seconds that jobs without texts are spared

    scale = START_SCALE if spec.weights == "random" else read_iconclip(spec.weights)[1]
    return TextTower(load_minilm(device).embed, scale)


def read_iconclip(source: str) -> tuple[Weights, float]:
    """The tensors of the image tower (`backbone.*`, `projection.weight`) and the scale."""
    state = read_state_dict(find_weights(source))
    if "logit_scale" not in state:
        raise ValueError(f"{source}: no tensor logit_scale; expected IconCLIP's weights")
    return state, state.pop("logit_scale").float().exp().item()
