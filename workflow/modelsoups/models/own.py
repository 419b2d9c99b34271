"""Models made elsewhere, whole: with the head that they were trained with, and nothing added.

What a model is, and how it wants to see images, comes from its checkpoint and its library; what
neither says is assumed, and told of. It is found out once (`describe`), written down, and read by
every job that builds the model (`build`).
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from modelsoups.base.files import read_json, write_json
from modelsoups.base.functions import import_function
from modelsoups.data.specs import ViewSpec
from modelsoups.models.processors import check_processor, seen_by_processor
from modelsoups.study.own import classes_of_config
from modelsoups.weights.checkpoints import Checkpoint
from modelsoups.weights.stored import Stored


@dataclass(frozen=True, kw_only=True)
class OwnSpec:
    """A model, and how it sees images."""

    library: Literal["timm", "transformers", "torchvision", "open_clip", "python"]
    model: str  # name, or module:function; of transformers the kind of its config
    arguments: dict[str, Any]  # that it is built with; of transformers its config
    num_classes: int
    mean: list[float]  # of each channel, pixels in [0, 1]
    std: list[float]
    view: dict[str, Any]  # fields of ViewSpec
    normalized_features: bool = False  # open_clip: whether the head reads L2-normalised features
    assumed: list[str] = field(default_factory=list)  # what no file says
    saved_as: dict[str, str] = field(default_factory=dict)  # tensor's name -> in a file, if another


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a config says of a model of one's own."""

    library: str
    model: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)  # as in `soup`
    features: Literal["normalized", "plain"] | None = None  # what the head of open_clip reads
    predicts: str = "class"  # or labels, numbers
    evaluate: Any = None  # a function of the user's own, which knows what the model reads


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a library says of a model before the config has its say."""

    model: str
    arguments: dict[str, Any]
    seen: dict[str, Any]  # preprocessing, as in `soup`
    assumed: list[str]
    saved_as: dict[str, str] = field(default_factory=dict)


class OwnModel(nn.Module):
    """A model made elsewhere and its input normalisation.

    The state dict has the model's own names under `model.`.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: nn.Module, spec: OwnSpec):
        super().__init__()
        self.model, self.spec = model, spec
        mean, std = (255 * torch.tensor(each).view(-1, 1, 1) for each in (spec.mean, spec.std))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Outputs (b, C) float32 of images (b, 3, H, W), uint8 or float in [0, 255].

        Raises: ValueError if the model gives anything else.
        """
        pixels = (images.float() - self.mean) / self.std
        outputs = self.model(pixels.contiguous(memory_format=torch.channels_last))
        outputs = getattr(outputs, "logits", outputs)
        wanted = (len(images), self.spec.num_classes)
        found = tuple(outputs.shape) if torch.is_tensor(outputs) else type(outputs).__name__
        if found != wanted:
            raise ValueError(
                f"{self.spec.model}: expected outputs of shape {wanted}, a number for each class, "
                f"found {found}; are the classes those of the model?"
            )
        return outputs.float()


class TowerWithHead(nn.Module):
    """An image tower of open_clip and a linear head, as common fine-tuning code has them."""

    def __init__(self, visual: nn.Module, num_features: int, num_classes: int, normalized: bool):
        super().__init__()
        self.visual, self.normalized = visual, normalized
        self.head = nn.Linear(num_features, num_classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.visual(pixels)
        if self.normalized:
            features = nn.functional.normalize(features, dim=-1)
        return self.head(features)


def describe(request: Request, stored: Stored, classes: Sequence[str]) -> OwnSpec:
    """What a model is and how it sees images, from its file, its library and the config.

    Args:
        stored: the first of the models. classes: ids, in the order of its outputs.
    Raises:
        ValueError: something is needed that neither file nor config says.
    """
    if request.evaluate is not None:
        return describe_evaluated(request, len(classes))
    found = OWN_LIBRARIES[request.library].describe(request, stored, len(classes))
    given = dict(request.preprocessing)
    if "size" in given:  # what it was resized to for another size is of no meaning
        given = {"resize": given["size"], **given}
    seen, assumed = {**found.seen, **given}, list(found.assumed)
    if missing := [key for key in ("size", "mean", "std") if key not in seen]:
        raise ValueError(
            f"soup.preprocessing: {', '.join(missing)} needed; nothing in {stored.path} says how "
            "its model sees images (size in pixels, mean and std of channels in [0, 1])"
        )
    if left := [key for key in found.seen if key not in given]:
        assumed = [
            each.replace("preprocessing", f"preprocessing ({', '.join(left)})") for each in assumed
        ]
    else:
        assumed = []
    size, resize = seen["size"], seen.get("resize", seen["size"])
    view = ViewSpec(
        size=size,
        resize=max(resize, size),
        interpolation=seen.get("interpolation", "bilinear"),
        resize_mode=seen.get("resize_mode", "shortest"),
    )
    pairs = enumerate(zip(classes, classes_of(stored) or [], strict=False))
    if other := [(at, ours, theirs) for at, (ours, theirs) in pairs if ours != theirs]:
        at, ours, theirs = other[0]
        assumed.append(
            f"classes: output {at} is {ours!r}, which the model's own file calls {theirs!r} "
            f"({len(other)} of {len(classes)} outputs have another name there)"
        )
    return OwnSpec(
        library=request.library,  # type: ignore[arg-type]
        model=found.model,
        arguments=found.arguments,
        num_classes=len(classes),
        mean=[float(each) for each in seen["mean"]],
        std=[float(each) for each in seen["std"]],
        view=asdict(view),
        normalized_features=request.features == "normalized",
        assumed=assumed,
        saved_as=found.saved_as,
    )


def classes_of(stored: Stored) -> list[str] | None:
    """The classes in the order of a model's outputs, if its file or config names them."""
    for key in ("class_to_idx", "classes", "class_names", "label_names"):
        value = stored.said.get(key)
        if isinstance(value, Mapping):
            return [str(name) for name in sorted(value, key=lambda name: value[name])]
        if isinstance(value, list | tuple):
            return [str(name) for name in value]
    return classes_of_config(str(stored.path))


