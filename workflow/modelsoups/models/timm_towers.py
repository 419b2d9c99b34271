"""Networks of timm as towers."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import timm
from huggingface_hub import try_to_load_from_cache
from timm.data import resolve_data_config
from torch import nn

from modelsoups.models.towers import (
    Preprocessing,
    Tower,
    find_weights,
    load_in_order,
    read_state_dict,
)

if TYPE_CHECKING:
    from modelsoups.models.backbones import BackboneSpec


def check_timm(spec: "BackboneSpec") -> None:
    if not timm.is_model(spec.model):
        close = timm.list_models(f"*{spec.model[:12]}*")[:5]
        raise ValueError(f"timm has no model {spec.model!r}; similar: {close}")


def build_timm(spec: "BackboneSpec") -> Tower:
    module = timm.create_model(spec.model, num_classes=0)
    data = resolve_data_config(model=module)
    fixed = timm.get_pretrained_cfg_value(spec.model, "fixed_input_size")
    preprocessing = Preprocessing(
        mean=data["mean"],
        std=data["std"],
        interpolation=data["interpolation"],
        resize_mode="squash" if data["crop_mode"] == "squash" else "shortest",
        fixed_size=data["input_size"][-1] if fixed else None,
    )
    return Tower(module, cast(int, module.num_features), preprocessing)


def load_timm(spec: "BackboneSpec", module: nn.Module) -> None:
    model = timm.create_model(spec.model, pretrained=spec.weights == "timm")
    if spec.weights not in ("timm", "random"):
        load_in_order(model, read_state_dict(find_weights(spec.weights)), spec.weights)
    wanted = module.state_dict()
    module.load_state_dict({k: tensor for k, tensor in model.state_dict().items() if k in wanted})


def find_timm(spec: "BackboneSpec") -> Path:
    if spec.weights != "timm":
        return find_weights(spec.weights)
    from timm.models._hub import HF_WEIGHTS_NAME, _get_safe_alternatives

    hub = timm.get_pretrained_cfg(spec.model)
    assert hub and hub.hf_hub_id, f"timm's weights of {spec.model} are not from the hub"
    repository, _, revision = hub.hf_hub_id.partition("@")
    name = hub.hf_hub_filename or HF_WEIGHTS_NAME
    for each in (*_get_safe_alternatives(name), name):  # timm loads the first that there is
        path = try_to_load_from_cache(repository, each, revision=revision or None)
        if isinstance(path, str):
            return Path(path)
    raise ValueError(f"{repository} is not in the hub's cache; load its weights first")
