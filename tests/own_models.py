"""Small real models of several libraries, random weights, saved by the libraries' own functions."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from modelsoups.models.ingredients import check_ingredients, take_over
from modelsoups.models.own import OwnSpec, Request, build, describe
from modelsoups.soups.own import export
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import Weights, write_weights
from modelsoups.weights.stored import Stored

CLASSES = ("cat", "dog", "owl")


@dataclass
class Cooked:
    """A soup of models made elsewhere, and its export."""

    soup: Weights  # under the study's names
    model: nn.Module
    spec: OwnSpec
    written: list[Path]
    hashes: dict[str, str]


def cook(models: dict[str, Stored], request: Request, folder: Path) -> Cooked:
    """The uniform soup of models with these classes, exported to `soup` in a folder."""
    spec = describe(request, next(iter(models.values())), CLASSES)
    model = build(spec)
    check_ingredients(models, spec, model)
    soup = average([take_over(each, spec, model) for each in models.values()])
    folder.mkdir()
    write_weights(folder / "soup.safetensors", soup)
    record = {
        "recipe": {"kind": "uniform"},
        "ingredients": [*models],
        "coefficients": [1 / len(models)] * len(models),
        "held_out_accuracy": 0.5,
    }
    hashes = dict.fromkeys(models, "0" * 64)
    written = export(spec, record, folder / "soup.safetensors", models, hashes, folder / "soup")
    return Cooked(soup, model, spec, written, hashes)


def build_net() -> nn.Module:
    """What a user's `package.module:function` builds."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, len(CLASSES)),
    )


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """A model whose weights, statistics too, depend on the seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build().eval()
        for name, tensor in model.state_dict().items():
            if "running" in name:
                tensor.copy_(torch.rand_like(tensor) + 0.5)
    return model


def save_timm_file(folder: Path, seed: int) -> Path:
    """A plain state dict of timm in a safetensors file."""
    model = seeded(seed, lambda: timm.create_model("test_resnet", num_classes=3))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


def save_timm_train(folder: Path, seed: int) -> Path:
    """A checkpoint as timm's train.py writes it, of a model that was compiled and distributed."""
    from timm.utils import CheckpointSaver

    model = seeded(seed, lambda: timm.create_model("test_efficientnet", num_classes=3))
    args = argparse.Namespace(
        model="test_efficientnet",
        mean=[0.5, 0.5, 0.5],
        std=None,
        crop_pct=0.8,
        interpolation="",
        img_size=64,
        gp=None,
        model_kwargs={},
    )
    optimizer = torch.optim.AdamW(model.parameters())
    saver = CheckpointSaver(model, optimizer, args=args, checkpoint_dir=str(folder))
    saver.save_checkpoint(0, metric=0.5)
    return folder / "last.pth.tar"


def save_timm_folder(folder: Path, seed: int) -> Path:
    """A folder as timm writes it for the hub."""
    from timm.models import save_for_hf

    model = seeded(seed, lambda: timm.create_model("test_vit", num_classes=3, img_size=64))
    save_for_hf(model, folder, model_config={"label_names": list(CLASSES)}, safe_serialization=True)
    return folder


def save_transformers(folder: Path, seed: int, names: Sequence[str] = CLASSES) -> Path:
    """A sharded folder of transformers, as a Trainer leaves it."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )
    model = seeded(seed, lambda: ViTForImageClassification(config))
    model.save_pretrained(folder, max_shard_size="10KB")
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    torch.save({"state": {}}, folder / "optimizer.pt")
    return folder


def save_torchvision(folder: Path, seed: int) -> Path:
    """A checkpoint as torchvision's reference script writes it."""
    model = seeded(seed, lambda: torchvision.models.get_model("shufflenet_v2_x0_5", num_classes=3))
    torch.save(
        {"model": model.state_dict(), "epoch": 1, "args": argparse.Namespace(model="x")},
        folder / "model_1.pth",
    )
    return folder / "model_1.pth"


def save_lightning(folder: Path, seed: int) -> Path:
    """A checkpoint in Lightning's form: the model under an attribute, a metric's weights beside."""
    model = seeded(seed, build_net)
    state = {f"net.{key}": tensor for key, tensor in model.state_dict().items()}
    torch.save(
        {
            "state_dict": {**state, "loss.weight": torch.full((3,), float(seed))},
            "pytorch-lightning_version": "2.5.0",
            "hyper_parameters": {"lr": 0.1},
            "optimizer_states": [],
        },
        folder / "best.ckpt",
    )
    return folder / "best.ckpt"


def save_clip(folder: Path) -> Path:
    """A folder of open_clip for the hub: a small CLIP with both towers, without a tokenizer."""
    from open_clip.model import CLIP
    from open_clip.push_to_hf_hub import save_config_for_hf

    config = {
        "embed_dim": 16,
        "vision_cfg": {
            **{"image_size": 32, "layers": 1, "width": 32},
            **{"patch_size": 16, "head_width": 16},
        },
        "text_cfg": {"width": 16, "heads": 2, "layers": 1},
    }
    model = seeded(0, lambda: CLIP(**config))
    model.visual.image_mean, model.visual.image_std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    folder.mkdir(parents=True)
    save_config_for_hf(model, folder / "open_clip_config.json", config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


class ImageClassifier(nn.Module):
    """CLIP and a linear head on normalised features, as the code of WiSE-FT and others has them."""

    def __init__(self, clip: nn.Module):
        super().__init__()
        self.model = clip
        self.classification_head = nn.Linear(16, len(CLASSES))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.classification_head(self.model.encode_image(pixels, normalize=True))


def build_clip_classifier(folder: Path) -> nn.Module:
    import open_clip

    return ImageClassifier(open_clip.create_model(f"local-dir:{folder}")).eval()


def save_clip_classifier(path: Path, folder: Path, seed: int) -> Path:
    """The state dict of a fine-tuned CLIP, both towers in half precision, as OpenAI's are."""
    model = build_clip_classifier(folder).half()
    generator = torch.Generator().manual_seed(seed)
    for tensor in model.state_dict().values():
        tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator).half())
    torch.save(model.state_dict(), path)
    return path


def save_base(folder: Path) -> Path:
    """A pre-trained model of transformers with classes of its own, and its processor."""
    return save_transformers(folder, 0, [f"class-{number}" for number in range(7)])


def save_adapter(folder: Path, base: Path, seed: int, **options: Any) -> nn.Module:
    """An adapter with a head for the classes, as PEFT writes it; the model with it, unmerged.

    Args: options: of LoraConfig. Factors and head are random.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageClassification

    model = AutoModelForImageClassification.from_pretrained(
        base, num_labels=len(CLASSES), ignore_mismatched_sizes=True
    )
    config = LoraConfig(
        **{
            "target_modules": ["q_proj", "v_proj"],
            "modules_to_save": ["classifier"],
            "init_lora_weights": False,
            **options,
        }
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(model, config).eval()
        for name, tensor in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                nn.init.normal_(tensor, std=0.5)
    adapted.save_pretrained(folder)
    return adapted
