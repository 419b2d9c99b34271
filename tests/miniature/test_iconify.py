"""Icon sets are drawn as they are, and packages are those that were named."""

import numpy as np
import pandas as pd
import pytest

from icon_sets import icon_set
from modelsoups.base import files
from modelsoups.miniature.iconify import check_sources, decode, encode, render, svg

LEFT_HALF = '<path fill="#ff0000" d="M0 0h16v32H0z"/>'
WHITE, RED = [255, 255, 255], [255, 0, 0]


def test_icons_are_drawn_on_white_at_64_pixels():
    pixels = render(svg(icon_set(half=LEFT_HALF), "half"))
    assert (pixels.shape, pixels.dtype) == ((64, 64, 3), np.uint8)
    assert (pixels[:, :32] == RED).all() and (pixels[:, 32:] == WHITE).all()


def test_a_mirrored_alias_is_drawn_mirrored():
    icons = icon_set({"other-half": {"parent": "half", "hFlip": True}}, half=LEFT_HALF)
    pixels = render(svg(icons, "other-half"))
    assert (pixels[:, :32] == WHITE).all() and (pixels[:, 32:] == RED).all()


def test_an_icon_that_is_not_square_is_centred():
    icons = icon_set(band='<path fill="#ff0000" d="M0 0h32v16H0z"/>')
    icons["icons"]["band"]["height"] = 16
    pixels = render(svg(icons, "band"))
    assert (pixels[16:48] == RED).all() and (pixels[:16] == WHITE).all()
    assert (pixels[48:] == WHITE).all()


def test_unknown_transformations_are_refused():
    icons = icon_set({"turned": {"parent": "half", "rotate": 1}}, half=LEFT_HALF)
    with pytest.raises(ValueError, match="tiny, alias turned: expected a parent and hFlip, found"):
        svg(icons, "turned")


def test_encoding_is_lossless():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert (decode(encode(pixels)) == pixels).all()


def test_check_sources_names_every_wrong_file(tmp_path):
    good, bad = tmp_path / "icons/good.json", tmp_path / "icons/bad.json"
    good.parent.mkdir()
    good.write_text("{}")
    bad.write_text("[]")
    sources = pd.DataFrame(
        {
            "package": "icons",
            "file": ["good.json", "bad.json", "gone.json"],
            "sha256": files.sha256(good),
        }
    )
    check_sources(sources[:1], tmp_path)
    with pytest.raises(ValueError) as error:
        check_sources(sources, tmp_path)
    message = str(error.value)
    assert f"{bad}: expected SHA-256 {files.sha256(good)}, found {files.sha256(bad)}" in message
    assert "gone.json" in message and "no such file" in message and "good.json:" not in message
    assert "sources.csv" in message
