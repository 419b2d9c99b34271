"""Icon sets of npm packages: installed, checked, and drawn at 64 pixels.

An *icon set* is the content of a package's `icons.json` (the format IconifyJSON): `icons` maps
names to bodies of SVG, `aliases` maps further names to a `parent`, perhaps mirrored.
"""

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from modelsoups.base import files

SIZE = 64  # pixels, width and height

IconSet = dict[str, Any]


def install(sources: pd.DataFrame, folder: Path) -> None:
    """Install the packages of `sources` under `folder`/node_modules, with the npm client.

    Args: sources: one row a file: package, version, file, sha256.
    """
    packages = sorted({f"{row.package}@{row.version}" for row in sources.itertuples()})
    options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    subprocess.run(["npm", "install", *options, *packages], check=True)


def check_sources(sources: pd.DataFrame, folder: Path) -> None:
    """Compare the files of `sources` under the node_modules `folder` with their SHA-256."""
    wrong = []
    for row in sources.itertuples():
        path = folder / str(row.package) / str(row.file)
        found = files.sha256(path) if path.exists() else "no such file"
        if found != row.sha256:
            wrong.append(f"{path}: expected SHA-256 {row.sha256}, found {found}")
    if wrong:
        raise ValueError(
            "\n".join(wrong) + "\nRun the rule again for a fresh copy. If the difference stays, the"
            " packages are not those of sources.csv: look at what changed, then change version and"
            " sha256 there, and for the emoji VERSION in modelsoups/miniature/emoji.py."
        )


BOX = {"left": 0, "top": 0, "width": 16, "height": 16}  # IconifyJSON's defaults


def svg(icon_set: IconSet, icon: str) -> str:
    """A whole SVG of an icon, `SIZE` pixels wide and high; an icon not square is centred."""
    alias = icon_set.get("aliases", {}).get(icon)
    if alias and set(alias) != {"parent", "hFlip"}:
        raise ValueError(
            f"{icon_set['prefix']}, alias {icon}: expected a parent and hFlip, found {alias}; "
            "teach modelsoups.miniature.iconify.svg the other transformations of IconifyJSON"
        )
    data = icon_set["icons"][alias["parent"] if alias else icon]
    left, top, width, height = (
        data.get(key, icon_set.get(key, default)) for key, default in BOX.items()
    )
    body = data["body"]
    if alias:
        body = f'<g transform="translate({2 * left + width} 0) scale(-1 1)">{body}</g>'
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{SIZE}" height="{SIZE}" viewBox="{left} {top} {width} {height}">{body}</svg>'
    )


def render(drawing: str, background: str | None = "#ffffff") -> np.ndarray:
    """Draw an SVG: (SIZE, SIZE, 3) uint8, or without a background (SIZE, SIZE, 4) with coverage."""
    import resvg_py  # here, because nothing but the makers of shipped data needs it

    png = resvg_py.svg_to_bytes(svg_string=drawing, background=background, skip_system_fonts=True)
    return decode(bytes(png), "RGB" if background else "RGBA")


def encode(pixels: np.ndarray) -> bytes:
    """(height, width, 3) uint8 -> lossless WebP, a fifth smaller than the best PNG here."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "webp", lossless=True, quality=90, method=6)
    return buffer.getvalue()


def decode(data: bytes, mode: str = "RGB") -> np.ndarray:
    """An image file's bytes -> (height, width, channels of the mode) uint8."""
    return np.asarray(Image.open(io.BytesIO(data)).convert(mode))
