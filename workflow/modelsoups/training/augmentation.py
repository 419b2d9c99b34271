"""Training examples, augmented afresh whenever they are drawn; a class for each kind of task.

Of images: the paper's three policies by name (Appendix J.2.1), as timm computes them.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_train

from modelsoups.data.views import EncodedImages
from modelsoups.models.backbones import Classifier
from modelsoups.study.search import RunSpec


class TrainingExamples(Protocol):
    """The examples of a training set, in its order."""

    def __len__(self) -> int: ...

    def draw(self, number: int, epoch: int) -> torch.Tensor:
        """What a model of the task takes for this example, augmented for this epoch.

        Every random number comes from the global generators, which the loop has seeded.
        """
        ...


# "Minimal augmentation uses only a random crop consisting of 90%-100% of the total image area",
# "Medium is the default augmentation used by the timm library", "Strong refers to RandAugment
# (N = 2, M = 15)". timm clips a magnitude to 10, so rand-m15-n2 acts as rand-m10-n2: that is what
# the official code ran, and it is kept.
STRONG = "rand-m15-n2"
POLICIES: dict[str, dict[str, Any]] = {  # name -> options of timm's transform
    "minimal": {
        "scale": (0.9, 1.0),
        "hflip": 0.0,
        "color_jitter": None,
        "interpolation": "bicubic",
    },
    "medium": {},
    "strong": {"auto_augment": STRONG},
}


def build_augmentation(
    name: str, min_crop: float, size: int, mean: tuple[float, ...]
) -> Callable[[Image.Image], torch.Tensor]:
    """The augmentation called `name`: PIL image -> (3, size, size) uint8.

    Args:
        name: one of POLICIES, or a RandAugment policy rand-m<M>-n<N>.
        min_crop: smallest share of the image's area that a random crop keeps, except in minimal;
            timm's default, and the paper's, is 0.08.
        size: side of the result in pixels.
        mean: the backbone's mean colour in [0, 1], which fills what a rotation or shift uncovers.
    """
    options = {"scale": (min_crop, 1.0)} | POLICIES.get(name, {"auto_augment": name})
    return transforms_imagenet_train(size, mean=mean, normalize=False, **options)


class AugmentedImages:
    """Training images, each (3, size, size) uint8 when drawn."""

    def __init__(self, images: np.ndarray | EncodedImages, spec: RunSpec, model: Classifier):
        """images: (n, size, size, 3) uint8, or encoded images of any size."""
        self._images = images
        self._augment = build_augmentation(
            spec.augmentation, spec.min_crop, images.shape[1], model.mean_color
        )

    def __len__(self) -> int:
        return len(self._images)

    def draw(self, number: int, epoch: int) -> torch.Tensor:
        """Image `number`, by one policy in every epoch."""
        return self._augment(Image.fromarray(self._images[number]))


# Task of a backbone (`BackboneSpec.task`) -> its training examples, made of what the task's
# `open_training` gives (`data.tasks`), the run's hyper-parameters and its model.
AUGMENTED: dict[str, Callable[[Any, RunSpec, Classifier], TrainingExamples]] = {
    "images": AugmentedImages
}
