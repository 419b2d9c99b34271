"""Training examples, augmented afresh whenever they are drawn; a class for each kind of task.

Of images: the paper's policies by name (Appendices J.2, C and L), as timm computes them.
"""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

import random
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_train
from torchvision.transforms import Compose

from modelsoups.data.texts import count_tokens
from modelsoups.data.views import EncodedImages
from modelsoups.models.backbones import Classifier
from modelsoups.study.search import RunSpec
from modelsoups.training.drawn import cut_out, recorder
from modelsoups.training.pixels import augment


class AugmentedExamples(Protocol):
    """The examples of a training set, in its order."""

    def __len__(self) -> int: ...

    def lengths(self) -> np.ndarray:
        """How much of a batch each example takes, (n,) integers."""
        ...

    def draw(self, number: int, epoch: int) -> Any:
        """This example for this epoch, as a tensor or several.

        Every random number comes from the global generators, which the loop has seeded.
        """
        ...

    def ready(self, drawn: Any, device: torch.device) -> torch.Tensor:
        """What a model of the task takes, on its device, for a batch of what `draw` gives."""
        ...


# "Minimal augmentation uses only a random crop consisting of 90%-100% of the total image area",
# "Medium is the default augmentation used by the timm library", "Strong refers to RandAugment
# (N = 2, M = 15)". timm clips a magnitude to 10, so rand-m15-n2 acts as rand-m10-n2: that is what
# the official code ran, and it is kept.
# Appendix C draws (num_layers, magnitude) up to (2, 25) and calls it AutoAugment, whose own policy
# has neither; the numbers are those of RandAugment in the AutoAugment authors' code, which clips
# nothing: rand-m25-n2-mmax25.
STRONG = "rand-m15-n2"
POLICIES: dict[str, dict[str, Any]] = {  # name -> options of timm's transform
    # "No aug" of distillation (Table L.1): the square in the middle, which a random crop of all of
    # the area falls back to.
    "none": {
        "scale": (1.0, 1.0),
        "ratio": (1.0, 1.0),
        "hflip": 0.0,
        "color_jitter": None,
        "interpolation": "bicubic",
    },
    "minimal": {
        "scale": (0.9, 1.0),
        "hflip": 0.0,
        "color_jitter": None,
        "interpolation": "bicubic",
    },
    "medium": {},
    "strong": {"auto_augment": STRONG},
    # "Random crops and flips [...] without additional augmentation" (Appendix C).
    "crop": {"color_jitter": None},
    "autoaugment": {"auto_augment": "original"},
}
# Policies made of others (Appendix L): name -> those that an image is given, at random, in an epoch
# before the last and in the last.
STRENGTHS = ("minimal", "medium", "strong")
MIXED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "stochastic": (STRENGTHS, STRENGTHS),
    "fix-aug": (("strong",), ("minimal",)),
}


def build_augmentation(
    name: str, min_crop: float, size: int, mean: tuple[float, ...], crop_ratio: float = 4 / 3
) -> Compose:
    """The augmentation called `name`: PIL image -> (3, size, size) uint8.

    Args:
        name: one of POLICIES, or a RandAugment policy rand-m<M>-n<N> or rand-m<M>-n<N>-mmax<X>.
        min_crop: smallest share of the image's area that a random crop keeps, except in none and
            minimal; timm's default, and the paper's, is 0.08.
        size: side of the result in pixels.
        mean: the backbone's mean colour in [0, 1], which fills what a rotation or shift uncovers.
        crop_ratio: largest ratio of width to height of a random crop; the smallest is its inverse.
    """
    crop = {"scale": (min_crop, 1.0), "ratio": (1 / crop_ratio, crop_ratio)}
    options = crop | POLICIES.get(name, {"auto_augment": name})
    return transforms_imagenet_train(size, mean=mean, normalize=False, **options)


def fill_color(mean: tuple[float, ...]) -> tuple[int, ...]:
    """The levels of a mean colour, as timm fills with it."""
    return tuple(min(255, round(255 * each)) for each in mean)


def fixed_size_of(model: Classifier) -> int | None:
    """Side in pixels of the images that a model reads, if it reads one size alone."""
    return getattr(model.preprocessing, "fixed_size", None)  # language models have none


