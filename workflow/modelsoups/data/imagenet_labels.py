"""ImageNet's two second label sets, for images that have several right answers (paper Table 4).

Each gives a list of accepted classes for every image of ImageNet's validation set; an image with an
empty list is not scored.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from modelsoups.data.class_maps import load_json, timm_file
from modelsoups.data.datasets import image_key

NUM_VALIDATION_IMAGES = 50_000


@dataclass(frozen=True, kw_only=True)
class RealSpec:
    """ImageNet ReaL (Beyer et al. 2020): accuracy is the mean over the images with a label."""

    dataset: str
    path: str | None = None  # of real.json; None: timm's copy of it


@dataclass(frozen=True, kw_only=True)
class MultilabelSpec:
    """Multi-label ImageNet (Shankar et al. 2020): accuracy is the mean over the classes' means."""

    dataset: str
    path: str  # of the annotations that TFDS uses for imagenet2012_multilabel
    version: Literal["3.0.0", "2.0.0"]  # of TFDS; 2.0.0 stands for all before 3.0.0


def from_real(spec: RealSpec, index: pd.DataFrame, classes: pd.DataFrame) -> list[list[int]]:
    """The accepted classes of each image, by its number in real.json.

    Raises:
        ValueError: another number of labels, labels of other classes, or an image without number.
    """
    path = spec.path or timm_file("imagenet_real_labels.json")
    if spec.path is None:
        wnids = timm_file("imagenet_synsets.txt").read_text("utf-8").split()
        if classes.id.tolist() != wnids:
            raise ValueError(
                "ReaL's labels number ImageNet's 1,000 classes by their sorted wnids; the study "
                f"has {len(classes)} classes, the first {classes.id[0]}. For others give `path`"
            )
    labels = load_json(path, "ReaL's labels (real.json)")
    if len(labels) != NUM_VALIDATION_IMAGES:
        raise ValueError(
            f"{path}: expected labels of {NUM_VALIDATION_IMAGES} images, found {len(labels)}; "
            "take real.json of google-research/reassessed-imagenet"
        )
    accepted = [labels[validation_number(name) - 1] for name in index.name]
    highest = max((max(some) for some in accepted if some), default=-1)
    if highest >= len(classes):
        raise ValueError(f"ReaL has label {highest}, the study has {len(classes)} classes")
    return accepted


def from_multilabel(
    spec: MultilabelSpec, index: pd.DataFrame, classes: pd.DataFrame
) -> list[list[int]]:
    """The accepted classes of each image: the correct and the unclear ones.

    Images that are problematic or not annotated have none. Version 3.0.0 is told from earlier ones
    by its split ImageNet-M; the paper's Table 4 fits an earlier one.

    Raises:
        ValueError: the file is of another version than the spec says, or names unknown classes.
    """
    content = load_json(spec.path, "the multi-label annotations (JSON)")
    if not {"initial_annots", "problematic_images"} <= content.keys():
        raise ValueError(
            f"{spec.path}: expected the keys initial_annots and problematic_images, found "
            f"{sorted(content)[:10]}; take TFDS's file for imagenet2012_multilabel"
        )
    version = "3.0.0" if "imagenet_m" in content else "2.0.0"
    if version != spec.version:
        raise ValueError(
            f"{spec.path}: it is of version {version}, the config says {spec.version}; numbers of "
            "the two do not compare"
        )
    annotations, problematic = content["initial_annots"], set(content["problematic_images"])
    numbers = pd.Index(classes.id)
    accepted = []
    for name in index.name:
        image = f"{image_key(name)}.JPEG"
        found = {} if image in problematic else annotations.get(image, {})
        wnids = [*found.get("correct", []), *found.get("unclear", [])]
        labels = numbers.get_indexer(wnids)
        if (labels < 0).any():
            raise ValueError(f"{spec.path}, {image}: {wnids} are not all classes of the study")
        accepted.append(sorted(set(labels.tolist())))
    return accepted


def validation_number(name: str) -> int:
    """The number 1..50,000 in the name of an image of ImageNet's validation set."""
    key = image_key(name)
    if not key.startswith("ILSVRC2012_val_"):
        raise ValueError(
            f"{name}: expected an image named ILSVRC2012_val_<number>; ReaL's labels go by number"
        )
    return int(key.rsplit("_", 1)[1])
