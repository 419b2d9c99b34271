"""Open icons and their names, what IconCLIP learns from: an icon package -> drawings and names.

The package is `@iconify/json` of the npm registry: one file an icon set in the format IconifyJSON
(see `iconify`). Nothing that is an emoji, or looks like one, gets in.
"""

import logging
import re
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from modelsoups.base import files
from modelsoups.miniature.emoji import NEAR
from modelsoups.miniature.iconify import SIZE, IconSet, render, svg

logger = logging.getLogger(__name__)

LEFT_OUT = ("Emoji", "Logos", "Programming")  # categories: no emoji, and names that are brands
NOT_OPEN = "-NC"  # in a licence: not for commercial use
MIN_INK = 0.01  # mean coverage of a drawing that shows anything

# Words at the end of a name that say how an icon is drawn. `light` and `line` can be what it shows,
# so they count only where the icon set declares them.
WORDS = """outline outlined outlines filled fill bold thin duotone twotone regular solid sharp
rounded linear broken duo remix flat alt variant medium small mini micro baseline 1x1 4x3
10 12 16 20 24 24px 28 32 48 96 01 02 03 04 05 06 07 08 09 1 2 3 4 5"""
STYLE_WORDS = set(WORDS.split())


def plain_name(icon: str, icon_set: IconSet) -> str:
    """Name of an icon without words for a style: `house-simple-fill` -> `house simple`.

    Left out are the prefixes and suffixes that the set declares, and `STYLE_WORDS` at the end.
    """
    for suffix in sorted(icon_set.get("suffixes", {}), key=len, reverse=True):
        if suffix and icon.endswith(f"-{suffix}"):
            icon = icon.removesuffix(f"-{suffix}")
            break
    for prefix in sorted(icon_set.get("prefixes", {}), key=len, reverse=True):
        if prefix and icon.startswith(f"{prefix}-"):
            icon = icon.removeprefix(f"{prefix}-")
            break
    words = icon.split("-")
    while len(words) > 1 and words[-1] in STYLE_WORDS:
        words.pop()
    return " ".join(words)


def is_wanted(info: dict[str, Any]) -> bool:
    """Whether an icon set is open and shows things: no emoji, no brands, no flags."""
    return (
        info.get("category") not in LEFT_OUT
        and not re.search("emoji|flag", info["name"], re.IGNORECASE)
        and NOT_OPEN not in info["license"].get("spdx", NOT_OPEN)
    )


def choose(icon_sets: dict[str, IconSet]) -> pd.DataFrame:
    """One row a drawing to make: icon_set, icon, name, palette (whether its colours are its own).

    Of the drawings of one name in one set, one is taken: the one whose full name hashes lowest, so
    that outlines, fills and weights all occur. Hidden icons and names without letters are left out.
    """
    rows: dict[tuple[str, str], tuple[str, str]] = {}
    for prefix, icon_set in icon_sets.items():
        for icon, data in icon_set["icons"].items():
            name = plain_name(icon, icon_set)
            if data.get("hidden") or not re.search("[a-z]{2}", name):
                continue
            rank = sha256(f"{prefix}:{icon}".encode()).hexdigest()
            if (prefix, name) not in rows or rank < rows[prefix, name][0]:
                rows[prefix, name] = (rank, icon)
    palette = {prefix: bool(s["info"].get("palette")) for prefix, s in icon_sets.items()}
    return pd.DataFrame(
        [(prefix, icon, name, palette[prefix]) for (prefix, name), (_, icon) in rows.items()],
        columns=["icon_set", "icon", "name", "palette"],
    )


def draw(icon_sets: dict[str, IconSet], chosen: pd.DataFrame) -> np.ndarray:
    """The drawings, (n, 64, 64, 4) uint8: red, green, blue and coverage, on nothing."""
    drawings = [svg(icon_sets[row.icon_set], row.icon) for row in chosen.itertuples()]
    with ProcessPoolExecutor() as processes:
        rendered = processes.map(_render, drawings, chunksize=256)
        images = np.empty((len(drawings), SIZE, SIZE, 4), np.uint8)
        for image, pixels in zip(
            images, tqdm(rendered, total=len(drawings), disable=None), strict=True
        ):
            image[:] = pixels
    return images


def _render(drawing: str) -> np.ndarray:
    return render(drawing, background=None)


def on_white(drawings: np.ndarray) -> np.ndarray:
    """(n, h, w, 4) uint8 -> (n, h, w, 3) uint8, as the emoji are drawn."""
    coverage = drawings[..., 3:] / np.float32(255)
    return np.rint(255 + (drawings[..., :3] - np.float32(255)) * coverage).astype(np.uint8)


def like_an_emoji(drawings: np.ndarray, emoji_images: np.ndarray, chunk: int = 2048) -> np.ndarray:
    """Which drawings are near duplicates of an emoji, at a quarter of the resolution: (n,) bool.

    The measure and the limit are those of `emoji.near_duplicates`.

    Args: drawings: (n, h, w, 4) uint8; emoji_images: (m, h, w, 3) uint8.
    """
    known, known_weight = ink(emoji_images)
    found = np.zeros(len(drawings), bool)
    for start in range(0, len(drawings), chunk):
        rows = slice(start, start + chunk)
        own, weight = ink(on_white(drawings[rows]))
        squares = weight[:, None] + known_weight - 2 * own @ known.T
        least = NEAR**2 * np.maximum(weight[:, None], known_weight)
        found[rows] = (squares <= least).any(1)
    return found


def ink(images: np.ndarray, factor: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Distance from white of each square of pixels (n, values) float32, and its squared length.

    Args: images: (n, h, w, 3) uint8; factor: side of a square in pixels.
    """
    n, height, width, channels = images.shape
    squares = images.reshape(n, height // factor, factor, width // factor, factor, channels)
    values = 1 - squares.mean((2, 4), dtype=np.float32).reshape(n, -1) / 255
    return values, np.square(values).sum(1)


def read_icon_sets(folder: Path) -> dict[str, IconSet]:
    """Prefix -> icon set, of the wanted sets of an unpacked `@iconify/json`."""
    collections = files.read_json(folder / "collections.json")
    return {
        prefix: files.read_json(folder / "json" / f"{prefix}.json")
        for prefix, info in collections.items()
        if is_wanted(info)
    }


def build(
    icon_sets: dict[str, IconSet], emoji_images: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """The drawings that IconCLIP learns from (see `choose`), and their pixels (see `draw`).

    Blank drawings and those like an emoji are left out.
    """
    chosen = choose(icon_sets)
    drawings = draw(icon_sets, chosen)
    blank = drawings[..., 3].mean((1, 2)) < 255 * MIN_INK
    emoji_like = like_an_emoji(drawings, emoji_images)
    logger.info(
        "left out of %d: %d blank, %d like an emoji, of these: %s",
        *(len(chosen), blank.sum(), emoji_like.sum()),
        chosen.loc[emoji_like, "icon_set"].value_counts().to_dict(),
    )
    kept = ~blank & ~emoji_like
    return chosen[kept].reset_index(drop=True), drawings[kept]
