"""ImageNet's train and validation set and its five shift sets, in the layouts they unpack to,
with a few tiny images of a few classes."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

# The first two are classes of ImageNet-R, the third is one of ImageNet-A.
WNIDS = ["n01443537", "n01484850", "n01558993"]  # goldfish, great white shark, robin


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (12, 9), **options) -> None:
    """An image of noise in the format of the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    kind = "png" if path.suffix.lower() == ".png" else "jpeg"
    Image.fromarray(pixels).save(path, kind, **options)


def write_train(root: Path, wnids=WNIDS, per_class: int = 4) -> Path:
    """<wnid>/<wnid>_<number>.JPEG; numbers are not padded, as in the archive."""
    for wnid in wnids:
        for number in range(per_class):
            write_image(root / wnid / f"{wnid}_{10 * number + 1}.JPEG", seed=number)
    return root


def write_flat_val(root: Path, num_images: int = 6) -> Path:
    """ILSVRC2012_val_00000001.JPEG, ... as the archive unpacks."""
    for number in range(1, num_images + 1):
        write_image(root / f"ILSVRC2012_val_{number:08d}.JPEG", seed=number)
    return root


def write_real(path: Path, labels: list[list[int]]) -> Path:
    """real.json: a list of labels for each of the 50,000 images; none after the first ones here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(labels + [[]] * (50_000 - len(labels))))
    return path


def write_multilabel(path: Path, annotations: dict, problematic=(), version: int = 3) -> Path:
    """human_accuracy_v3.0.0.json, or one of before: annotations and problems by file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "initial_annots": annotations,
        "problematic_images": {name: "a reason" for name in problematic},
        **({"imagenet_m": list(annotations)[:1]} if version == 3 else {}),
    }
    path.write_text(json.dumps(content))
    return path


def write_v2(root: Path, num_classes: int, per_class: int = 2) -> Path:
    """0/, 1/, ... without padding, files <hash>.jpeg."""
    for label in range(num_classes):
        for number in range(per_class):
            write_image(root / str(label) / f"{label:04x}{number:04x}.jpeg", seed=number)
    return root


def write_renditions(root: Path, wnids, per_class: int = 2) -> Path:
    """imagenet-r and imagenet-a: <wnid>/<style>_<number>.jpg, with a README.txt beside."""
    for wnid in wnids:
        for number in range(per_class):
            write_image(root / wnid / f"art_{number}.jpg", seed=number)
    (root / "README.txt").write_text("Natural Adversarial Examples\n")
    return root


def write_sketch(root: Path, wnids=WNIDS, per_class: int = 2) -> Path:
    """sketch/<wnid>/sketch_<number>.JPEG."""
    for wnid in wnids:
        for number in range(per_class):
            write_image(root / "sketch" / wnid / f"sketch_{number}.JPEG", seed=number)
    return root


def write_objectnet(root: Path, per_class: int = 2) -> Path:
    """images/<folder>/<id>.png and the four files of mappings/.

    Of three folders two overlap: "alarm_clock" with the study's classes 0 and 2, "tie" with class
    1. Lines of imagenet_to_label_2012_v2 are in an order of their own.
    """
    for folder in ("tie", "alarm_clock", "spatula"):
        for number in range(per_class):
            write_image(root / "images" / folder / f"{folder[:2]}{number:014x}.png", seed=number)
    mappings = root / "mappings"
    mappings.mkdir()
    content = {
        "folder_to_objectnet_label": {
            "spatula": "Spatula",
            "alarm_clock": "Alarm clock",
            "tie": "Tie",
        },
        "objectnet_to_imagenet_1k": {
            "Alarm clock": "analog clock; digital clock",
            "Tie": "Windsor tie",
        },
        "pytorch_to_imagenet_2012_id": {"0": 3, "1": 0, "2": 2},
    }
    for name, value in content.items():
        (mappings / f"{name}.json").write_text(json.dumps(value))
    lines = ["Windsor tie", "crane", "digital clock", "analog clock", "crane"]
    (mappings / "imagenet_to_label_2012_v2").write_text("\n".join(lines) + "\n")
    return root
