"""Small networks that are really trained on the shipped emoji, well and in wrong ways.

A network of 80,000 parameters with BatchNorm learns the eight groups of emoji at 24 pixels, from
one vendor's drawings (the start), and is fine-tuned from there on three others', as plain code
would: BatchNorm's statistics follow the training images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

from modelsoups.data.examples import Images
from modelsoups.data.reading import to_rgb
from modelsoups.diagnosis.diagnose import Known
from modelsoups.diagnosis.held_out import estimate_on, evaluate_on, scores_of
from modelsoups.diagnosis.trials import Evaluate
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.soups.pool import HeldOut
from modelsoups.weights.average import estimate_statistics
from modelsoups.weights.checkpoints import Weights

EMOJI = Path(__file__).parents[1] / "resources/emoji/emoji.parquet"
STYLES = ("noto", "twemoji", "fxemoji", "emojione-v1")
SIZE = 24  # pixels


class Block(nn.Module):
    def __init__(self, width: int, out: int):
        super().__init__()
        self.conv = nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, images):
        return self.norm(self.conv(images)).relu()


class Network(nn.Module):
    """Images (b, 3, H, W) in [0, 255] to logits (b, num_classes)."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.blocks = nn.Sequential(Block(3, 16), Block(16, 32), Block(32, 64), Block(64, 96))
        self.head = nn.Linear(96, num_classes)

    def forward(self, images):
        features = self.blocks(images.float() / 128 - 1).mean(dim=(2, 3))
        return self.head(features)


@dataclass(frozen=True)
class Emoji:
    """Drawings of some vendors and one split."""

    pixels: np.ndarray  # (n, 24, 24, 3) uint8
    labels: np.ndarray  # (n,) int64: groups


def read_emoji(table: pd.DataFrame, split: str, styles: tuple[str, ...]) -> Emoji:
    part = table[(table["split"] == split) & table["style"].isin(styles)]
    pixels = [
        np.asarray(to_rgb(Image.open(BytesIO(image["bytes"]))).resize((SIZE, SIZE)))
        for image in part["image"]
    ]
    return Emoji(np.stack(pixels), part["label"].to_numpy(copy=True))


class Kitchen:
    """The data, and the training of one network on them."""

    def __init__(self) -> None:
        table = pd.read_parquet(EMOJI, columns=["image", "style", "split", "group"])
        groups = sorted(table["group"].unique())
        table["label"] = table["group"].map(groups.index).astype(np.int64)
        self.num_classes = len(groups)
        self.parts = {style: read_emoji(table, "train", (style,)) for style in STYLES}
        self.examples = read_emoji(table, "held-out", STYLES)

    def train(
        self,
        start: Weights | None,
        *,
        seed: int,
        lr: float = 0.02,
        epochs: int = 3,
        styles: tuple[str, ...] = STYLES[1:],
        labels: np.ndarray | None = None,
        size: int = SIZE,
        new_head: bool = False,
        decay: bool = True,
    ) -> Weights:
        """SGD with momentum, from weights or from a random start of that seed.

        Args: labels: from a class to the one it is called; size: of the images, in
            pixels; decay: of the learning rate, by a cosine to zero.
        """
        torch.manual_seed(seed)
        model = Network(self.num_classes)
        if start is not None:
            model.load_state_dict(start)
        if new_head:
            nn.init.normal_(model.head.weight, std=0.1)
        pixels = np.concatenate([self.parts[style].pixels for style in styles])
        classes = np.concatenate([self.parts[style].labels for style in styles])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        if size != SIZE:
            images = nn.functional.interpolate(images, size=(size, size), mode="bilinear")
        targets = torch.from_numpy(classes if labels is None else labels[classes])
        optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=1e-4)
        steps = epochs * (len(images) // 64)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
        model.train()
        for _ in range(epochs):
            for batch in torch.randperm(len(images)).split(64)[:-1]:
                by = torch.randint(-2, 3, (2,)).tolist()
                shifted = torch.roll(images[batch], by, (2, 3))
                loss = cross_entropy(model(shifted), targets[batch], label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if decay:
                    schedule.step()
        return {key: tensor.clone() for key, tensor in model.state_dict().items()}

    @cached_property
    def held_out(self) -> HeldOut:
        evaluator = Evaluator(Network(self.num_classes), batch_size=256, fill=False)
        return HeldOut(evaluator, Images(self.examples.pixels), self.examples.labels)

    @cached_property
    def start(self) -> Weights:
        return self.train(None, seed=0, lr=0.1, epochs=8, styles=STYLES[:1])

    @cached_property
    def good(self) -> dict[str, Weights]:
        """Five runs that make a good soup."""
        return {f"run{seed}": self.train(self.start, seed=seed) for seed in range(1, 6)}

    @cached_property
    def stranger(self) -> Weights:
        """A run from another start."""
        other = self.train(None, seed=9, lr=0.1, epochs=8, styles=STYLES[:1])
        return self.train(other, seed=5)

    @cached_property
    def diverged(self) -> Weights:
        return self.train(self.start, seed=5, lr=3.0)

    @cached_property
    def near(self) -> dict[str, Weights]:
        """Three runs that hardly leave the start."""
        seeds = range(3)
        return {f"near{s}": self.train(self.start, seed=s, lr=1e-4, epochs=1) for s in seeds}

    def logits(self, weights: Weights) -> np.ndarray:
        self.held_out.pour(weights, "it")
        return self.held_out.logits()

    def with_statistics_at(self, weights: Weights, size: int) -> Weights:
        """Weights with the BatchNorm statistics of training images at another size."""
        model = Network(self.num_classes)
        model.load_state_dict(weights)
        pixels = torch.from_numpy(self.parts["fxemoji"].pixels).permute(0, 3, 1, 2).float()
        images = nn.functional.interpolate(pixels, size=(size, size), mode="bilinear")
        return weights | estimate_statistics(model, images.split(64)[:-1])

    @cached_property
    def evaluate(self) -> Evaluate:
        return evaluate_on(self.held_out)

    @cached_property
    def estimate(self) -> Callable[[Weights], Weights]:
        return estimate_on(self.held_out)

    def known(self, pool: dict[str, Weights]) -> Known:
        """What the workflow has of stored logits: predictions, and ensembles of some models."""
        logits = {name: self.logits(weights) for name, weights in pool.items()}
        labels = self.held_out.labels
        return Known(
            predictions={name: each.argmax(axis=1) for name, each in logits.items()},
            labels=labels,
            ensemble=lambda names: scores_of(np.mean([logits[n] for n in names], axis=0), labels),
        )
