"""Views: images at one evaluation transform, decoded once into an array that every model reads, or
each time they are read; and the images that training augments."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image
from tqdm import tqdm

from modelsoups.base.files import publish
from modelsoups.data.reading import (
    DECODERS,
    Stored,
    border_of,
    describe,
    open_image,
    read_image,
    read_images,
    to_rgb,
)
from modelsoups.data.specs import ResizeSpec, ViewSpec

DECODE_AHEAD = 1024  # encoded images held in memory at once
ROWS_PER_BATCH = 1000  # of an Arrow file


def apply_view(spec: ViewSpec, image: Image.Image) -> np.ndarray:
    """The view of an image: (size, size, 3) uint8.

    The steps, and their rounding, of the official evaluation: RGB as torchvision's ImageFolder
    loads it (a rotation noted in EXIF is not applied), then CLIP's transform: Resize of the
    shortest side, CenterCrop. Written with Pillow alone because importing torchvision takes longer
    than decoding a small data set. Squashed, the whole image is made a square first ("rescaling
    test images to 550 x 550 (without preserving the aspect ratio)", Appendix J.2.3).
    """
    image = to_rgb(image)
    if spec.resize_mode == "squash":
        size = (spec.resize, spec.resize)
        if image.size != size:
            image = image.resize(size, Image.Resampling[spec.interpolation.upper()])
    else:
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


def decode(
    index: pd.DataFrame,
    spec: ViewSpec,
    images: np.ndarray,
    column: str = "image",
    threads: int = 1,
    progress: bool = True,
) -> None:
    """Fill `images` (n, size, size, 3) uint8 with the view of each image of the index, in order.

    Args:
        column: of the images in a Parquet file.
    Raises:
        ValueError: an image cannot be read; names it.
    """
    view = partial(apply_view, spec)
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
    files, rows, border = index["file"].to_numpy(object), index["row"].to_numpy(), border_of(index)

    def work(position: int, stored: Stored) -> Any:
        return function(open_image(stored, describe(files[position], rows[position]), border))

    stored = read_images(index, column)
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(index), unit="image", disable=None if progress else True) as bar,
    ):
        for start in range(0, len(index), DECODE_AHEAD):
            positions = range(start, min(start + DECODE_AHEAD, len(index)))
            for result in pool.map(work, positions, islice(stored, len(positions))):
                yield result
                bar.update()


class ViewOnRead:
    """A view that is computed whenever it is read; indexed as the array of a view is."""

    def __init__(
        self, index: pd.DataFrame, spec: ViewSpec, column: str = "image", threads: int = 1
    ):
        """The arguments are those of `decode`."""
        self.shape = (len(index), spec.size, spec.size, 3)
        self._index, self._spec = index, spec
        self._column, self._threads = column, threads

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, part: slice | np.ndarray) -> np.ndarray:
        """Images (b, size, size, 3) uint8. part: a slice, or numbers of images in any order."""
        wanted = np.arange(len(self))[part]
        numbers, order = np.unique(wanted, return_inverse=True)  # files are read in their order
        images = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        index = self._index.iloc[numbers]
        decode(index, self._spec, images, self._column, self._threads, progress=False)
        return images if np.array_equal(numbers, wanted) else images[order]


class EncodedImages:
    """Training images, decoded at their own size whenever one is read."""

    def __init__(self, index: pd.DataFrame, size: int, decoder: str = "pillow"):
        """size: what augmentation brings them to, the view's side in pixels. decoder: of
        `reading.DECODERS`."""
        self.shape = (len(index), size, size, 3)
        # Arrow strings and a number array: workers that are forked share them, where a million
        # Python objects would be copied page by page as their reference counts change.
        self._files, self._rows = pa.array(index.file), index.row.to_numpy()
        self._border, self._decoder = border_of(index), decoder

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> np.ndarray:
        """Pixels (H, W, 3) uint8."""
        file, row = self._files[int(number)].as_py(), int(self._rows[number])
        stored, named = read_image(file, row), describe(file, row)
        return DECODERS[self._decoder](stored, named, self._border)


def resize_images(
    spec: ResizeSpec,
    index: pd.DataFrame,
    path: str | Path,
    *,
    column: str = "image",
    threads: int = 1,
) -> pd.DataFrame:
    """Write the images as JPEGs with the shortest side at a length, into one Arrow file.

    Row n is image n of the index; `read_image` reads any row from the memory-mapped file. Images
    that are smaller keep their size. Published whole, once every image has been read.

    Returns: the index of the copy.
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
    trimmed = index.drop(columns="trim_border", errors="ignore")
    return trimmed.assign(file=str(path), row=range(len(index)))


def check_images(index: pd.DataFrame, column: str = "image", threads: int = 1) -> None:
    """Decode every image once, so that an unreadable one is found before training and not in it.

    Raises:
        ValueError: an image cannot be read; names it.
    """
    for _ in map_images(lambda image: None, index, column, threads):
        pass


def open_training(path: str | Path, size: int, decoder: str) -> np.ndarray | EncodedImages:
    """The training images in a view's array file, or those of an index at their own size.

    Args: size, decoder: of an index; as of EncodedImages.
    """
    if Path(path).suffix == ".npy":
        return np.load(path, mmap_mode="r")
    return EncodedImages(pd.read_parquet(path), size, decoder)
