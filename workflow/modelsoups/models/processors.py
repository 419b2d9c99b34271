"""How a model of transformers sees images, from the config of its image processor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


def seen_by_processor(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Preprocessing, as in `soup`, from an image processor's config."""
    unusual = [
        key
        for key, usual in (("do_resize", True), ("do_rescale", True), ("rescale_offset", False))
        if config.get(key, usual) != usual
    ]
    size, crop = _side(config.get("size")), _side(config.get("crop_size"))
    if unusual or size is None or abs(config.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise ValueError(
            f"{path}: a processor with {unusual or config.get('size')} is not read; for a soup "
            "of such models say size, mean and std under `soup.preprocessing`, which then count"
        )
    pixels, mode = size
    if crop and config.get("do_center_crop"):
        seen = {"size": crop[0], "resize": pixels, "resize_mode": mode}
    elif mode == "shortest" and pixels < 384 and config.get("crop_pct"):  # ConvNeXT's
        seen = {"size": pixels, "resize": int(pixels / config["crop_pct"]), "resize_mode": mode}
    else:
        seen = {"size": pixels, "resize": pixels, "resize_mode": "squash"}
    normal = config.get("do_normalize", True)
    return {
        **seen,
        "interpolation": RESAMPLING.get(config.get("resample", 2), "bilinear"),
        "mean": config["image_mean"] if normal else [0.0] * 3,
        "std": config["image_std"] if normal else [1.0] * 3,
    }


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
