"""How a model of transformers sees images, from the config of its image processor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from modelsoups.data.specs import ViewSpec
from modelsoups.data.views import apply_view

RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
TOLERANCE = 0.02  # mean difference of normalised pixels: torchvision resizes a bit otherwise


def seen_by_processor(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Preprocessing, as in `soup`, from an image processor's config."""
    unusual = [
        key
        for key, usual in (
            *(("do_resize", True), ("do_rescale", True), ("rescale_offset", False)),
            ("do_flip_channel_order", False),
        )
        if config.get(key, usual) != usual
    ]
    size, crop = _side(config.get("size")), _side(config.get("crop_size"))
    if unusual or size is None or abs(config.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise ValueError(_not_read(path, f"a processor with {unusual or config.get('size')}"))
    pixels, mode = size
    if crop and config.get("do_center_crop"):
        resize = int(pixels / (config.get("crop_pct") or 1))  # PoolFormer's
        seen = {"size": crop[0], "resize": resize, "resize_mode": mode}
    elif mode == "shortest" and pixels < 384 and config.get("crop_pct"):  # ConvNeXT's
        seen = {"size": pixels, "resize": int(pixels / config["crop_pct"]), "resize_mode": mode}
    else:
        seen = {"size": pixels, "resize": pixels, "resize_mode": "squash"}
    normal = config.get("do_normalize", True)
    mean, std = (config["image_mean"], config["image_std"]) if normal else ([0.0] * 3, [1.0] * 3)
    if config.get("include_top"):  # EfficientNet's: divided once more
        std = [each * again for each, again in zip(std, config["image_std"], strict=True)]
    return {
        **seen,
        "interpolation": RESAMPLING.get(config.get("resample", 2), "bilinear"),
        "mean": mean,
        "std": std,
    }


def check_processor(seen: Mapping[str, Any], folder: Path) -> None:
    """Raise a ValueError unless the library's own processor makes the same of a picture.

    What a kind of processor does besides (LeViT's resizes to 8/7 of its size) is in no config.
    Where half a pixel would be cut off, the library cuts the middle out a pixel further up or to
    the left than torchvision does: that is let pass.

    Args: seen: of `seen_by_processor`. folder: with the processor's config and the model's.
    """
    from transformers import AutoImageProcessor

    view = ViewSpec(
        size=seen["size"],
        resize=max(seen["resize"], seen["size"]),
        interpolation=seen["interpolation"],
        resize_mode=seen["resize_mode"],
    )
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    picture = Image.fromarray(noise).resize((300, 400), Image.Resampling.BICUBIC)
    own = (apply_view(view, picture) / 255 - seen["mean"]) / seen["std"]
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(picture, return_tensors="pt").pixel_values[0].numpy().transpose(1, 2, 0)
    if pixels.shape == own.shape:
        shifted = (np.roll(own, shift, (0, 1)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1)))
        alike = min(np.abs(pixels - each)[1:, 1:].mean() for each in shifted) < TOLERANCE
    else:
        alike = False
    if not alike:
        raise ValueError(_not_read(folder, f"what {type(processor).__name__} does"))


def _not_read(path: Path, what: str) -> str:
    return (
        f"{path}: {what} is not read; for a soup of such models say size, mean and std under "
        "`soup.preprocessing`, which then count"
    )


def _side(size: Any) -> tuple[int, str] | None:
    """Pixels of a size in a processor's config, and which side they are of."""
    if isinstance(size, int):
        return size, "shortest"
    if not isinstance(size, Mapping):
        return None
    if "shortest_edge" in size and "longest_edge" not in size:
        return size["shortest_edge"], "shortest"
    if size.get("height") == size.get("width") and "height" in size:
        return size["height"], "squash"
    return None
