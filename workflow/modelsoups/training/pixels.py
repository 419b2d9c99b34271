"""Batches of images augmented by torch on any device, with Pillow's arithmetic.

What is done to each image stands in its row (`training.drawn`). Each operation rounds as Pillow's
does, and computes in float64 where Pillow does, so that the pixels are the same; on a GPU, which
fuses multiplication and addition, a few of those that a rotation or shift interpolates may be a
level of 255 off.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from modelsoups.training.drawn import CROP, OPERATION, OPERATIONS

LEVELS = 256
WEIGHT = 2.0**22  # Pillow's weights are multiples of its inverse


def augment(images: Tensor, rows: Tensor, size: int, fill: tuple[int, ...]) -> Tensor:
    """The images as their rows say.

    Args:
        images: (b, H, W, 3) uint8.
        rows: (b, length) float64, on the CPU: what is on a GPU need not be waited for.
        size: side of the result in pixels.
        fill: (3,) levels of what a rotation or shift uncovers.
    Returns:
        (b, 3, size, size) uint8 on the images' device.
    """
    device = images.device
    there = rows.to(device, non_blocking=True)
    with torch.autocast(device.type, enabled=False):
        batch = crop(images, rows[:, :CROP], size)
        colour = torch.tensor(fill, dtype=torch.uint8).to(device, non_blocking=True).view(3, 1, 1)
        for first in range(CROP, rows.shape[1], OPERATION):
            order = rows[:, first].argsort(stable=True).to(device, non_blocking=True)
            counts = rows[:, first].long().bincount(minlength=len(OPERATIONS)).tolist()
            arguments, bicubic = there[:, first + 1], there[:, first + 2] > 0
            for name, group in zip(OPERATIONS, order.split(counts), strict=True):
                if len(group) and name != "nothing":
                    few = batch.index_select(0, group)
                    given = arguments[group], bicubic[group], colour
                    batch.index_copy_(0, group, APPLY[name](few, *given))
    return batch


def crop(images: Tensor, rows: Tensor, size: int) -> Tensor:
    """Boxes of the images (b, H, W, 3), resized and flipped: (b, 3, size, size) uint8.

    As Pillow: the box is cut out first, so that nothing beyond it counts; each pixel is a mean
    weighted by a filter, which is stretched where the image shrinks; first along lines, then along
    columns, each rounded. Sums of float64 are exact, so these pixels are Pillow's.

    Args: rows: (b, CROP) float64, on the CPU.
    """
    num, height, width, channels = images.shape
    across = weights(rows[:, 1], rows[:, 3], rows[:, 4], size, width, images.device)
    flip = (rows[:, 5] > 0).to(images.device, non_blocking=True)[:, None, None]
    across = torch.where(flip, across.flip(1), across)
    down = weights(rows[:, 0], rows[:, 2], rows[:, 4], size, height, images.device)
    pixels = images.permute(0, 1, 3, 2).to(torch.float64, memory_format=torch.contiguous_format)
    lines = rounded(pixels.view(num, height * channels, width) @ across.mT)
    done = rounded(down @ lines.view(num, height, channels * size))
    return done.view(num, size, channels, size).permute(0, 2, 1, 3).to(torch.uint8).contiguous()


def weights(
    start: Tensor, length: Tensor, bicubic: Tensor, size: int, full: int, device: torch.device
) -> Tensor:
    """Of each of `size` results the weights of all `full` pixels along an axis: (b, size, full)
    float64 on a device.

    Args: start, length, bicubic: of each box, (b,) float64 on the CPU.
    """
    reach = torch.where(bicubic > 0, 2, 1) * (length / size).clamp(min=1)  # of the filter
    num_taps = int(2 * reach.max()) + 2
    given = torch.stack([start, length, bicubic, reach]).to(device, non_blocking=True)
    start, length, bicubic, reach = given[:, :, None]  # (b, 1) each
    scale = length / size
    middles = torch.arange(size, device=device, dtype=torch.float64) + 0.5
    centre = middles * scale  # (b, size), within the box
    first = (centre - reach + 0.5).floor().clamp(min=0)
    end = (centre + reach + 0.5).floor().minimum(length)
    taps = first[:, :, None] + torch.arange(num_taps, device=device)  # (b, size, num_taps)
    x = ((taps - centre[:, :, None] + 0.5) / scale.clamp(min=1)[:, :, None]).abs()
    found = torch.where(bicubic[:, :, None] > 0, keys(x), (1 - x).clamp(min=0))
    found = torch.where(taps < end[:, :, None], found, 0)
    found = (found / found.sum(2, keepdim=True) * WEIGHT).round() / WEIGHT
    all_of_them = found.new_zeros(len(found), size, full + num_taps)
    return all_of_them.scatter_(2, (start[:, :, None] + taps).long(), found)[:, :, :full]


def keys(x: Tensor) -> Tensor:
    """Keys' cubic filter with a = -0.5, Pillow's of resizing, at distances x >= 0."""
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def rounded(levels: Tensor) -> Tensor:
    """Whole levels, halves upwards, as far as there are levels."""
    return levels.add_(0.5).floor_().clamp_(0, LEVELS - 1)


# Operations: images (n, 3, S, S) uint8, arguments (n,) float64, whether each interpolates
# bicubically, (n,), and the colour of what is uncovered, (3, 1, 1) uint8, to such images.


def by_table(
    make: Callable[[Tensor, Tensor, Tensor], Tensor],
    images: Tensor,
    argument: Tensor,
    bicubic: Tensor,
    fill: Tensor,
) -> Tensor:
    """Each level replaced by another.

    Args: make: levels (256,) float64, images and arguments (n, 1, 1) to the other levels,
        (n, 1 or 3, 256).
    """
    levels = torch.arange(LEVELS, device=images.device, dtype=torch.float64)
    table = make(levels, images, argument[:, None, None]).clamp(0, LEVELS - 1).to(torch.uint8)
    flat = images.flatten(2)
    return table.expand(-1, 3, -1).gather(2, flat.long()).view_as(images)


def auto_contrast(levels: Tensor, images: Tensor, argument: Tensor) -> Tensor:
    low, high = (each.double()[:, :, None] for each in images.flatten(2).aminmax(dim=2))
    scale = levels[-1] / (high - low)  # a number by a tensor would be rounded twice
    return torch.where(high > low, (levels * scale - low * scale).trunc(), levels)


def equalize(levels: Tensor, images: Tensor, argument: Tensor) -> Tensor:
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], LEVELS, device=flat.device, dtype=torch.int64)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    before = counts.cumsum(2) - counts
    last = counts.gather(2, images.flatten(2).amax(2, keepdim=True).long())
    step = (flat.shape[2] - last) // (LEVELS - 1)
    found = (step // 2 + before) // step.clamp(min=1)
    return torch.where(step > 0, found, levels.long())


def invert(levels: Tensor, images: Tensor, argument: Tensor) -> Tensor:
    return (LEVELS - 1 - levels).expand(len(images), 1, -1)


def posterize(levels: Tensor, images: Tensor, argument: Tensor) -> Tensor:
    step = 2 ** (8 - argument)  # the argument counts the bits that are kept
    return (levels / step).floor() * step


def solarize(levels: Tensor, images: Tensor, argument: Tensor) -> Tensor:
    return torch.where(levels < argument, levels, LEVELS - 1 - levels)


def solarize_add(levels: Tensor, images: Tensor, argument: Tensor) -> Tensor:
    return torch.where(levels < LEVELS / 2, levels + argument, levels)


def by_blend(
    plainer: Callable[[Tensor], Tensor],
    images: Tensor,
    argument: Tensor,
    bicubic: Tensor,
    fill: Tensor,
) -> Tensor:
    """From the plainer image (0) to the image itself (1) and beyond, cut off below a level."""
    there, here = plainer(images), images.float()
    mixed = there + argument.float()[:, None, None, None] * (here - there)
    return mixed.clamp_(0, LEVELS - 1).to(torch.uint8)


def grey(images: Tensor) -> Tensor:
    """Luma (n, 1, S, S) in whole levels, as Pillow's conversion to `L`."""
    red, green, blue = images.int().unbind(1)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16)[:, None].float()


