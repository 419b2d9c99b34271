"""Pools of small networks that are much alike, as files, for tests of recipes that choose."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.weights.checkpoints import write_weights
from small_pools import make_held_out


class TinyNet(nn.Module):
    """A network with BatchNorm on 4 x 4 images."""

    def __init__(self, num_classes: int = 5):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 4, num_classes)

    def forward(self, images):
        return self.head(self.norm(self.conv(images.float() / 255 - 0.5)).relu().flatten(1))


def make_pool(
    folder: Path,
    seed: int,
    num_candidates: int = 8,
    num_images: int = 150,
    spread: float = 0.3,
    batch_size: int = 16,
) -> tuple[list[Candidate], HeldOut]:
    """Perturbations of one network, some far worse, on labels that it mostly gets right."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (num_images, 4, 4, 3), dtype=np.uint8)
    model = TinyNet()
    center = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    held_out = make_held_out(model, images, np.zeros(num_images, int), batch_size=batch_size)
    labels = held_out.logits().argmax(axis=1)
    wrong = random.random(num_images) < 0.2
    labels[wrong] = random.integers(0, 5, wrong.sum())
    held_out = make_held_out(model, images, labels, batch_size=batch_size)
    candidates = []
    for k in range(num_candidates):
        scale = spread * random.choice([0.2, 0.5, 1.0])
        weights = {
            key: tensor + scale * tensor.std() * torch.randn_like(tensor)
            if key.startswith(("conv", "head"))
            else tensor
            for key, tensor in center.items()
        }
        path = folder / f"{seed}-{k}.safetensors"
        write_weights(path, weights)
        held_out.pour(weights, "it")
        logits = path.with_suffix(".parquet")
        write_logits(logits, held_out.logits(), held_out.labels, {})
        candidates.append(Candidate(name=f"{k:03}", weights=path, logits=logits))
    return candidates, held_out
