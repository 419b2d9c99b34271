"""Views: all images of a data set decoded once, at one evaluation transform, into one array that
every model reads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Literal

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from modelsoups.datasets import read_images

DECODE_AHEAD = 1024  # encoded images held in memory at once


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """The transform from an image file to the array a model reads."""

    size: int  # pixels: side of the square that is kept
    resize: int  # pixels: the shortest side is brought to this length first
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"


def apply_view(spec: ViewSpec, image: Image.Image) -> np.ndarray:
    """The view of an image: (size, size, 3) uint8.

    The steps, and their rounding, of CLIP's own transform: torchvision's Resize of the shortest
    side, CenterCrop, then RGB; written with Pillow alone because importing torchvision takes
    longer than decoding a small data set.
    """
    width, height = image.size
    shortest = min(width, height)
    if shortest != spec.resize:
        size = (spec.resize * width // shortest, spec.resize * height // shortest)
        image = image.resize(size, Image.Resampling[spec.interpolation.upper()])
    left, top = (round((length - spec.size) / 2) for length in image.size)
    image = image.crop((left, top, left + spec.size, top + spec.size))
    return np.asarray(image.convert("RGB"))


def decode(
    index: pd.DataFrame, spec: ViewSpec, images: np.ndarray, column: str = "image", threads: int = 1
) -> None:
    """Fill `images` (n, size, size, 3) uint8 with the view of each image of the index, in order.

    Raises:
        ValueError: a file is no image or is cut short; names it.
    """

    def decode_one(position: int, encoded: bytes) -> None:
        try:
            with Image.open(BytesIO(encoded)) as image:
                images[position] = apply_view(spec, image)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for a bad file
            file, row = index.iloc[position][["file", "row"]]
            raise ValueError(
                f"{file}, row {row}: not a readable image ({error}); restore the file"
            ) from error

    encoded = read_images(index, column)
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(index), unit="image", disable=None) as bar,
    ):
        for start in range(0, len(index), DECODE_AHEAD):
            positions = range(start, min(start + DECODE_AHEAD, len(index)))
            for _ in pool.map(decode_one, positions, islice(encoded, len(positions))):
                bar.update()
