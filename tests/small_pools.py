"""Held-out sets that tests of soups share."""

import numpy as np
from torch import nn

from modelsoups.data.examples import Images
from modelsoups.evaluation.evaluator import Evaluator
from modelsoups.soups.pool import HeldOut


def make_held_out(
    model: nn.Module, pixels: np.ndarray, labels: np.ndarray, batch_size: int = 64
) -> HeldOut:
    """Images (n, H, W, 3) uint8 with labels (n,), and a model on the CPU."""
    return HeldOut(Evaluator(model, batch_size=batch_size), Images(pixels), labels)
