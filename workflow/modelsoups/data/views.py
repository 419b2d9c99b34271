"""Views: images at one evaluation transform, decoded once into an array that every model reads, or
each time they are read; and the images that training augments."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image, ImageOps
from tqdm import tqdm

from modelsoups.base.files import publish
from modelsoups.data.datasets import read_image, read_images

DECODE_AHEAD = 1024  # encoded images held in memory at once
ROWS_PER_BATCH = 1000  # of an Arrow file
UNREADABLE = (OSError, ValueError, SyntaxError)  # what Pillow raises for a bad file


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """The transform from an image file to the array a model reads."""

    size: int  # pixels: side of the square that is kept
    resize: int  # pixels: the shortest side is brought to this length first
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"


def apply_view(spec: ViewSpec, image: Image.Image, trim_border: int = 0) -> np.ndarray:
    """The view of an image: (size, size, 3) uint8.

    The steps, and their rounding, of the official evaluation: RGB as torchvision's ImageFolder
    loads it (a rotation noted in EXIF is not applied), then CLIP's transform: Resize of the
    shortest side, CenterCrop. Written with Pillow alone because importing torchvision takes longer
    than decoding a small data set.

    Args:
        trim_border: pixels cut off each side first (ObjectNet's images have a red border).
    """
    image = image.convert("RGB")
    if trim_border:
        image = ImageOps.crop(image, trim_border)
    image = shrink(image, spec.resize, spec.interpolation)
    left, top = (round((length - spec.size) / 2) for length in image.size)
    return np.asarray(image.crop((left, top, left + spec.size, top + spec.size)))


def shrink(image: Image.Image, shortest: int, interpolation: str = "bicubic") -> Image.Image:
    """The image with its shortest side at a length, as torchvision's Resize rounds the other."""
    width, height = image.size
    now = min(width, height)
    if now == shortest:
        return image
    size = (shortest * width // now, shortest * height // now)
    return image.resize(size, Image.Resampling[interpolation.upper()])


def open_image(encoded: bytes | Path, named: str) -> Image.Image:
    """A decoded RGB image.

    Raises:
        ValueError: a file is no image or is cut short; names it.
    """
    try:
        with Image.open(BytesIO(encoded) if isinstance(encoded, bytes) else encoded) as image:
            return image.convert("RGB")
    except UNREADABLE as error:
        raise ValueError(f"{named}: not a readable image ({error}); restore the file") from error


def describe(index: pd.DataFrame, position: int) -> str:
    """Where an image of an index is: its file, and its row of a Parquet file."""
    file, row = index.iloc[position][["file", "row"]]
    return file if row < 0 else f"{file}, row {row}"


def decode(
    index: pd.DataFrame,
    spec: ViewSpec,
    images: np.ndarray,
    column: str = "image",
    trim_border: int = 0,
    threads: int = 1,
    progress: bool = True,
) -> None:
    """Fill `images` (n, size, size, 3) uint8 with the view of each image of the index, in order.

    Args:
        column: of the images in a Parquet file. trim_border: pixels cut off each side first.
    Raises:
        ValueError: a file is no image or is cut short; names it.
    """

    def view(image: Image.Image) -> np.ndarray:
        return apply_view(spec, image, trim_border)

    for position, pixels in enumerate(map_images(view, index, column, threads, progress)):
        images[position] = pixels


def map_images(
    function: Callable[[Image.Image], Any],
    index: pd.DataFrame,
    column: str,
    threads: int,
    progress: bool = True,
) -> Iterator[Any]:
    """`function` of each image of the index, in order, computed by several threads.

    Pillow decodes and resizes outside Python's lock.
    """

    def work(position: int, encoded: bytes | Path) -> Any:
        return function(open_image(encoded, describe(index, position)))

    encoded = read_images(index, column)
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(index), unit="image", disable=None if progress else True) as bar,
    ):
        for start in range(0, len(index), DECODE_AHEAD):
            positions = range(start, min(start + DECODE_AHEAD, len(index)))
            for result in pool.map(work, positions, islice(encoded, len(positions))):
                yield result
                bar.update()


