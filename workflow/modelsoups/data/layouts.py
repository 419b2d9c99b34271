"""The layouts in which data sets come, each listed by one function of `LAYOUTS`.

A listing has one row an image: `file` (the path as written, variables unresolved), `row` (of a
Parquet file or an array, or -1: the file is the image), `name` (unique in the set), `id` (its class
in the data, or its number as an integer), `group`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from modelsoups.base.paths import require
from modelsoups.data.arrays import list_cifar, list_npy
from modelsoups.data.class_maps import ClassMap
from modelsoups.data.listed import list_cars, list_lines
from modelsoups.data.parquet import list_parquet
from modelsoups.data.specs import DatasetSpec
from modelsoups.data.targets import CLASS
from modelsoups.data.webdataset import list_webdataset
from modelsoups.data.wilds import list_fmow, list_iwildcam

# Of torchvision's ImageFolder, in any case.
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LIST_AT_ONCE = 16  # folders: on network disks the waiting adds up
DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def list_class_folders(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """A folder a class, named by its id: ImageNet, ImageNet-R, -A, -Sketch, ObjectNet."""
    return list_folders(spec.path, class_map.ids, class_map.ignored, spec.other_classes == "skip")


def list_numeric_folders(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """A folder a class, named by its number without padding: ImageNet-V2.

    Sorted as text, `10` stands before `2`: labels by position in a sorted list are wrong here.
    """
    listing = list_folders(spec.path, [str(n) for n in range(len(class_map.ids))])
    return listing.assign(id=listing.id.astype(np.int64))


def list_flat(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """All images in one folder, with labels in a file: ImageNet's validation set as it unpacks."""
    folder = require(spec.path, "a folder of images")
    names = image_names(folder)
    if spec.labels is None and spec.predicts == CLASS:
        raise ValueError(f"{spec.path}: layout flat needs `labels` (see config/README.md)")
    return pd.DataFrame(
        {
            "file": [f"{spec.path}/{name}" for name in names],
            "row": -1,
            "name": names,
            "id": read_flat_labels(require(spec.labels, "the labels"), names) if spec.labels else 0,
            "group": "",
        }
    )


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A way in which data sets come."""

    list_images: Callable[[DatasetSpec, ClassMap], pd.DataFrame]
    reads: str  # what counts as an image, for errors


FILES = f"the files that end in {', '.join(SUFFIXES)}"
LAYOUTS = {
    "parquet": Layout(
        list_images=list_parquet, reads="the rows of its Parquet files that match `where`"
    ),
    **{
        kind: Layout(list_images=list_parquet, reads=f"the rows of its {kind} files")
        for kind in ("csv", "tsv")
    },
    "class-folders": Layout(list_images=list_class_folders, reads=FILES),
    "numeric-folders": Layout(list_images=list_numeric_folders, reads=FILES),
    "flat": Layout(list_images=list_flat, reads=FILES),
    "listed": Layout(list_images=list_lines, reads="the lines of its list"),
    "cars": Layout(list_images=list_cars, reads="the rows of its annotations"),
    "cifar": Layout(list_images=list_cifar, reads="the rows of its batches"),
    "webdataset": Layout(list_images=list_webdataset, reads="the examples in its tar shards"),
    "npy": Layout(list_images=list_npy, reads="the rows of its array"),
    "fmow": Layout(list_images=list_fmow, reads="the rows of rgb_metadata.csv in its splits"),
    "iwildcam": Layout(list_images=list_iwildcam, reads="the rows of metadata.csv in its splits"),
}


def list_folders(
    root: str, ids: Sequence[str], ignored: frozenset[str] = frozenset(), subset: bool = False
) -> pd.DataFrame:
    """The images in the folders `ids` of `root`, folder by folder, each sorted by name.

    Files beside the folders (a README) are passed over, of a subset other folders too.

    Raises:
        ValueError: folders are missing, or there are others; names the first of them.
    """
    folder = require(root, f"a folder with the class folders {ids[0]}, ...")
    found = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    found = {name for name in found if not name.startswith(".")}
    missing = [id for id in ids if id not in found]
    unknown = [] if subset else sorted(found - set(ids) - ignored)
    if missing or unknown:
        raise ValueError(
            f"{root}: expected {len(ids)} class folders; {len(missing)} are missing "
            f"{missing[:5]}, {len(unknown)} are of no class {unknown[:5]}. Is the archive "
            "unpacked in full, and the path that of the folder right above the class folders? Of a "
            "study of some of its classes, `other_classes: skip` passes the others over; a class "
            "without images has an empty folder"
        )
    with ThreadPoolExecutor(LIST_AT_ONCE) as pool:
        names = list(pool.map(image_names, (folder / id for id in ids)))
    pairs = [(id, name) for id, inside in zip(ids, names, strict=True) for name in inside]
    return pd.DataFrame(
        {
            "file": [f"{root}/{id}/{name}" for id, name in pairs],
            "row": -1,
            "name": [f"{id}/{name}" for id, name in pairs],
            "id": [id for id, _ in pairs],
            "group": "",
        }
    )


def image_names(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted; hidden and other files are passed over."""
    names = (entry.name for entry in os.scandir(folder))
    return sorted(
        name
        for name in names
        if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
    )


def read_flat_labels(path: Path, names: Sequence[str]) -> list[str]:
    """The class ids of images in one folder, in the order of their sorted `names`.

    Args:
        path: the devkit's folder (its `data/` has the ground truth and meta.mat), a text file with
            one id a line in the order of the names, or a CSV with the columns ImageId and
            PredictionString (Kaggle's LOC_val_solution.csv).
    Raises:
        ValueError: the labels are not those of these images.
    """
    if path.is_dir():
        labels = read_devkit(path)
    elif path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str)
        if not {"ImageId", "PredictionString"} <= set(table):
            raise ValueError(
                f"{path}: expected the columns ImageId and PredictionString, found {list(table)}"
            )
        by_name = dict(zip(table.ImageId, table.PredictionString.str.split().str[0], strict=True))
        stems = [Path(name).stem for name in names]
        if unlabelled := [stem for stem in stems if stem not in by_name]:
            raise ValueError(f"{path}: no label for {len(unlabelled)} images, e.g. {unlabelled[0]}")
        return [by_name[stem] for stem in stems]
    else:
        labels = read_words(path)
    if len(labels) != len(names):
        raise ValueError(
            f"{path}: expected a label for each of {len(names)} images, found {len(labels)}; are "
            "they of another set, or images missing?"
        )
    return labels


def read_words(path: Path) -> list[str]:
    """The words of a text file."""
    try:
        return path.read_text("utf-8").split()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected a text file with a class id a line ({error})"
        ) from error


def read_devkit(folder: Path) -> list[str]:
    """The wnids of ImageNet's validation images, from the development kit of ILSVRC 2012.

    Its class numbers (ILSVRC2012_ID) are not those of the sorted wnids; meta.mat translates.
    """
    from scipy.io import loadmat

    data = folder / "data" if (folder / "data").is_dir() else folder
    truth = require(data / DEVKIT_TRUTH, "the devkit's labels")
    meta = loadmat(require(data / "meta.mat", "the devkit's classes"), squeeze_me=True)["synsets"]
    wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in np.atleast_1d(meta)}
    return [wnids[int(number)] for number in read_words(truth)]
