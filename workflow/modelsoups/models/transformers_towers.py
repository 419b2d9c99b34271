"""Networks of transformers as towers: an image classifier without its last linear layer."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from torch import nn
from transformers import AutoConfig, AutoModelForImageClassification, PretrainedConfig

from modelsoups.base.files import read_json
from modelsoups.base.paths import resolve
from modelsoups.models.processors import seen_by_processor
from modelsoups.models.towers import (
    Preprocessing,
    Tower,
    TowerSpec,
    find_weights,
    load_by_name,
    take_off_head,
)

PROCESSOR = "preprocessor_config.json"
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")


class Features(nn.Module):
    """What the classifier's last layer reads (b, num_features), of pixels (b, 3, H, W)."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model(pixel_values=pixels).logits
        return features


def build_transformers(spec: TowerSpec) -> Tower:
    config = read_config(spec)
    module, num_features = build(config)
    path = find_file(source_of(spec), PROCESSOR)
    seen = seen_by_processor(read_json(path), path)
    preprocessing = Preprocessing(
        mean=tuple(seen["mean"]),
        std=tuple(seen["std"]),
        interpolation=seen["interpolation"],
        resize_mode=seen["resize_mode"],
        fixed_size=fixed_size(config),
    )
    return Tower(module, num_features, preprocessing)


def source_of(spec: TowerSpec) -> str:
    """A folder here, or the hub's name of one."""
    folder = resolve(spec.model)
    return str(folder) if folder.is_dir() else spec.model


def read_config(spec: TowerSpec) -> PretrainedConfig:
    """The config of the network, with the classes that it has there."""
    config: PretrainedConfig = AutoConfig.from_pretrained(source_of(spec))
    return config


def build(config: PretrainedConfig) -> tuple[Features, int]:
    """The network, its weights random, and the number of its features."""
    model = AutoModelForImageClassification.from_config(config, dtype=torch.float32)
    head = take_off_head(model, config.model_type)
    if head.out_features != config.num_labels:
        raise ValueError(f"{config.model_type}: its last linear layer gives no classes")
    return Features(model), head.in_features


def fixed_size(config: PretrainedConfig) -> int | None:
    """The one size in pixels that a network reads; None if it reads another, too."""
    side = getattr(config, "image_size", None)
    if side is None:
        return None
    side = side if isinstance(side, int) else side[0]
    with torch.device("meta"), torch.no_grad():  # shapes alone
        module, _ = build(config)
        try:
            module(torch.empty(1, 3, side + 32, side + 32))
        except (ValueError, RuntimeError):
            return int(side)
    return None


def load_transformers(spec: TowerSpec, module: Features) -> None:
    """Load weights of the folder, another one, or a file.

    Raises: ValueError if a tensor but the head's is missing or has another shape.
    """
    if spec.weights == "random":
        fresh, _ = build(read_config(spec))
        module.load_state_dict(fresh.state_dict())
        return
    folder = folder_of_weights(spec)
    if folder is None:
        return load_by_name(module.model, find_weights(spec.weights))
    loaded: tuple[Any, dict[str, Any]] = AutoModelForImageClassification.from_pretrained(
        folder,
        config=read_config(spec),
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    model, about = loaded
    wanted = module.state_dict().keys()
    unfit = [*about["missing_keys"], *(name for name, *_ in about["mismatched_keys"])]
    if unfit := sorted(name for name in unfit if f"model.{name}" in wanted):
        raise ValueError(f"{folder}: lacks {', '.join(unfit)}, or has them in another shape")
    state = Features(model).state_dict()
    module.load_state_dict({key: state[key] for key in wanted})


def folder_of_weights(spec: TowerSpec) -> str | None:
    """Where transformers loads weights from; None if they are a file."""
    if spec.weights == "transformers":
        return source_of(spec)
    folder = resolve(spec.weights)
    return str(folder) if folder.is_dir() else None


def find_transformers(spec: TowerSpec) -> Path:
    folder = folder_of_weights(spec)
    if folder is None:
        return find_weights(spec.weights)
    return find_file(folder, *FILES)


def find_file(source: str, *names: str) -> Path:
    """The first of these files that a folder, or the hub's, has.

    Raises: ValueError if a folder has none of them, an OSError if the hub gives none.
    """
    if Path(source).is_dir():
        found = [path for path in (Path(source, name) for name in names) if path.is_file()]
        if not found:
            raise ValueError(f"{source}: expected {' or '.join(names)}, found no such file there")
        return found[0]
    for name in names[:-1]:
        with suppress(EntryNotFoundError):
            return Path(hf_hub_download(source, name))
    return Path(hf_hub_download(source, names[-1]))