def mean_grey(images: Tensor) -> Tensor:
    return (grey(images).mean((1, 2, 3), True, dtype=torch.float64) + 0.5).floor().float()


def black(images: Tensor) -> Tensor:
    return torch.zeros((), device=images.device)


def smooth(images: Tensor) -> Tensor:
    """Means of 3 x 3 pixels, that in the middle counted five times; the border stays."""
    found = images.float()
    inner = found[:, :, 1:-1, 1:-1]
    sums = avg_pool2d(found, 3, stride=1, divisor_override=1) + 4 * inner
    inner.copy_((sums / 13 + 0.5).floor())
    return found


def move(
    matrix: Callable[[Tensor, int], tuple[Tensor | float, ...]],
    images: Tensor,
    argument: Tensor,
    bicubic: Tensor,
    fill: Tensor,
) -> Tensor:
    """Each pixel taken from where a matrix leads, interpolated, cut off below a level.

    Args: matrix: arguments (n, 1, 1) and the side to a, b, c, d, e, f; the place (x, y) of the
        result is taken from (a x + b y + c, d x + e y + f) of the image.
    """
    side, flat = images.shape[-1], images.flatten(2)
    middles = torch.arange(side, device=images.device, dtype=torch.float64) + 0.5
    x, y = middles, middles[:, None]
    a, b, c, d, e, f = matrix(argument[:, None, None], side)
    x, y, _ = torch.broadcast_tensors(
        a * x + b * y + c, d * x + e * y + f, argument[:, None, None]
    )  # (n, S, S)
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    x, y = x - 0.5, y - 0.5
    column, row = x.floor(), y.floor()
    right, below = (x - column)[:, None], (y - row)[:, None]
    columns = [(column.long() + each).clamp(0, side - 1) for each in (-1, 0, 1, 2)]
    lines = []  # of each of four rows what it has at the column, by either interpolation
    for each in (-1, 0, 1, 2):
        start = (row.long() + each).clamp(0, side - 1) * side
        near = [
            flat.gather(2, (start + there).flatten(1)[:, None].expand(-1, 3, -1))
            .view_as(images)
            .double()
            for there in columns
        ]
        lines.append((line(near, right), cubic(near, right)))
    straight, curved = (list(each) for each in zip(*lines, strict=True))
    found = torch.where(bicubic[:, None, None, None], cubic(curved, below), line(straight, below))
    return torch.where(inside[:, None], found.clamp(0, LEVELS - 1).to(torch.uint8), fill)


