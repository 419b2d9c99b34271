"""Networks of timm as towers, by timm's names or from a folder or the hub, as timm saves models."""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import timm
from huggingface_hub import try_to_load_from_cache
from timm.data import resolve_data_config
from torch import nn

from modelsoups.models.towers import (
    Preprocessing,
    Tower,
    TowerSpec,
    find_weights,
    load_by_name,
    load_in_order,
    read_state_dict,
)
from modelsoups.weights.stored import open_stored

FOLDER, HUB = "local-dir:", "hf-hub:"


def check_timm(spec: TowerSpec) -> None:
    if spec.model.startswith(FOLDER):
        if not (Path(spec.model.removeprefix(FOLDER)) / "config.json").is_file():
            raise ValueError(f"{spec.model}: no config.json there, as timm's `save_for_hf` writes")
    elif not spec.model.startswith(HUB) and not timm.is_model(spec.model):
        close = timm.list_models(f"*{spec.model[:12]}*")[:5]
        raise ValueError(f"timm has no model {spec.model!r}; similar: {close}")


def architecture_of(model: str) -> tuple[str, dict[str, Any]]:
    """timm's name of an architecture and the arguments that a folder or the hub adds to it."""
    from timm.models._hub import load_model_config_from_hf, load_model_config_from_path

    if model.startswith(FOLDER):
        _, name, arguments = load_model_config_from_path(model.removeprefix(FOLDER))
    elif model.startswith(HUB):
        _, name, arguments = load_model_config_from_hf(model.removeprefix(HUB))
    else:
        name, arguments = model, {}
    return name, arguments


def input_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What `resolve_data_config` takes, from arguments of a model: `img_size`, one side or both."""
    size = arguments.get("img_size")
    if size is None:
        return {}
    return {"input_size": (3, *([size, size] if isinstance(size, int) else size))}


def build_timm(spec: TowerSpec) -> Tower:
    module = timm.create_model(spec.model, num_classes=0)
    architecture, arguments = architecture_of(spec.model)
    data = resolve_data_config(input_of(arguments), model=module)
    fixed = timm.get_pretrained_cfg_value(architecture, "fixed_input_size")
    preprocessing = Preprocessing(
        mean=data["mean"],
        std=data["std"],
        interpolation=data["interpolation"],
        resize_mode="squash" if data["crop_mode"] == "squash" else "shortest",
        fixed_size=data["input_size"][-1] if fixed else None,
    )
    return Tower(module, cast(int, module.num_features), preprocessing)


def load_timm(spec: TowerSpec, module: nn.Module) -> None:
    named = spec.weights in ("timm", "random")
    model = timm.create_model(spec.model, pretrained=spec.weights == "timm")
    if not named:
        path = find_weights(spec.weights)
        try:
            return load_by_name(module, path)
        except ValueError:  # of a whole model, but with other names
            if len(open_stored(path).entries) != len(model.state_dict()):
                raise
            load_in_order(model, read_state_dict(path), spec.weights)
    wanted = module.state_dict()
    module.load_state_dict({k: tensor for k, tensor in model.state_dict().items() if k in wanted})


def find_timm(spec: TowerSpec) -> Path:
    if spec.weights != "timm":
        return find_weights(spec.weights)
    from timm.models._hub import HF_WEIGHTS_NAME, _get_safe_alternatives

    name = HF_WEIGHTS_NAME
    if spec.model.startswith(FOLDER):
        folder = Path(spec.model.removeprefix(FOLDER))
        return next(
            folder / each
            for each in (*_get_safe_alternatives(name), name)
            if (folder / each).exists()
        )
    if spec.model.startswith(HUB):
        repository, _, revision = spec.model.removeprefix(HUB).partition("@")
    else:
        hub = timm.get_pretrained_cfg(spec.model)
        assert hub and hub.hf_hub_id, f"timm's weights of {spec.model} are not from the hub"
        repository, _, revision = hub.hf_hub_id.partition("@")
        name = hub.hf_hub_filename or HF_WEIGHTS_NAME
    for each in (*_get_safe_alternatives(name), name):  # timm loads the first that there is
        path = try_to_load_from_cache(repository, each, revision=revision or None)
        if isinstance(path, str):
            return Path(path)
    raise ValueError(f"{repository} is not in the hub's cache; load its weights first")
