"""A pool of three candidates of a linear classifier, as files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.pool import HeldOut
from modelsoups.weights.checkpoints import write_weights
from small_pools import make_held_out


class Pixels(nn.Module):
    """A linear classifier of 2 x 2 images, normalised."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(12, 3)

    def forward(self, images):
        return self.head(self.norm(images.float() / 255).flatten(1))


@dataclass
class Pool:
    """Candidates and 40 held-out images in a folder; `fill` writes their logits."""

    folder: Path
    held_out: HeldOut
    states: dict[str, dict[str, torch.Tensor]]  # name -> weights

    def fill(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Take other images or labels, with the candidates' logits on them."""
        self.held_out = make_held_out(Pixels(), pixels, labels, batch_size=8)
        for name, array in (("examples", pixels), ("labels", labels)):
            np.save(self.folder / f"{name}.npy", array)
        for name, weights in self.states.items():
            write_weights(self.folder / f"{name}.safetensors", weights)
            self.held_out.pour(weights, name)
            write_logits(self.logits(name), self.held_out.logits(), labels, {})

    def logits(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def arguments(self, output: str = "soup") -> dict[str, Any]:
        """Arguments of `cook`."""
        return {
            "model": "soup",
            "sweep": "search",
            "names": list(self.states),
            "weights": [self.folder / f"{name}.safetensors" for name in self.states],
            "logits": [self.logits(name) for name in self.states],
            "held_out": self.held_out,
            "held_out_files": [self.folder / "examples.npy", self.folder / "labels.npy"],
            "output": self.folder / output / "weights.safetensors",
            "record": self.folder / output / "record.json",
            "cost": self.folder / output / "cost.json",
        }


@pytest.fixture
def pool(tmp_path) -> Pool:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    states = {name: Pixels().state_dict() for name in ("initialization", "000", "grid-2")}
    images = random.integers(0, 256, (40, 2, 2, 3), dtype=np.uint8)
    held_out = make_held_out(Pixels(), images, np.zeros(40, int), batch_size=8)
    made = Pool(folder=tmp_path, held_out=held_out, states=states)
    made.fill(images, random.integers(0, 3, 40))
    return made
