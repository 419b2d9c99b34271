"""The memory of soups of many large models: uniform, greedy and learned soups of 72 ViT-B/32.

Learned soups are streamed, and of four models at a time ("turns").

Each is cooked in a process of its own; its peak memory, less what it has before (Python, torch, the
module that is evaluated), is given in models of 88 M parameters in float32. The files are
`--distinct` different ones, each linked as often as needed. What is held out is a handful of random
pictures with random labels: memory is measured here, not accuracy. Nothing is rejected early.
Run `python benchmarks/pool_memory.py`: some minutes, and 2 GB in a temporary folder.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from common import machine, run_alone
from torch import nn

from modelsoups.base.progress import Trace
from modelsoups.data.examples import Images
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.evaluation.logits import write_logits
from modelsoups.soups.costs import peak_memory
from modelsoups.soups.pool import Candidate, HeldOut
from modelsoups.soups.recipes import RECIPES, function_of, parse_recipe
from modelsoups.weights.checkpoints import write_weights

NAME, NUM_CLASSES = "vit_base_patch32_clip_224", 10
RECIPE: dict[str, dict[str, Any]] = {
    "uniform": {"kind": "uniform"},
    "greedy": {"kind": "greedy", "early_rejection": False},
    "learned": {"kind": "learned", "epochs": 1, "batch_size": 4, "resident_gib": 0},
    "turns": {
        **{"kind": "learned", "epochs": 1, "batch_size": 4},
        **{"constraint": "affine", "models_at_a_time": 4},
    },
}


class Model(nn.Module):
    """timm's ViT-B/32 on images (b, 3, 224, 224) uint8."""

    def __init__(self):
        super().__init__()
        self.model = timm.create_model(NAME, num_classes=NUM_CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images.float() / 255)


def make_pool(folder: Path, count: int, distinct: int) -> tuple[int, float]:
    """Write `count` candidates with their logits; parameters and MiB of one."""
    torch.manual_seed(0)
    state = {key: tensor.detach().clone() for key, tensor in Model().state_dict().items()}
    for k in range(distinct):
        for tensor in state.values():
            tensor += 1e-4 * torch.randn(tensor.shape)
        write_weights(folder / f"distinct-{k}.safetensors", state)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, NUM_CLASSES, 4)
    for k in range(count):
        os.link(folder / f"distinct-{k % distinct}.safetensors", folder / f"{k:03d}.safetensors")
        logits = rng.normal(size=(4, NUM_CLASSES)).astype(np.float32)
        write_logits(folder / f"{k:03d}.parquet", logits, labels, {})
    np.savez(folder / "held-out.npz", labels=labels)
    size = sum(tensor.nbytes for tensor in state.values()) / 2**20
    return sum(tensor.numel() for tensor in state.values()), size


def cook(folder: Path, recipe: str, count: int) -> dict[str, float]:
    """Cook one soup; the process's MiB before and at its peak, and how many ingredients it has."""
    held_out = HeldOut(
        Evaluator(Model(), batch_size=4),
        Images(np.random.default_rng(1).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)),
        np.load(folder / "held-out.npz")["labels"],
    )
    names = [f"{k:03d}" for k in range(count)]
    candidates = [
        Candidate(name=n, weights=folder / f"{n}.safetensors", logits=folder / f"{n}.parquet")
        for n in names
    ]
    held_out.logits()  # what the forward pass itself takes is there before
    before = peak_memory()
    config = RECIPE[recipe]
    function = function_of(RECIPES[config["kind"]])
    soup = function(parse_recipe(config), candidates, held_out, Trace(None, None), None)
    write_weights(folder / f"{recipe}.safetensors", soup.weights)
    mib = 1e6 / 2**20
    return {
        "before": before * mib,
        "peak": peak_memory() * mib,
        "ingredients": len(soup.ingredients),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=72)
    parser.add_argument("--distinct", type=int, default=4)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPE))
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numel, size = make_pool(folder, args.models, args.distinct)
        print(f"{args.models} models of {numel / 1e6:.0f} M parameters, {size:.0f} MiB each")
        for recipe in args.recipes:
            run = run_alone(cook, folder, recipe, args.models)
            found = run.result
            print(
                f"{recipe:8s} {(found['peak'] - found['before']) / size:.2f} models beside the one "
                f"that is evaluated ({found['peak']:.0f} MiB at the peak, {found['before']:.0f} "
                f"before), {found['ingredients']} ingredients, {run.seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