def describe_evaluated(request: Request, num_classes: int) -> OwnSpec:
    """A model that a function of the user's own evaluates: built as the config says."""
    assert request.model
    arguments = dict(request.arguments)
    if num_classes and request.library != "python":
        arguments = {"num_classes": num_classes, **arguments}
    return OwnSpec(
        library=request.library,  # type: ignore[arg-type]
        model=request.model,
        arguments=arguments,
        num_classes=num_classes,
        mean=[0.0] * 3,
        std=[1.0] * 3,
        view={},
    )


def write_spec(path: str | Path, spec: OwnSpec) -> None:
    """Write a description."""
    write_json(path, asdict(spec))


def read_spec(path: str | Path) -> OwnSpec:
    """Read what `write_spec` wrote."""
    return OwnSpec(**read_json(path))


def build(spec: OwnSpec) -> OwnModel:
    """The model, with whatever weights its library begins with.

    Raises:
        ValueError: it is no module.
    """
    with torch.device("cpu"):  # callers that want names alone need its tied tensors too
        model = OWN_LIBRARIES[spec.library].build(spec)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{spec.model}: expected a torch.nn.Module, got {type(model).__name__}")
    own = OwnModel(model, spec)
    return own.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


# timm.


def describe_timm(request: Request, stored: Stored, num_classes: int) -> Found:
    """From a checkpoint of timm's train.py its arguments, from a folder its config."""
    import timm

    from modelsoups.models.timm_towers import architecture_of, input_of

    said = dict(stored.said)
    trained = said["args"] if isinstance(said.get("args"), dict) else {}
    name = request.model or said.get("architecture") or said.get("arch") or trained.get("model")
    if not name:
        raise ValueError(
            f"soup.model: needed; {stored.path} does not say which model of timm it is"
        )
    arguments = {
        **architecture_of(name)[1],
        **({"global_pool": trained["gp"]} if trained.get("gp") else {}),
        **({"bn_eps": trained["bn_eps"]} if trained.get("bn_eps") else {}),
        **(trained.get("model_kwargs") or {}),
        **said.get("model_args", {}),
        **request.arguments,
        "num_classes": num_classes,
    }
    model: Any = timm.create_model(name, **arguments)
    given = {**trained, **input_of(arguments)}
    seen = _seen_by_timm(name, given, {**model.pretrained_cfg, **said.get("pretrained_cfg", {})})
    source = "that of timm's train.py and its arguments"
    if "crop_pct" not in trained:  # none, or those of another script
        source = f"timm's default for {name}; the file does not say how its model was trained"
    assumed = [] if "pretrained_cfg" in said else [f"preprocessing: {source}"]
    return Found(model=name, arguments=arguments, seen=seen, assumed=assumed)


