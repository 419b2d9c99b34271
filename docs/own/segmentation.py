"""A soup of segmentation networks, chosen by mean intersection over union: a worked example.

`python segmentation.py` draws pictures of discs and squares, trains a small network on them, and
fine-tunes it four times: runs/0.pt to runs/3.pt. `segmentation.yaml` names `build` and `mean_iou`.
None of it uses this project.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

CLASSES = 3  # ground, disc, square
SIDE = 32  # pixels


def build() -> nn.Module:
    """A network from pictures (b, 3, SIDE, SIDE) to logits (b, CLASSES, SIDE, SIDE)."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=4, dilation=4),
        nn.ReLU(),
        nn.Conv2d(16, CLASSES, 1),
    )


def mean_iou(model: nn.Module, path: str) -> np.ndarray:
    """Of each picture of a file the intersection over union, the mean over its classes: (n,)."""
    data = np.load(path)
    device = next(model.parameters()).device
    pictures = torch.from_numpy(data["pictures"]).to(device)
    said = torch.cat([model(part).argmax(dim=1) for part in pictures.split(64)]).cpu().numpy()
    masks = data["masks"]
    ious = []
    for label in range(CLASSES):
        here, there = said == label, masks == label
        union = (here | there).sum(axis=(1, 2))
        found = (here & there).sum(axis=(1, 2)) / np.maximum(union, 1)
        ious.append(np.where(union > 0, found, np.nan))
    return np.nanmean(ious, axis=0)


def draw(count: int, seed: int, noise: float) -> dict[str, np.ndarray]:
    """Pictures (n, 3, SIDE, SIDE) float32 with a disc and a square, and masks (n, SIDE, SIDE)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    masks = np.zeros((count, SIDE, SIDE), np.int64)
    for mask in masks:
        for label in (1, 2):
            (row, column), size = rng.integers(4, SIDE - 4, 2), rng.integers(3, 8)
            disc = (y - row) ** 2 + (x - column) ** 2 <= size**2
            square = np.maximum(abs(y - row), abs(x - column)) < size
            mask[disc if label == 1 else square] = label
    usual = np.array([[0.5, 0.5, 0.5], [0.7, 0.4, 0.4], [0.4, 0.4, 0.7]])
    colours = usual + rng.normal(0, 0.1, (count, CLASSES, 3))
    pictures = np.take_along_axis(colours, masks.reshape(count, -1, 1), axis=1)
    pictures = pictures.reshape(count, SIDE, SIDE, 3).transpose(0, 3, 1, 2)
    pictures = pictures + rng.normal(0, noise, pictures.shape)
    return {"pictures": pictures.astype(np.float32), "masks": masks}


def train(model: nn.Module, data: dict[str, np.ndarray], epochs: int, lr: float) -> None:
    """Fit the model, all pictures an epoch, in an order of torch's."""
    pictures, masks = (torch.from_numpy(data[key]) for key in ("pictures", "masks"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for _ in range(epochs):
        for chosen in torch.randperm(len(pictures)).split(16):
            optimizer.zero_grad()
            cross_entropy(model(pictures[chosen]), masks[chosen]).backward()
            optimizer.step()


def main() -> None:
    for folder in ("data", "runs"):
        Path(folder).mkdir(exist_ok=True)
    for seed, name in enumerate(("val", "test"), start=1):
        np.savez(f"data/{name}.npz", **draw(200, seed, noise=0.2))  # type: ignore[arg-type]
    torch.manual_seed(0)
    start = build()
    train(start, draw(400, 3, noise=0.05), epochs=6, lr=0.01)
    for seed, lr in enumerate((0.002, 0.004, 0.008, 0.016)):
        torch.manual_seed(seed)
        model = build()
        model.load_state_dict(start.state_dict())
        train(model, draw(200, 10, noise=0.2), epochs=5, lr=lr)
        torch.save(model.state_dict(), f"runs/{seed}.pt")
        print(f"runs/{seed}.pt: {mean_iou(model.eval(), 'data/val.npz').mean():.4f}")


if __name__ == "__main__":
    main()