class AugmentedImages:
    """Training images, each (3, size, size) uint8 when drawn."""

    def __init__(self, images: np.ndarray | EncodedImages, spec: RunSpec, model: Classifier):
        """The augmented images of a run.

        Args: images: (n, size, size, 3) uint8, or encoded images of any size.
        Raises: ValueError if the model reads images of another size than the run's alone.
        """
        size = spec.train_size or images.shape[1]
        if spec.train_size and (fixed := fixed_size_of(model)) not in (None, size):
            raise ValueError(
                f"train_size: the backbone reads images of {fixed} "
                f"pixels alone, got {size}; leave it out"
            )
        before, last = MIXED.get(spec.augmentation, ((spec.augmentation,), (spec.augmentation,)))
        made = {
            name: build_augmentation(name, spec.min_crop, size, model.mean_color, spec.crop_ratio)
            for name in {*before, *last}
        }
        self._images, self._last_epoch, self._size = images, spec.epochs - 1, size
        self._before, self._last = [made[name] for name in before], [made[name] for name in last]

    def __len__(self) -> int:
        return len(self._images)

    def lengths(self) -> np.ndarray:
        """Ones (n,): images are of one size."""
        return np.ones(len(self), int)

    def policy(self, epoch: int) -> Compose:
        """A policy of an epoch; of several one is drawn."""
        policies = self._last if epoch == self._last_epoch else self._before
        return random.choice(policies) if len(policies) > 1 else policies[0]

    def draw(self, number: int, epoch: int) -> Any:
        """Image `number`, by a policy of its epoch: (3, size, size) uint8."""
        return self.policy(epoch)(Image.fromarray(self._images[number]))

    def ready(self, drawn: Any, device: torch.device) -> torch.Tensor:
        """A batch of images, on the device."""
        return drawn.to(device, non_blocking=True)


class ImagesAugmentedThere(AugmentedImages):
    """Training images that are augmented in batches on the model's device, by the same draws.

    Workers only read pixels and draw. Images that are decoded whenever they are read are of all
    sizes: they are cropped and resized where they are decoded, and get the rest on the device.
    """

    def __init__(self, images: np.ndarray | EncodedImages, spec: RunSpec, model: Classifier):
        """As of AugmentedImages."""
        super().__init__(images, spec, model)
        self._record = recorder([*self._before, *self._last])
        self._fill = fill_color(model.mean_color)

    def draw(self, number: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels (H, W, 3) uint8 of image `number`, and the row of what is done to it."""
        pixels = np.array(self._images[number])  # an array on disk cannot be written to
        row = self._record(self.policy(epoch), *pixels.shape[:2])
        if isinstance(self._images, EncodedImages):
            pixels = cut_out(pixels, row, self._size)
        return torch.from_numpy(pixels), torch.from_numpy(row)

    def ready(self, drawn: tuple[torch.Tensor, torch.Tensor], device: torch.device) -> torch.Tensor:
        """A batch of augmented images, on the device."""
        pixels, rows = drawn
        pixels = pixels.to(device, non_blocking=True)
        return augment(pixels, rows, self._size, self._fill)


def augmented_images(
    images: np.ndarray | EncodedImages, spec: RunSpec, model: Classifier
) -> AugmentedImages:
    """The training images of a run, augmented where its hyper-parameters say."""
    kind = ImagesAugmentedThere if spec.augment_on_device else AugmentedImages
    return kind(images, spec, model)


class PlainTexts:
    """Training texts, each (width,) int64 tokens when drawn: none is augmented."""

    def __init__(self, tokens: np.ndarray, spec: RunSpec, model: Classifier):
        """tokens: (n, width) int32, then `PADDING`."""
        self._tokens = tokens

    def __len__(self) -> int:
        return len(self._tokens)

    def lengths(self) -> np.ndarray:
        """The number of tokens of each text, (n,)."""
        return count_tokens(self._tokens)

    def draw(self, number: int, epoch: int) -> torch.Tensor:
        """Text `number`, the same in every epoch; the model cuts a batch to its longest."""
        return torch.from_numpy(self._tokens[number].astype(np.int64))

    def ready(self, drawn: torch.Tensor, device: torch.device) -> torch.Tensor:
        """A batch of texts, on the device."""
        return drawn.to(device, non_blocking=True)


# Task of a backbone (`BackboneSpec.task`) -> its training examples, made of what the task's
# `open_training` gives (`data.tasks`), the run's hyper-parameters and its model.
AUGMENTED: dict[str, Callable[[Any, RunSpec, Classifier], AugmentedExamples]] = {
    "images": augmented_images,
    "text": PlainTexts,
}