def _seen_by_timm(name: str, args: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Preprocessing, as in `soup`, from arguments of timm's scripts and a pretrained config."""
    from timm.data import resolve_data_config

    data = resolve_data_config(dict(args), pretrained_cfg=dict(config))
    _, height, width = data["input_size"]
    if height != width or data["crop_mode"] == "border":
        raise ValueError(f"{name}: images of {height} x {width} ({data['crop_mode']}) are not read")
    return {
        "size": width,
        "resize": math.floor(width / data["crop_pct"]),
        "resize_mode": "squash" if data["crop_mode"] == "squash" else "shortest",
        "interpolation": data["interpolation"],
        "mean": data["mean"],
        "std": data["std"],
    }


def build_timm(spec: OwnSpec) -> nn.Module:
    import timm

    return timm.create_model(spec.model, **spec.arguments)


# transformers: image classification.


def describe_transformers(request: Request, stored: Stored, num_classes: int) -> Found:
    """From the folder's config.json and preprocessor_config.json."""
    from transformers import AutoConfig, AutoModelForImageClassification

    folder = Path(request.model) if request.model else stored.folder
    if folder is None or not (folder / "config.json").exists():
        raise ValueError(
            f"{stored.path}: no config.json beside it; give the folders that "
            "`save_pretrained` wrote, or one of them as `model`"
        )
    config = AutoConfig.from_pretrained(folder, **request.arguments)
    if config.num_labels != num_classes:
        raise ValueError(
            f"{folder}: its config has {config.num_labels} classes, the study {num_classes}; "
            "correct the held-out folder or `classes`"
        )
    path = folder / "preprocessor_config.json"
    size = getattr(config, "image_size", None)
    seen = {} if size is None else {"size": size if isinstance(size, int) else size[0]}
    if path.exists() and not {"size", "mean", "std"} <= request.preprocessing.keys():
        seen = seen_by_processor(read_json(path), path)
        check_processor(seen, folder)
    elif config.model_type == "timm_wrapper":  # its config is the processor's too
        seen = _seen_by_timm(config.architecture, {}, config.pretrained_cfg)
    return Found(
        model=config.model_type,
        arguments=config.to_dict(),
        seen=seen,
        assumed=[],
        saved_as=names_when_saved(
            AutoModelForImageClassification.from_config(config, dtype=torch.float32)
        ),
    )


@torch.no_grad()
def names_when_saved(model: Any) -> dict[str, str]:
    """Names of a model's tensors -> names that `save_pretrained` gives them, where they differ.

    Since its version 5 transformers renames tensors as it reads and writes files. Each tensor is
    filled with a number of its own, and found again by it.

    Args: model: in float32; a narrower dtype would round the numbers.
    Raises: ValueError if a tensor is split or merged on the way.
    """
    state = model.state_dict()
    for number, tensor in enumerate(state.values()):
        tensor.fill_(number)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size="1TB")
        saved = Checkpoint(Path(folder, "model.safetensors")).load()
    names, keys = {}, list(state)
    for name, tensor in saved.items():
        key = keys[int(tensor.flatten()[0])] if tensor.numel() else name
        if key not in state or tensor.shape != state[key].shape:
            raise ValueError(
                f"{name}: transformers changes this tensor as it writes it; a soup of "
                "such models is not made yet"
            )
        names[key] = name
    return {key: name for key, name in names.items() if key != name}


