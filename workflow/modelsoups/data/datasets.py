"""Data sets: which images and labels belong to one (its index), and their encoded bytes."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modelsoups.base.files import versions
from modelsoups.base.paths import require, resolve
from modelsoups.data.class_maps import ClassMap, Name, build_class_map
from modelsoups.data.layouts import LAYOUTS

Role = Literal["train", "held_out", "test", "shift"]

# The part of ImageNet's file names that is the same in every distribution: the hub's have the
# class appended (n01440764_10026_n01440764.JPEG).
IMAGENET_NAME = re.compile(r"(?:n\d{8}_\d+|ILSVRC2012_val_\d{8})")


@dataclass(frozen=True, kw_only=True)
class SplitSpec:
    """One of the two parts of a training set: the held-out images of each class, or the rest.

    The held-out images are those with the smallest SHA-256 of "seed/name": a choice that depends
    on the names alone, not on the order of files, the layout or a library's random numbers. With
    `indices` they are those of a file instead.
    """

    part: Literal["held-out", "rest"]
    num_images: int  # of both parts together; anything else is an error
    per_class: int  # images held out of each class
    seed: int = 0
    indices: str | None = None  # .npy, one number an image in sorted order: not 0 is held out
    guard: dict[int, str] = field(default_factory=dict)  # n-th held-out image -> end of its name


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One data set of a study."""

    role: Role
    path: str  # a folder, a Parquet file, or a pattern of several; may begin with $VARIABLE
    num_images: int  # known size; anything else is an error
    layout: str = "parquet"  # one of LAYOUTS
    num_classes: int | None = None  # known number of classes with an image
    images_per_class: int | None = None  # known, where it is the same for all
    class_map: Name | None = None  # where the classes are not the study's own
    mappings: str | None = None  # class_map objectnet: the archive's folder of that name
    labels: str | None = None  # layout flat: where its labels are
    split: dict[str, Any] | None = None  # the fields of a SplitSpec
    where: dict[str, list[str]] = field(default_factory=dict)  # Parquet: column -> values
    image: str = "image"  # Parquet: column of structs with the field `bytes`
    label: str = "label"  # Parquet: column with the class: its number, or its id
    group: str = "group"  # Parquet: column kept in the index as `group`
    counterpart: str | None = None  # the paper's data set whose part it plays

    def __post_init__(self):
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout {self.layout!r} is unknown; allowed: {', '.join(LAYOUTS)}")


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

    Args:
        spec: where the images are.
        classes: ids of the study's classes in label order.
    Returns:
        index: columns `file` (path as written in the config), `row` (of a Parquet file, or -1),
            `name` (unique), `label` (0..T-1), `group`. Folders are in label order and sorted by
            name within one, files of Parquet in their own order.
        class_map: the T classes.
    Raises:
        ValueError: data are missing, a label is no class, or a count is not the one the spec has.
    """
    class_map = build_class_map(spec.class_map, classes, spec.mappings)
    listing = LAYOUTS[spec.layout](spec, class_map)
    labels = to_labels(listing.pop("id"), class_map.ids, where=spec.path)
    index = listing.assign(label=labels)[["file", "row", "name", "label", "group"]]
    if spec.split:
        split = SplitSpec(**spec.split)
        check_counts(spec.path, index, class_map.ids, split.num_images)
        chosen = held_out_mask(index, split)
        index = index[chosen if split.part == "held-out" else ~chosen].reset_index(drop=True)
    check_counts(
        f"{spec.path}, where {spec.where}" if spec.where else spec.path,
        index,
        class_map.ids,
        spec.num_images,
        spec.num_classes,
        spec.images_per_class,
    )
    return index, class_map


def check_counts(
    where: str,
    index: pd.DataFrame,
    ids: Sequence[str],
    num_images: int,
    num_classes: int | None = None,
    images_per_class: int | None = None,
) -> None:
    """Raise a ValueError that names the classes concerned unless the counts are the known ones."""
    counts = np.bincount(index.label, minlength=len(ids)).tolist()
    problems = []
    if len(index) != num_images:
        problems.append(f"expected {num_images:,} images, found {len(index):,}")
    if num_classes is not None and (found := sum(map(bool, counts))) != num_classes:
        empty = [id for id, count in zip(ids, counts, strict=True) if not count]
        problems.append(
            f"expected images of {num_classes} classes, found {found}; none of {empty[:5]}"
        )
    wrong = [
        f"{id}: {count}"
        for id, count in zip(ids, counts, strict=True)
        if images_per_class is not None and count != images_per_class
    ]
    if wrong:
        problems.append(
            f"expected {images_per_class} images of each class, found others in {len(wrong)} "
            f"classes ({', '.join(wrong[:5])})"
        )
    if problems:
        raise ValueError(
            f"{where}: {'; '.join(problems)}. Is the data set whole and of the right version?"
        )


def to_labels(column: pd.Series, classes: Sequence[str], where: str) -> np.ndarray:
    """Class numbers (n,) int64 from a column of class numbers or of class ids.

    Raises:
        ValueError: a value is no class; names the first few and where they are.
    """
    if pd.api.types.is_integer_dtype(column):
        labels = column.to_numpy(np.int64)
    else:
        labels = pd.Index(classes).get_indexer(column).astype(np.int64)
    bad = (labels < 0) | (labels >= len(classes))
    if bad.any():
        raise ValueError(
            f"{where}: {bad.sum()} images have a label that is none of the {len(classes)} classes "
            f"(e.g. {sorted(set(column[bad].astype(str)))[:5]}); is the classes file the right one?"
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
    counts = np.bincount(index.label[mask])
    if (counts != split.per_class).any():
        raise ValueError(
            f"{split.indices}: expected {split.per_class} held-out images of each class, found "
            f"{counts.min()} to {counts.max()}; is it made for another order of files?"
        )
    names = index.name[mask].to_list()
    for position, end in split.guard.items():
        if not names[int(position)].endswith(end):
            raise ValueError(
                f"{split.indices}: held-out image {position} should be {end}, found "
                f"{names[int(position)]}; the file counts on another order of files"
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


def describe_dataset(spec: DatasetSpec, index: pd.DataFrame, class_map: ClassMap) -> dict[str, Any]:
    """The record of a data set: what it is, how many images and classes, and a hash of its names.

    Equal hashes mean equal sets of images, in whatever layout and order they came.
    """
    return {
        "spec": asdict(spec),
        "num_images": len(index),
        "num_classes": int(index.label.nunique()),
        "target_classes": class_map.ids,
        "names_sha256": hash_names(index),
        "versions": versions(),
    }


def read_images(index: pd.DataFrame, column: str = "image") -> Iterator[bytes | Path]:
    """Each image of an index, in its order: its encoded bytes, or the path of its file.

    Of a Parquet file one row group is in memory at once; its rows must ascend, as
    `index_dataset` gives them.
    """
    for file, rows in index.groupby("file", sort=False)["row"]:
        path = resolve(file)
        if rows.iloc[0] < 0:
            yield path
            continue
        parquet = pq.ParquetFile(path)
        start = 0
        for group in range(parquet.num_row_groups):
            stop = start + parquet.metadata.row_group(group).num_rows
            inside = rows[(rows >= start) & (rows < stop)] - start
            if len(inside):
                images = parquet.read_row_group(group, columns=[column])[column]
                for image in images.take(inside.to_numpy()):
                    yield image["bytes"].as_py()
            start = stop


def read_image(file: str, row: int) -> bytes | Path:
    """One image of an index at random: the path of its file, or a row of an Arrow file.

    Raises:
        ValueError: it lies in a Parquet file, of which only whole row groups can be read.
    """
    path = resolve(file)
    if row < 0:
        return path
    if path.suffix != ".arrow":
        raise ValueError(
            f"{file}: training reads images at random, which takes a folder of files; set "
            "`training_input: resized` to make a copy that it can read"
        )
    batches, rows_per_batch = open_arrow(path)
    return batches[row // rows_per_batch]["image"][row % rows_per_batch].as_py()


@lru_cache(maxsize=8)
def open_arrow(path: Path) -> tuple[list[pa.RecordBatch], int]:
    """The record batches of a memory-mapped Arrow file, and the rows of all but the last."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return batches, batches[0].num_rows
