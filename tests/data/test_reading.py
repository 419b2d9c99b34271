"""Encoded images, and how one is decoded."""

import warnings
import zlib

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets.folder import default_loader

from conftest import encode
from modelsoups.data.reading import DECODERS, open_image, read_images


def listed(parquet, rows):
    return pd.DataFrame({"file": str(parquet), "row": rows})


def test_bytes_come_in_index_order_across_row_groups(parquet, pixels):
    images = list(read_images(listed(parquet, [0, 2, 4])))
    assert images == [encode(pixels[row]) for row in (0, 2, 4)]


def test_files_may_alternate_in_an_index(parquet, pixels, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(parquet)[::-1], other)
    parts = [listed(parquet, [1, 2]), listed(other, [0]), listed(parquet, [0, 5])]
    images = list(read_images(pd.concat(parts)))
    assert images == [encode(pixels[row]) for row in (1, 2, 5, 0, 5)]


def test_files_come_as_paths_with_their_variables_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDER", str(tmp_path))
    index = pd.DataFrame({"file": ["$FOLDER/b.png", "$FOLDER/a.png"], "row": [-1, -1]})
    assert list(read_images(index)) == [tmp_path / "b.png", tmp_path / "a.png"]


def noise(mode="RGB", size=(12, 10)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def palette_with_alpha(path):
    noise("P").save(path, transparency=bytes(range(256)))


def palette_with_one_clear_colour(path):
    noise("P").save(path, transparency=7)


def colour_of_16_bits(path):
    """A PNG with 16 bits a channel, which Pillow itself reads by the high bytes."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + crc

    pixels = np.random.default_rng(0).integers(0, 65536, (10, 12, 3)).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = (12).to_bytes(4, "big") + (10).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


WRITERS = {
    "one-bit.png": lambda path: noise("1").save(path),
    "grey.png": lambda path: noise("L").save(path),
    "grey-alpha.png": lambda path: noise("LA").save(path),
    "alpha.png": lambda path: noise("RGBA").save(path),
    "palette.png": lambda path: noise("P").save(path),
    "palette-alpha.png": palette_with_alpha,
    "palette-clear.png": palette_with_one_clear_colour,
    "colour-16.png": colour_of_16_bits,
    "colour.jpg": lambda path: noise(size=(91, 67)).save(path),
    "progressive.jpg": lambda path: noise(size=(91, 67)).save(path, progressive=True),
    "fine.jpg": lambda path: noise(size=(91, 67)).save(path, subsampling=0, quality=95),
    "grey.jpg": lambda path: noise("L").save(path),
    "cmyk.jpg": lambda path: noise("CMYK").save(path),
    "cmyk.tif": lambda path: noise("CMYK").save(path),
    "lab.tif": lambda path: Image.new("LAB", (12, 10), (90, 20, 30)).save(path),
    "alpha.webp": lambda path: noise("RGBA").save(path, lossless=True),
    "palette.bmp": lambda path: noise("P").save(path),
    "colour.ppm": lambda path: noise().save(path),
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", WRITERS)
def test_image_of_any_mode_is_what_an_image_folder_has(tmp_path, name, decoder):
    """To the bit, and without a warning an image."""
    WRITERS[name](tmp_path / name)
    ours = DECODERS[decoder](tmp_path / name, name, 0)
    assert (DECODERS[decoder]((tmp_path / name).read_bytes(), name, 0) == ours).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = np.asarray(default_loader(str(tmp_path / name)))
    assert (ours == theirs).all()


@pytest.mark.parametrize("name", ["grey-16.png", "grey-16.tif", "grey-16.pgm"])
def test_grey_of_16_bits_keeps_its_high_byte(tmp_path, name):
    """Where convert("RGB") clips, so that all but the 256 darkest of 65,536 greys turn white."""
    levels = (np.arange(120).reshape(10, 12) * 540).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / name, {"pgm": "ppm", "tif": "tiff"}.get(name[-3:]))
    image = np.asarray(open_image(tmp_path / name, name))
    assert (image == (levels // 256)[..., None]).all()


@pytest.mark.parametrize(("kind", "mode"), [(np.int32, "I"), (np.float32, "F")])
def test_pixels_without_a_known_range_are_refused(tmp_path, kind, mode):
    Image.fromarray(np.ones((4, 4), kind)).save(tmp_path / "scan.tif")
    message = rf"scan.tif: the pixels are 32-bit numbers \(Pillow's mode {mode}\).*8 or 16 bits"
    with pytest.raises(ValueError, match=message):
        open_image(tmp_path / "scan.tif", "scan.tif")


def test_image_too_large_to_decode_safely_is_named(tmp_path, monkeypatch):
    noise(size=(30, 20)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses what has twice as many
    with pytest.raises(ValueError, match=r"huge.png: too large .*600 pixels.*at a smaller size"):
        open_image(tmp_path / "huge.png", "huge.png")


@pytest.mark.parametrize("decoder", DECODERS)
def test_jpeg_that_is_cut_short_is_named(tmp_path, decoder):
    noise(size=(91, 67)).save(tmp_path / "cut.jpg")
    stored = (tmp_path / "cut.jpg").read_bytes()
    with pytest.raises(ValueError, match=r"cut.jpg: not a readable image .*restore the file"):
        DECODERS[decoder](stored[: len(stored) // 2], "cut.jpg", 0)


def test_error_of_any_kind_in_a_decoder_names_the_image(monkeypatch):
    """Of 20,000 damaged files two ended in a TypeError of Pillow's TIFF plug-in."""

    def load(self):
        raise TypeError("bad tag")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(ValueError, match=r"a.tar, row 3: not a readable image \(bad tag\)"):
        open_image(encode(np.zeros((4, 4, 3), np.uint8)), "a.tar, row 3")


def test_border_is_trimmed():
    pixels = np.zeros((14, 18, 3), np.uint8)
    pixels[2:-2, 2:-2] = 200  # a border of 2 pixels of another colour
    image = np.asarray(open_image(encode(pixels), "framed", trim_border=2))
    assert image.shape == (10, 14, 3)
    assert (image == 200).all()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_border_is_trimmed_by_any_decoder(tmp_path, decoder, kind):
    noise(size=(30, 20)).save(tmp_path / "framed", kind)
    whole, trimmed = (DECODERS[decoder](tmp_path / "framed", "framed", n) for n in (0, 3))
    assert (trimmed == whole[3:-3, 3:-3]).all()
    message = "^framed: nothing is left of 30 x 20 pixels without a border"
    with pytest.raises(ValueError, match=message):
        DECODERS[decoder](tmp_path / "framed", "framed", 10)


def test_border_that_leaves_nothing_is_an_error():
    with pytest.raises(
        ValueError, match="framed: nothing is left of 4 x 6 pixels without a border"
    ):
        open_image(encode(np.zeros((6, 4, 3), np.uint8)), "framed", trim_border=2)