def line(levels: Sequence[Tensor], part: Tensor) -> Tensor:
    """Linear interpolation between the two in the middle of four."""
    _, here, there, _ = levels
    return here + (there - here) * part


def cubic(levels: Sequence[Tensor], part: Tensor) -> Tensor:
    """Cubic interpolation of four with a = -1, Pillow's of affine transforms."""
    before, here, there, after = levels
    second = 2 * (before - here) + there - after
    third = -before + here - there + after
    return here + part * (there - before + part * (second + part * third))


def rotation(argument: Tensor, side: int) -> tuple[Tensor, ...]:
    angle, middle = -torch.deg2rad(argument % 360), side / 2
    cos, sin = angle.cos().round(decimals=15), angle.sin().round(decimals=15)  # as Pillow
    c, f = cos * -middle + sin * -middle + middle, -sin * -middle + cos * -middle + middle
    return cos, sin, c, -sin, cos, f


Operation = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
APPLY: dict[str, Operation] = {
    "auto_contrast": partial(by_table, auto_contrast),
    "equalize": partial(by_table, equalize),
    "invert": partial(by_table, invert),
    "posterize": partial(by_table, posterize),
    "solarize": partial(by_table, solarize),
    "solarize_add": partial(by_table, solarize_add),
    "brightness": partial(by_blend, black),
    "contrast": partial(by_blend, mean_grey),
    "color": partial(by_blend, grey),
    "sharpness": partial(by_blend, smooth),
    "rotate": partial(move, rotation),
    "shear_x": partial(move, lambda by, side: (1, by, 0, 0, 1, 0)),
    "shear_y": partial(move, lambda by, side: (1, 0, 0, by, 1, 0)),
    "translate_x_rel": partial(move, lambda by, side: (1, 0, by * side, 0, 1, 0)),
    "translate_y_rel": partial(move, lambda by, side: (1, 0, 0, 0, 1, by * side)),
}
