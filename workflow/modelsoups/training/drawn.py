"""What timm's augmentation draws for an image, as a row of numbers instead of doing it.

The random numbers are drawn from the same generators in the same order as by timm itself, so that a
row says which box, flip and operations the image would be given. `training.pixels` does what rows
say, for a batch at once.
"""

import modelsoups.models.without_compiler  # noqa: F401  # isort: skip

import random
from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.auto_augment import AugmentOp, AutoAugment, RandAugment
from timm.data.transforms import MaybePILToTensor, RandomResizedCropAndInterpolation
from torchvision.transforms import ColorJitter, Compose, InterpolationMode, RandomHorizontalFlip
from torchvision.transforms.functional import resized_crop

# A row: the box's top, left, height and width, whether it is resized by bicubic interpolation
# (else bilinear), whether it is flipped; then for each operation, in their order, its number in
# OPERATIONS, its argument, and whether it interpolates bicubically.
CROP = 6
OPERATION = 3
MOVES = ("rotate", "shear_x", "shear_y", "translate_x_rel", "translate_y_rel")  # interpolate
OPERATIONS = (
    "nothing",
    "auto_contrast",
    "equalize",
    "invert",
    "posterize",
    "solarize",
    "solarize_add",
    "brightness",
    "contrast",
    "color",
    "sharpness",
    *MOVES,
)
JITTER = ("brightness", "contrast", "color")  # as torchvision's ColorJitter numbers them

Row = list[float]
Note = Callable[[Row, int, int], Any]  # adds to the row of an image of this height and width


def recorder(policies: Sequence[Compose]) -> Callable[[Compose, int, int], np.ndarray]:
    """A function of one of the policies and an image's height and width: the row (length,) float64
    of what it draws; of one length for all policies."""
    notes = {
        id(policy): [NOTES[type(each)](each) for each in policy.transforms] for policy in policies
    }
    length = CROP + OPERATION * max(map(num_operations, policies))

    def draw(policy: Compose, height: int, width: int) -> np.ndarray:
        row: Row = []
        for note in notes[id(policy)]:
            note(row, height, width)
        return np.array(row + [0.0] * (length - len(row)), np.float64)

    return draw


def cut_out(pixels: np.ndarray, row: np.ndarray, size: int) -> np.ndarray:
    """The box of an image (H, W, 3), resized to (size, size, 3) by Pillow; its row has the whole of
    that as its box from then on."""
    box = [int(each) for each in row[:4]]
    mode = InterpolationMode.BICUBIC if row[4] else InterpolationMode.BILINEAR
    row[:4] = 0, 0, size, size
    return np.array(resized_crop(Image.fromarray(pixels), *box, (size, size), mode))


def num_operations(policy: Compose) -> int:
    """How many operations a policy gives an image at most."""
    return sum(LENGTHS.get(type(each), lambda each: 0)(each) for each in policy.transforms)


@lru_cache
def sketch(height: int, width: int) -> torch.Tensor:
    """An image that has a size and no pixels."""
    return torch.empty(3, height, width, device="meta")


def note_crop(step: RandomResizedCropAndInterpolation) -> Note:
    def note(row: Row, height: int, width: int) -> None:
        box = step.get_params(sketch(height, width), step.scale, step.ratio)
        row += [*box, is_bicubic(step.interpolation), False]

    return note


def note_flip(step: RandomHorizontalFlip) -> Note:
    def note(row: Row, height: int, width: int) -> None:
        row[CROP - 1] = torch.rand(1).item() < step.p

    return note


def note_jitter(step: ColorJitter) -> Note:
    def note(row: Row, height: int, width: int) -> None:
        ranges = step.brightness, step.contrast, step.saturation, step.hue
        order, *factors = ColorJitter.get_params(*ranges)
        for number in order.tolist():
            if factors[number] is not None:
                row += [OPERATIONS.index(JITTER[number]), factors[number], False]

    return note


def note_rand(step: RandAugment) -> Note:
    noting = copy(step)
    noting.ops = [noting_operation(each) for each in step.ops]
    return lambda row, height, width: noting(row)


def note_auto(step: AutoAugment) -> Note:
    noting = copy(step)
    noting.policy = [[noting_operation(each) for each in few] for few in step.policy]
    return lambda row, height, width: noting(row)


def noting_operation(operation: AugmentOp) -> AugmentOp:
    """An operation that decides whether and how strongly it is applied, and notes it in a row."""
    noting: Any = copy(operation)
    noting.aug_fn = partial(note_operation, operation.aug_fn.__name__)
    return noting


def note_operation(name: str, row: Row, *arguments: float, resample: Any, **_: Any) -> Row:
    argument = arguments[0] if arguments else 0
    row += [OPERATIONS.index(name), argument, name in MOVES and is_bicubic(resample)]
    return row


def is_bicubic(interpolation: Any) -> bool:
    """Whether it is the bicubic interpolation; of several one is drawn."""
    if isinstance(interpolation, list | tuple):
        interpolation = random.choice(interpolation)
    return interpolation in (InterpolationMode.BICUBIC, Image.Resampling.BICUBIC)


NOTES: dict[type, Callable[[Any], Note]] = {
    RandomResizedCropAndInterpolation: note_crop,
    RandomHorizontalFlip: note_flip,
    ColorJitter: note_jitter,
    RandAugment: note_rand,
    AutoAugment: note_auto,
    MaybePILToTensor: lambda step: lambda row, height, width: None,
}
LENGTHS: dict[type, Callable[[Any], int]] = {
    ColorJitter: lambda step: len(JITTER),
    RandAugment: lambda step: step.num_layers,
    AutoAugment: lambda step: max(map(len, step.policy)),
}
