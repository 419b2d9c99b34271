"""Class maps: which of a model's logits stand for each class of a data set.

ImageNet-A and ImageNet-R have 200 of ImageNet's 1,000 classes: the logits of the others are left
out. A class of ObjectNet may cover several of ImageNet: its logit is the maximum of theirs (the
protocol of the official code: mlfoundations/model-soups, datasets/objectnet.py).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

from modelsoups.base.paths import require
from modelsoups.data.specs import ClassMapName


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """The T classes of a data set, in label order, and the model's logits behind each."""

    ids: list[str]  # (T,), as in the data
    logits: np.ndarray  # (T, K) int64: numbers of the model's classes; a row repeats its first
    ignored: frozenset[str] = field(default_factory=frozenset)  # ids of other classes in the data


def build_class_map(
    name: ClassMapName | None, classes: Sequence[str], mappings: str | Path | None = None
) -> ClassMap:
    """The class map of a data set.

    Args:
        name: `imagenet-a` or `imagenet-r`: the classes of the study that timm lists as the set's;
            `objectnet`: what `mappings` says; None: the data set has the study's own classes.
        classes: ids of the study's classes in label order; for the three named maps wnids.
        mappings: the folder `mappings` of ObjectNet's archive.
    """
    match name:
        case None:
            return ClassMap(ids=list(classes), logits=np.arange(len(classes))[:, None])
        case "objectnet":
            if mappings is None:
                raise ValueError(
                    "class_map objectnet needs `mappings`, the folder of that name in ObjectNet's "
                    "archive; none is given"
                )
            return read_objectnet(require(mappings, "ObjectNet's folder `mappings`"))
        case _:
            listed = set(read_synsets(name))
            numbers = [number for number, wnid in enumerate(classes) if wnid in listed]
            if not numbers:
                raise ValueError(
                    f"class_map {name}: expected classes named by wnid, found {list(classes[:3])}"
                )
            return ClassMap(
                ids=[classes[number] for number in numbers], logits=np.array(numbers)[:, None]
            )


def read_synsets(name: str) -> list[str]:
    """The wnids of `imagenet-a` or `imagenet-r`, as timm ships them."""
    return timm_file(f"{name.replace('-', '_')}_synsets.txt").read_text("utf-8").split()


def timm_file(name: str) -> Path:
    """A table that timm ships; found without importing timm, which imports torch."""
    return Path(str(distribution("timm").locate_file(f"timm/data/_info/{name}")))


def load_json(path: str | Path, what: str) -> Any:
    """The content of a JSON file that must exist, `what` it is.

    Raises:
        ValueError: it does not, or is no JSON; names it.
    """
    try:
        return json.loads(require(path, what).read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected {what}, found no JSON ({error}); is the download whole?"
        ) from error


def read_objectnet(mappings: Path) -> ClassMap:
    """The classes that ObjectNet shares with ImageNet, from the four files in its archive.

    The classes are the folders of the images, numbered in sorted order. Labels of ImageNet are
    matched by their line in `imagenet_to_label_2012_v2`; "crane" stands there twice (bird and
    machine), and a label that ObjectNet uses must not.

    Raises:
        ValueError: a file is missing or the files do not fit one another; names the label.
    """
    folders, labels, numbers = (
        load_json(mappings / f"{name}.json", "a file of ObjectNet's archive")
        for name in (
            "folder_to_objectnet_label",
            "objectnet_to_imagenet_1k",
            "pytorch_to_imagenet_2012_id",
        )
    )
    text = require(mappings / "imagenet_to_label_2012_v2", "a file of ObjectNet's archive")
    lines = [line.strip() for line in text.read_text("utf-8").splitlines()]
    number_of_line = {line: int(number) for number, line in numbers.items()}

    def find(label: str) -> int:
        if (count := lines.count(label)) != 1:
            raise ValueError(
                f"{text}: expected the label {label!r} of objectnet_to_imagenet_1k.json on one "
                f"line, found it on {count}; take all four files from one archive"
            )
        return number_of_line[lines.index(label)]

    pooled = {
        folder: [find(name) for name in labels[label].split("; ")]
        for folder, label in folders.items()
        if label in labels
    }
    if len(pooled) != len(labels):
        raise ValueError(
            f"{mappings}: no folder for {sorted(labels.keys() - set(folders.values()))}; take all "
            "four files from one archive"
        )
    ids = sorted(pooled)
    width = max(map(len, pooled.values()))
    rows = [pooled[id] + pooled[id][:1] * (width - len(pooled[id])) for id in ids]
    return ClassMap(ids=ids, logits=np.array(rows), ignored=frozenset(folders.keys() - pooled))


def pool_alike(
    logits: np.ndarray, class_map: np.ndarray, *others: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Pooled logits, and of other arrays (n, C) the values at the logits that were the maxima.

    So the derivatives of the logits become those of the pooled ones.
    """
    largest = logits[:, class_map].argmax(axis=2)  # (n, T)
    numbers = class_map[np.arange(len(class_map)), largest]
    return tuple(np.take_along_axis(array, numbers, axis=1) for array in (logits, *others))


def pool_logits(logits: np.ndarray, class_map: np.ndarray) -> np.ndarray:
    """Logits (n, T) of a data set's classes: for each the maximum of its row of the class map.

    Args:
        logits: (n, C) of the model's classes. class_map: (T, K) integers below C.
    Raises:
        ValueError: the map names a class that the model does not have.
    """
    if class_map.max() >= logits.shape[1]:
        raise ValueError(
            f"the class map names class {class_map.max()}, the model has {logits.shape[1]}; is the "
            "head the right one?"
        )
    pooled = logits[:, class_map[:, 0]]
    for column in class_map.T[1:]:  # K is 1 to 3: no (n, T, K) array is made
        np.maximum(pooled, logits[:, column], out=pooled)
    return pooled
