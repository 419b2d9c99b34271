"""Models of open_clip as towers. It is imported where it is needed: that takes seconds."""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from modelsoups.base.files import read_json
from modelsoups.models.towers import Preprocessing, TextTower, Tower, TowerSpec

CONFIG = "open_clip_config.json"
SAVED = ("local-dir:", "hf-hub:")  # models as open_clip saves them: architecture, weights, texts


def check_open_clip(spec: TowerSpec) -> None:
    import open_clip

    if spec.model.startswith(SAVED):
        if spec.weights not in ("open_clip", "random"):
            raise ValueError(
                f"{spec.model} comes with weights: expected `open_clip` (these) or `random`, found "
                f"{spec.weights!r}"
            )
        return
    if spec.model not in open_clip.list_models():
        close = [name for name in open_clip.list_models() if name.startswith(spec.model[:6])]
        raise ValueError(f"open_clip has no model {spec.model!r}; similar: {close}")
    if spec.weights == "random" or Path(spec.weights).is_file():
        return
    tag = open_clip.get_pretrained_cfg(spec.model, spec.weights)
    if not tag:
        raise ValueError(
            f"open_clip has no weights {spec.weights!r} for {spec.model}, and there is no such "
            f"file; it has {open_clip.list_pretrained_tags_by_model(spec.model)}, and "
            f"{spec.weights!r} for {open_clip.list_pretrained_models_by_tag(spec.weights)}"
        )
    names = {True: "QuickGELU", False: "GELU"}
    model_has, tag_has = is_quick_gelu(spec.model), tag.get("quick_gelu", False)
    if model_has != tag_has:
        plain = spec.model.removesuffix("-quickgelu")
        raise ValueError(
            f"open_clip's {spec.model} computes {names[model_has]}, its weights {spec.weights!r} "
            f"were trained with {names[tag_has]}, and together they give wrong features; "
            f"use the model {plain + '-quickgelu' if tag_has else plain}"
        )


def is_quick_gelu(model: str) -> bool:
    """Whether open_clip's model of that name computes QuickGELU instead of GELU."""
    import open_clip

    return open_clip.get_model_config(model).get("quick_gelu", False)


def build_open_clip(spec: TowerSpec) -> Tower:
    import open_clip
    from open_clip.model import CLIPVisionCfg, _build_vision_tower  # no public way without texts
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    config = open_clip.get_model_config(spec.model)
    vision = CLIPVisionCfg(**config["vision_cfg"] | {"timm_model_pretrained": False})
    module = _build_vision_tower(config["embed_dim"], vision, is_quick_gelu(spec.model))
    # A file does not say how its weights saw images: as the first of the published ones, then.
    tags = [spec.weights, *open_clip.list_pretrained_tags_by_model(spec.model)]
    published = [open_clip.get_pretrained_cfg(spec.model, tag) for tag in tags]
    said = preprocessing_of(spec.model) if spec.model.startswith(SAVED) else None
    data = merge_preprocess_dict(PreprocessCfg(), said or next(filter(None, published), {}))
    size = vision.image_size
    # Towers of timm: convolutions read any size, unless the pooling has positions.
    timm_name = vision.timm_model_name
    any_size = (
        timm_name
        and vision.timm_pool in ("", "avg")
        and not timm.get_pretrained_cfg_value(timm_name, "fixed_input_size")
    )
    preprocessing = Preprocessing(
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
        resize_mode=data["resize_mode"],
        fixed_size=None if any_size else size if isinstance(size, int) else size[0],
    )
    return Tower(module, config["embed_dim"], preprocessing)


def preprocessing_of(model: str) -> dict[str, Any]:
    """How a model in a folder or on the hub sees images, from its open_clip_config.json."""
    from open_clip.factory import _get_hf_config, parse_model_name

    source, name = parse_model_name(model)
    config = _get_hf_config(name) if source == "hf-hub" else read_json(Path(name, CONFIG))
    return config.get("preprocess_cfg", {})


def load_open_clip(spec: TowerSpec, module: nn.Module) -> None:
    module.load_state_dict(create_open_clip(spec).visual.state_dict())


def load_open_clip_text(spec: TowerSpec, device: torch.device) -> TextTower:
    import open_clip

    model = create_open_clip(spec).to(device).eval()
    tokenize = open_clip.get_tokenizer(spec.model)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> torch.Tensor:
        return model.encode_text(tokenize(list(texts)).to(device), normalize=True).float().cpu()

    return TextTower(embed, model.logit_scale.exp().item())


def create_open_clip(spec: TowerSpec) -> Any:
    """Both towers with their pre-trained weights: from the hub, its cache, or a file."""
    import open_clip

    saved, random = spec.model.startswith(SAVED), spec.weights == "random"
    return open_clip.create_model(
        spec.model,
        pretrained=None if saved or random else spec.weights,
        pretrained_text=False,
        load_weights=not random,
        require_pretrained=not random,
    )


def find_open_clip(spec: TowerSpec) -> Path:
    import open_clip
    from open_clip.factory import _find_checkpoint_in_dir, download_pretrained_from_hf

    if spec.model.startswith(SAVED):
        source, _, name = spec.model.partition(":")
        find = download_pretrained_from_hf if source == "hf-hub" else _find_checkpoint_in_dir
        return Path(find(name if source == "hf-hub" else Path(name)))
    tag = open_clip.get_pretrained_cfg(spec.model, spec.weights)
    return Path(open_clip.download_pretrained(tag) if tag else spec.weights)
