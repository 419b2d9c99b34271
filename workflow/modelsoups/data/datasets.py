"""Data sets: which images and labels belong to one (its index), checked against known counts."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelsoups.base.files import versions
from modelsoups.base.paths import require
from modelsoups.data.class_maps import ClassMap, build_class_map
from modelsoups.data.layouts import LAYOUTS, Layout
from modelsoups.data.reading import describe
from modelsoups.data.specs import CountsSpec, DatasetSpec, SplitSpec
from modelsoups.data.targets import CLASS, read_array
from modelsoups.study.search import as_params

# The part of ImageNet's file names that is the same in every distribution: the hub's have the
# class appended (n01440764_10026_n01440764.JPEG).
IMAGENET_NAME = re.compile(r"(?:n\d{8}_\d+|ILSVRC2012_val_\d{8})")


def read_classes(path: str | Path) -> pd.DataFrame:
    """The classes of a study in label order: columns `id` (as in the data) and `name` (English)."""
    classes = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not {"id", "name"} <= set(classes) or classes.id.duplicated().any() or classes.empty:
        raise ValueError(
            f"{path}: expected columns id and name with one row a class and no id twice, "
            f"found columns {list(classes)} and {len(classes)} rows"
        )
    return classes


def index_dataset(spec: DatasetSpec, classes: Sequence[str]) -> tuple[pd.DataFrame, ClassMap]:
    """The images of a data set, one row each, and the classes that its labels number.

    How many there are is not looked at, except of a set that is split (see `check_counts`).

    Args:
        spec: where the images are.
        classes: ids of the study's classes in label order.
    Returns:
        index: columns `file` (path as written in the config), `row` (of a Parquet file, or -1),
            `name` (unique), `label` (0..T-1), `group`, and `trim_border` where the spec has one.
            Models that give no class have `targets` (T,) instead, and label 0 everywhere.
            Folders are in label order and sorted by name within one, files of Parquet in their own
            order.
        class_map: the T classes.
    Raises:
        ValueError: data are missing, a label is no class, or the set to be split is not whole.
    """
    class_map = build_class_map(spec.class_map, classes, spec.mappings)
    listing = layout_of(spec).list_images(spec, class_map)
    if spec.other_classes == "skip":
        listing = of_classes(listing, class_map.ids, spec.path)
    columns = ["file", "row", "name", "label", "group"]
    if spec.predicts == CLASS:
        index = listing.drop(columns="id").assign(
            label=to_labels(listing, class_map.ids, spec.path)
        )
    else:
        index = listing.assign(label=0)
        columns += ["targets"]
        if "targets" not in index:
            index["targets"] = list(read_array(spec, len(index), class_map.ids))
    index = index[columns]
    if spec.trim_border:
        index = index.assign(trim_border=spec.trim_border)
    if spec.split:
        check_counts(spec, CountsSpec(num_images=spec.split.num_images), index, class_map.ids)
        chosen = held_out_mask(index, spec.split)
        index = index[chosen if spec.split.part == "held-out" else ~chosen].reset_index(drop=True)
    return index, class_map


def of_classes(listing: pd.DataFrame, classes: Sequence[str], path: str) -> pd.DataFrame:
    """The images of a listing that are of these classes: a study of some classes of a whole set.

    Raises: ValueError if the data have numbers of classes, which are of the whole set's.
    """
    if pd.api.types.is_integer_dtype(listing["id"]):
        raise ValueError(
            f"{path}: other_classes: skip needs data that name classes by their ids; these have "
            "numbers, of which nobody knows which class each is"
        )
    return listing[listing["id"].isin(list(classes))].reset_index(drop=True)


def targets_of(index: pd.DataFrame) -> np.ndarray:
    """What models are to give for the images of an index: classes (n,), or targets (n, T)."""
    if "targets" not in index:
        return index.label.to_numpy()
    return np.stack(index["targets"].to_list())


def read_groups(index: str | Path) -> np.ndarray:
    """The group of each image of an index: (n,) integers from 0, in sorted order; -1 for none.

    Args: index: a file; the column `group` is text, empty or null where an image is of no group.
    """
    groups = pd.read_parquet(index, columns=["group"])["group"].replace("", None)
    codes, _ = pd.factorize(groups, sort=True)
    return codes


def layout_of(spec: DatasetSpec) -> Layout:
    """The layout that a data set comes in."""
    if spec.layout not in LAYOUTS:
        raise ValueError(
            f"{spec.path}: layout {spec.layout!r} is unknown; allowed: {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[spec.layout]


def check_counts(
    spec: DatasetSpec, counts: CountsSpec, index: pd.DataFrame, ids: Sequence[str]
) -> None:
    """Raise a ValueError that names the classes concerned unless the counts are the known ones.

    Args:
        index: of the data set. ids: of its T classes in label order.
    """
    found = np.bincount(index.label, minlength=len(ids)).tolist()
    problems = []
    if counts.num_images not in (None, len(index)):
        problems.append(f"expected {counts.num_images:,} images, found {len(index):,}")
    if counts.num_classes not in (None, present := sum(map(bool, found))):
        empty = [id for id, count in zip(ids, found, strict=True) if not count]
        problems.append(
            f"expected images of {counts.num_classes} classes, found {present}; none of {empty[:5]}"
        )
    wrong = [
        f"{id}: {count}"
        for id, count in zip(ids, found, strict=True)
        if counts.images_per_class not in (None, count)
    ]
    if wrong:
        problems.append(
            f"expected {counts.images_per_class} images of each class, found others in "
            f"{len(wrong)} classes ({', '.join(wrong[:5])})"
        )
    if problems:
        where = f"{spec.path}, where {spec.where}" if spec.where else spec.path
        raise ValueError(
            f"{where}: {'; '.join(problems)}. Is the data set whole and of the right version? "
            f"Its images are {layout_of(spec).reads}"
        )


def to_labels(listing: pd.DataFrame, classes: Sequence[str], path: str) -> np.ndarray:
    """Class numbers (n,) int64 from a listing, whose `id` has class numbers or class ids.

    Raises:
        ValueError: a value is no class; names some of them, and the first image.
    """
    ids = listing["id"]
    if pd.api.types.is_integer_dtype(ids):
        labels = ids.to_numpy(np.int64)
    else:
        labels = pd.Index(classes).get_indexer(ids).astype(np.int64)
    bad = (labels < 0) | (labels >= len(classes))
    if bad.any():
        file, row = listing.loc[bad, ["file", "row"]].iloc[0]
        raise ValueError(
            f"{path}: {bad.sum()} images have a label that is none of the {len(classes)} classes "
            f"(e.g. {sorted(set(ids[bad].astype(str)))[:5]}), the first is {describe(file, row)}; "
            "is the classes file the right one?"
        )
    return labels


def held_out_mask(index: pd.DataFrame, split: SplitSpec) -> np.ndarray:
    """Which images of a whole training set are held out: (n,) bool, `per_class` of each class.

    Args:
        index: columns `name` and `label`, in the order that a file of indices refers to.
    Raises:
        ValueError: a file of indices is not one of this set; says what does not fit.
    """
    if split.indices is None:
        keys = [f"{split.seed}/{image_key(name)}".encode() for name in index.name]
        order = np.argsort([hashlib.sha256(key).hexdigest() for key in keys])
        ordered = pd.Series(index.label.to_numpy()[order])
        mask = np.zeros(len(index), dtype=bool)
        mask[order[ordered.groupby(ordered).cumcount() < split.per_class]] = True
        return mask
    mask = np.load(require(split.indices, "the file of held-out images")) != 0
    if mask.shape != (len(index),):
        raise ValueError(
            f"{split.indices}: expected a number for each of {len(index)} images, found shape "
            f"{mask.shape}"
        )
    counts = np.bincount(index.label[mask], minlength=index.label.max() + 1)
    if (counts != split.per_class).any():
        raise ValueError(
            f"{split.indices}: expected {split.per_class} held-out images of each class, found "
            f"{counts.min()} to {counts.max()}; is it made for another order of files?"
        )
    names = index.name[mask].to_list()
    for position, end in split.guard.items():
        name = dict(enumerate(names)).get(int(position), "no such image")
        if not name.endswith(end):
            raise ValueError(
                f"{split.indices}: held-out image {position} should be {end}, found {name}; the "
                "file counts on another order of files"
            )
    return mask


def image_key(name: str) -> str:
    """What names an image in every distribution of its set: ImageNet's number, or the file name."""
    base = name.rsplit("/", 1)[-1]
    found = IMAGENET_NAME.match(base)
    return found[0] if found else name


def hash_names(index: pd.DataFrame) -> str:
    """SHA-256 of the images' keys, sorted, one a line: equal for equal sets of images."""
    keys = sorted(map(image_key, index.name))
    return hashlib.sha256("".join(f"{key}\n" for key in keys).encode()).hexdigest()


def describe_dataset(
    spec: DatasetSpec, counts: CountsSpec, index: pd.DataFrame, ids: Sequence[str]
) -> dict[str, Any]:
    """The record of a data set: what it is, how many images and classes, and a hash of its names.

    Equal hashes mean equal sets of images, in whatever layout and order they came.

    Args:
        index: of the data set. ids: of its T classes in label order.
    Raises:
        ValueError: a count is not the known one.
    """
    check_counts(spec, counts, index, ids)
    return {
        "spec": as_params(spec),
        "num_images": len(index),
        "num_classes": int(index.label.nunique()),
        "target_classes": list(ids),
        "names_sha256": hash_names(index),
        "versions": versions(),
    }
