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
from torchvision import transforms
from tqdm import tqdm

from modelsoups.datasets import read_images

DECODE_AHEAD = 1024  # encoded images held in memory at once


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """The transform from an image file to the array a model reads."""

    size: int  # pixels: side of the square that is kept
    resize: int  # pixels: the shortest side is brought to this length first
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"


def build_view(spec: ViewSpec) -> transforms.Compose:
    """PIL image -> PIL image of size x size pixels in RGB; the steps of CLIP's own transform."""
    mode = transforms.InterpolationMode(spec.interpolation)
    return transforms.Compose(
        [
            transforms.Resize(spec.resize, mode),
            transforms.CenterCrop(spec.size),
            transforms.Lambda(lambda image: image.convert("RGB")),
        ]
    )


def decode(
    index: pd.DataFrame, spec: ViewSpec, images: np.ndarray, column: str = "image", threads: int = 1
) -> None:
    """Fill `images` (n, size, size, 3) uint8 with the view of each image of the index, in order.

    Raises:
        ValueError: a file is no image or is cut short; names it.
    """
    view = build_view(spec)

    def decode_one(position: int, encoded: bytes) -> None:
        try:
            with Image.open(BytesIO(encoded)) as image:
                images[position] = np.asarray(view(image))
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
