"""Training-time augmentation under the paper's three names (Appendix J.2.1)."""

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_train

# "Minimal augmentation uses only a random crop consisting of 90%-100% of the total image area",
# "Medium is the default augmentation used by the timm library", "Strong refers to RandAugment
# (N = 2, M = 15)". timm clips a magnitude to 10, so rand-m15-n2 acts as rand-m10-n2: that is what
# the official code ran, and it is kept.
STRONG = "rand-m15-n2"


def build_augmentation(
    name: str, min_crop: float, size: int, mean: tuple[float, ...]
) -> Callable[[Image.Image], torch.Tensor]:
    """The augmentation called `name`: PIL image -> (3, size, size) uint8.

    Args:
        name: minimal, medium, strong, or a RandAugment policy rand-m<M>-n<N>.
        min_crop: smallest share of the image's area that a random crop keeps, except in minimal;
            timm's default, and the paper's, is 0.08.
        size: side of the result in pixels.
        mean: the backbone's mean colour in [0, 1], which fills what a rotation or shift uncovers.
    """
    options: dict[str, Any] = {"scale": (min_crop, 1.0)}
    if name == "minimal":
        options = {
            "scale": (0.9, 1.0),
            "hflip": 0.0,
            "color_jitter": None,
            "interpolation": "bicubic",
        }
    elif name != "medium":
        options["auto_augment"] = STRONG if name == "strong" else name
    return transforms_imagenet_train(size, mean=mean, normalize=False, **options)
