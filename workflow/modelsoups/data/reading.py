"""Images as they lie on disk, encoded or pixels, and how one is decoded: always 8-bit RGB."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image, ImageOps

from modelsoups.base.paths import resolve
from modelsoups.data.arrays import open_pixels
from modelsoups.data.parquet import read_rows
from modelsoups.data.webdataset import read_member, read_members

Stored = bytes | Path | np.ndarray  # an encoded file, its path, or pixels (H, W, 3) uint8
TAR = ".tar"
SIXTEEN_BIT = {"PNG", "PPM"}  # formats whose mode I is 16 bits; elsewhere it may be 32


def read_images(index: pd.DataFrame, column: str = "image") -> Iterator[Stored]:
    """Each image of an index, in its order: its encoded bytes, the path of its file, or its pixels.

    The rows of a Parquet file must ascend, as those of an index do.

    Raises:
        ValueError: as `read_rows`.
    """
    files, rows = index["file"].to_numpy(object), index["row"].to_numpy()
    starts = [n for n in range(len(files)) if n == 0 or files[n] != files[n - 1]]
    for start, stop in pairwise([*starts, len(files)]):
        if rows[start] < 0:
            yield from [resolve(files[start])] * (stop - start)
        elif files[start].endswith(TAR):
            yield from read_members(resolve(files[start]), rows[start:stop])
        elif (pixels := open_pixels(resolve(files[start]))) is not None:
            yield from (pixels[row] for row in rows[start:stop])
        else:
            yield from read_rows(files[start], rows[start:stop], column)


def read_image(file: str, row: int) -> Stored:
    """One image of an index at random: the path of its file, a row of an Arrow file or array, or a
    file in a tar shard.

    Raises:
        ValueError: it lies in a Parquet file, of which only whole row groups can be read.
    """
    path = resolve(file)
    if row < 0:
        return path
    if path.suffix == TAR:
        return read_member(path, row)
    if path.suffix != ".arrow" and (pixels := open_pixels(path)) is not None:
        return pixels[row]
    if path.suffix != ".arrow":
        raise ValueError(
            f"{file}: training reads images at random, which takes a folder of files; set "
            "`training_input: resized` to make a copy that it can read"
        )
    batches, rows_per_batch = open_arrow(path)
    return batches[row // rows_per_batch]["image"][row % rows_per_batch].as_py()


@lru_cache(maxsize=8)
def open_arrow(path: Path) -> tuple[list[pa.RecordBatch], int]:
    """The record batches of a memory-mapped Arrow file, and the rows of all but the last."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return batches, batches[0].num_rows


def border_of(index: pd.DataFrame) -> int:
    """Pixels to be cut off each side of the images of an index."""
    return int(index["trim_border"].iloc[0]) if "trim_border" in index and len(index) else 0


def describe(file: str, row: int) -> str:
    """Where an image is: its file, and its row if that has several."""
    return file if row < 0 else f"{file}, row {row}"


@contextmanager
def named_in_errors(named: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a ValueError that names the image."""
    try:
        yield
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"{named}: too large to decode safely ({error}); store it at a smaller size, or leave "
            "it out of the data set"
        ) from error
    except Exception as error:  # Pillow's decoders let whatever a bad file leads to pass
        raise ValueError(f"{named}: not a readable image ({error}); restore the file") from error


def check_border(width: int, height: int, trim_border: int, named: str) -> None:
    """Raises: ValueError: nothing is left of an image without its border."""
    if 2 * trim_border >= min(width, height):
        raise ValueError(
            f"{named}: nothing is left of {width} x {height} pixels without a border "
            f"of {trim_border}; is trim_border the right one?"
        )


def open_image(stored: Stored, named: str, trim_border: int = 0) -> Image.Image:
    """A decoded RGB image without its border.

    Args:
        named: what errors call it. trim_border: pixels cut off each side.
    Raises:
        ValueError: it is no image, is cut short, too large, or of pixels without a known range.
    """
    with named_in_errors(named):
        if isinstance(stored, np.ndarray):
            opened = Image.fromarray(np.ascontiguousarray(stored))
        else:
            with Image.open(BytesIO(stored) if isinstance(stored, bytes) else stored) as opened:
                opened.load()
    try:
        image = to_rgb(opened)
    except ValueError as error:
        raise ValueError(f"{named}: {error}") from error
    check_border(*image.size, trim_border, named)
    return ImageOps.crop(image, trim_border) if trim_border else image


def pixels_by_pillow(stored: Stored, named: str, trim_border: int = 0) -> np.ndarray:
    """Pixels (H, W, 3) uint8 of what `open_image` opens."""
    return np.asarray(open_image(stored, named, trim_border))


def pixels_by_torchvision(stored: Stored, named: str, trim_border: int = 0) -> np.ndarray:
    """As `pixels_by_pillow`, in somewhat less time where it is a JPEG in colour or grey.

    The pixels are the same where both packages have libjpeg-turbo, as their wheels do.
    """
    if isinstance(stored, np.ndarray):
        return pixels_by_pillow(stored, named, trim_border)
    with named_in_errors(named):
        encoded = stored if isinstance(stored, bytes) else stored.read_bytes()
        with Image.open(BytesIO(encoded)) as head:
            is_plain = head.format == "JPEG" and head.mode in ("L", "RGB")
    if not is_plain:
        return pixels_by_pillow(encoded, named, trim_border)
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    with named_in_errors(named):
        bits = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
        pixels = decode_jpeg(bits, ImageReadMode.RGB).permute(1, 2, 0).numpy()
    height, width, _ = pixels.shape
    check_border(width, height, trim_border, named)
    return pixels[trim_border : height - trim_border, trim_border : width - trim_border]


# How training reads pixels (`compute: {decoder: ...}`).
DECODERS: dict[str, Callable[[Stored, str, int], np.ndarray]] = {
    "pillow": pixels_by_pillow,
    "torchvision": pixels_by_torchvision,
}


def to_rgb(image: Image.Image) -> Image.Image:
    """The image with 8-bit RGB pixels, as torchvision's ImageFolder loads it.

    So transparency is dropped, not blended, and CMYK converted without a colour profile. One thing
    differs: of 16-bit grey the high byte is taken, as Pillow does for 16-bit colour, where
    ImageFolder has everything above 255 white.

    Raises:
        ValueError: numbers of 32 bits, whose range no format fixes.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in SIXTEEN_BIT):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(
            f"the pixels are 32-bit numbers (Pillow's mode {image.mode}), of which white is not "
            "known; store the image with 8 or 16 bits a channel"
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # the same colours, without Pillow's warning
    return image.convert("RGB")