def build_transformers(spec: OwnSpec) -> nn.Module:
    from transformers import CONFIG_MAPPING, AutoModelForImageClassification

    config = CONFIG_MAPPING[spec.model].from_dict(spec.arguments)
    return AutoModelForImageClassification.from_config(config, dtype=torch.float32)


# torchvision.


def describe_torchvision(request: Request, stored: Stored, num_classes: int) -> Found:
    """From the arguments of the reference train.py, or the published weights' preprocessing."""
    from modelsoups.models.torchvision_towers import published

    name = request.model
    assert name
    entry = published(name)
    data = entry.transforms()
    args = stored.said.get("args")
    trained = args if isinstance(args, dict) else {}
    seen = {
        "size": trained.get("val_crop_size") or data.crop_size[0],
        "resize": trained.get("val_resize_size") or data.resize_size[0],
        "interpolation": trained.get("interpolation") or data.interpolation.value,
        "mean": data.mean,
        "std": data.std,
    }
    told = "val_crop_size" in trained  # else there are none, or those of another script
    source = "the arguments of the reference train.py" if told else f"that of {entry}"
    return Found(
        model=name,
        arguments={**request.arguments, "num_classes": num_classes},
        seen=seen,
        assumed=[f"preprocessing: {source}"],
    )


def build_torchvision(spec: OwnSpec) -> nn.Module:
    from torchvision.models import get_model

    return get_model(spec.model, **{"weights": None, **spec.arguments})


# open_clip.


def describe_open_clip(request: Request, stored: Stored, num_classes: int) -> Found:
    """The image tower of a model of open_clip, with a linear head."""
    import open_clip

    from modelsoups.models.open_clip_towers import build_open_clip, check_open_clip
    from modelsoups.models.towers import Preprocessing, TowerSpec

    assert request.model
    if request.features is None:
        raise ValueError(
            "soup.features: needed, `normalized` or `plain`; a file does not say whether its head "
            "reads the L2-normalised features (as CLIP's zero-shot head does) or those as they are"
        )
    spec = TowerSpec(library="open_clip", model=request.model, weights="random")
    check_open_clip(spec)
    tower = build_open_clip(spec)
    data = tower.preprocessing
    assert isinstance(data, Preprocessing)
    said = open_clip.get_model_config(request.model)["vision_cfg"].get("image_size", 224)
    side = data.fixed_size or (said if isinstance(said, int) else said[0])
    seen = {
        "size": side,
        "resize": side,
        "resize_mode": "squash" if data.resize_mode == "squash" else "shortest",
        "interpolation": data.interpolation,
        "mean": data.mean,
        "std": data.std,
    }
    return Found(
        model=request.model,
        arguments=dict(request.arguments),
        seen=seen,
        assumed=[f"preprocessing: that of open_clip's {request.model}"],
    )


def build_open_clip_model(spec: OwnSpec) -> nn.Module:
    from modelsoups.models.open_clip_towers import build_open_clip
    from modelsoups.models.towers import TowerSpec

    tower = build_open_clip(TowerSpec(library="open_clip", model=spec.model, weights="random"))
    return TowerWithHead(
        tower.module, tower.num_features, spec.num_classes, spec.normalized_features
    )


# A function of the user's own.


def describe_python(request: Request, stored: Stored, num_classes: int) -> Found:
    """Nothing is known but what the config says."""
    assert request.model
    return Found(model=request.model, arguments=dict(request.arguments), seen={}, assumed=[])


def build_python(spec: OwnSpec) -> nn.Module:
    return import_function(spec.model)(**spec.arguments)


@dataclass(frozen=True)
class OwnLibrary:
    """What a source of whole models can do."""

    describe: Callable[[Request, Stored, int], Found]
    build: Callable[[OwnSpec], nn.Module]


OWN_LIBRARIES = {
    "timm": OwnLibrary(describe_timm, build_timm),
    "transformers": OwnLibrary(describe_transformers, build_transformers),
    "torchvision": OwnLibrary(describe_torchvision, build_torchvision),
    "open_clip": OwnLibrary(describe_open_clip, build_open_clip_model),
    "python": OwnLibrary(describe_python, build_python),
}
