"""Evaluation: one pass of a model over images gives logits; every metric comes later, from them."""

from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

from modelsoups.views import ViewOnRead


def pick_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def predict(
    forward: Callable[[torch.Tensor], torch.Tensor],
    images: np.ndarray | ViewOnRead,
    batch_size: int,
    device: torch.device,
    label: str = "",
) -> np.ndarray:
    """Outputs (n, d) float32 of a model (or of its `features`) on images (n, H, W, 3) uint8.

    The caller puts the model into evaluation mode and onto `device`. Computed in float32: a
    GPU's TF32 stays off, as torch has it by default.
    """
    outputs = []
    starts = range(0, len(images), batch_size)
    for start in tqdm(starts, desc=label, unit="batch", leave=False, disable=None):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        outputs.append(forward(batch.permute(0, 3, 1, 2)).cpu())  # (b, 3, H, W), channels last
    return torch.cat(outputs).numpy()
