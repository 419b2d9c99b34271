"""A small network, perturbations of it as candidates, and specs of soups learned from them."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.registry import LearnedSpec
from modelsoups.weights.checkpoints import read_weights, write_weights
from small_pools import make_held_out

NUM_IMAGES = 60


class TinyNet(nn.Module):
    """Two blocks with BatchNorm between an embedding and a head; the blocks share a kernel."""

    def __init__(self):
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 1)
        first, second = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        second.weight = first.weight
        self.blocks = nn.Sequential(
            nn.Sequential(first, nn.BatchNorm2d(4), nn.Tanh()),
            nn.Sequential(second, nn.BatchNorm2d(4), nn.Tanh()),
        )
        self.head = nn.Linear(4 * 9, 3)

    def forward(self, images):
        return self.head(self.blocks(self.conv_stem(images.float() / 255 - 0.5)).flatten(1))


def make_pool(folder: Path, count: int = 4, spread: float = 1.0) -> tuple[list[Candidate], HeldOut]:
    """Perturbations of one network, unequal in everything, their statistics included."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (NUM_IMAGES, 3, 3, 3), dtype=np.uint8)
    held_out = make_held_out(TinyNet(), images, random.integers(0, 3, NUM_IMAGES), batch_size=20)
    model = TinyNet()
    center = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    candidates = []
    for k in range(count):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = spread * torch.randn_like(parameter) * center[name].std()
                parameter.copy_(center[name] + noise)
        for name, buffer in model.named_buffers():
            if "running" in name:
                middle = float(name.endswith("var"))
                buffer.uniform_(middle - 0.5 * spread, middle + 0.5 * spread)
        path = folder / f"{k}.safetensors"
        write_weights(path, dict(model.state_dict()))
        held_out.pour(read_weights(path), "it")
        logits = path.with_suffix(".parquet")
        write_logits(logits, held_out.logits(), held_out.labels, {})
        candidates.append(Candidate(name=f"{k:03}", weights=path, logits=logits))
    return candidates, held_out


def group_by_hand(per: str, key: str) -> str:
    key = key.replace("blocks.1.0.weight", "blocks.0.0.weight")  # they are tied
    layers = {"conv_stem": "embedding", "head": "head"}
    return {
        "model": "model",
        "layer": layers.get(key.split(".")[0]) or ".".join(key.split(".")[:3]),
        "tensor": key,
    }[per]


def spec_for(per="model", constraint="softmax", resident=True, **fields) -> LearnedSpec:
    size = 1.0 if resident else 0.0
    return LearnedSpec(
        coefficients_per=per,
        constraint=constraint,
        resident_gib=size,
        **{"batch_size": 25, **fields},
    )


TURNS = spec_for("layer", "affine", models_at_a_time=2)