@dataclass(frozen=True, kw_only=True)
class ResizeSpec:
    """The copy of a training set that is quicker to decode."""

    shortest: int = 256  # pixels: length that a longer shortest side is brought to
    quality: int = 90  # of the JPEGs

    def estimated_bytes(self, num_images: int) -> int:
        """Room to ask for: ImageNet at 256 px and quality 90 takes 17 kB an image."""
        return int(num_images * 17_500 * (self.shortest / 256) ** 2)


class ViewOnRead:
    """A view that is computed whenever it is read; sliced as the array of a view is."""

    def __init__(
        self,
        index: pd.DataFrame,
        spec: ViewSpec,
        column: str = "image",
        trim_border: int = 0,
        threads: int = 1,
    ):
        """The arguments are those of `decode`."""
        self.shape = (len(index), spec.size, spec.size, 3)
        self._index, self._spec = index, spec
        self._column, self._trim_border, self._threads = column, trim_border, threads

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        """Images (b, size, size, 3) uint8. part: a slice, or ascending places."""
        index = self._index.iloc[part]
        images = np.empty((len(index), *self.shape[1:]), np.uint8)
        decode(index, self._spec, images, self._column, self._trim_border, self._threads, False)
        return images


class EncodedImages:
    """Training images, decoded at their own size whenever one is read."""

    def __init__(self, index: pd.DataFrame, size: int):
        """`size`: what augmentation brings them to, the view's side in pixels."""
        self.shape = (len(index), size, size, 3)
        # Arrow strings and a number array: workers that are forked share them, where a million
        # Python objects would be copied page by page as their reference counts change.
        self._files, self._rows = pa.array(index.file), index.row.to_numpy()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> np.ndarray:
        """Pixels (H, W, 3) uint8."""
        file, row = self._files[int(number)].as_py(), int(self._rows[number])
        return np.asarray(open_image(read_image(file, row), f"{file}, row {row}"))


def resize_images(
    spec: ResizeSpec,
    index: pd.DataFrame,
    path: str | Path,
    *,
    column: str = "image",
    threads: int = 1,
) -> None:
    """Write the images as JPEGs with the shortest side at a length, into one Arrow file.

    Row n is image n of the index; `read_image` reads any row from the memory-mapped file. Images
    that are smaller keep their size. Published whole, once every image has been read.
    """

    def encode(image: Image.Image) -> bytes:
        buffer = BytesIO()
        small = shrink(image, min(spec.shortest, *image.size))
        small.save(buffer, "jpeg", quality=spec.quality)
        return buffer.getvalue()

    schema = pa.schema({"image": pa.binary()})
    encoded = map_images(encode, index, column, threads)
    with publish(path) as draft, pa.ipc.new_file(str(draft), schema) as writer:
        while batch := list(islice(encoded, ROWS_PER_BATCH)):
            writer.write_batch(pa.record_batch([pa.array(batch, pa.binary())], schema=schema))


def check_images(index: pd.DataFrame, column: str = "image", threads: int = 1) -> None:
    """Decode every image once, so that an unreadable one is found before training and not in it.

    Raises:
        ValueError: a file is no image or is cut short; names it.
    """
    for _ in map_images(lambda image: None, index, column, threads):
        pass


def open_view(
    path: str | Path,
    spec: ViewSpec | None,
    column: str = "image",
    trim_border: int = 0,
    threads: int = 1,
) -> np.ndarray | ViewOnRead:
    """The view in an array file (`images.npy`), or that of the images of an index (`.parquet`)."""
    if Path(path).suffix == ".npy":
        return np.load(path, mmap_mode="r")
    if spec is None:
        raise ValueError(f"{path}: an index of images needs a view")
    return ViewOnRead(pd.read_parquet(path), spec, column, trim_border, threads)


def open_training(path: str | Path, size: int) -> np.ndarray | EncodedImages:
    """The training images in a view's array file, or those of an index at their own size."""
    if Path(path).suffix == ".npy":
        return np.load(path, mmap_mode="r")
    return EncodedImages(pd.read_parquet(path), size)
