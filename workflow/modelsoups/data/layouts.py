"""The layouts in which data sets come, each listed by one function of `LAYOUTS`.

A listing has one row an image: `file` (the path as written, variables unresolved), `row` (of a
Parquet file, or -1: the file is the image), `name` (unique in the set), `id` (its class in the
data, or its number as an integer), `group`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from modelsoups.base.paths import require, resolve
from modelsoups.data.class_maps import ClassMap

if TYPE_CHECKING:
    from modelsoups.data.datasets import DatasetSpec

SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp"}
LIST_AT_ONCE = 16  # folders: on network disks the waiting adds up
DEVKIT_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def list_class_folders(spec: "DatasetSpec", class_map: ClassMap) -> pd.DataFrame:
    """A folder a class, named by its id: ImageNet, ImageNet-R, -A, -Sketch, ObjectNet."""
    return list_folders(spec.path, class_map.ids, class_map.ignored)


def list_numeric_folders(spec: "DatasetSpec", class_map: ClassMap) -> pd.DataFrame:
    """A folder a class, named by its number without padding: ImageNet-V2.

    Sorted as text, `10` stands before `2`: labels by position in a sorted list are wrong here.
    """
    listing = list_folders(spec.path, [str(n) for n in range(len(class_map.ids))])
    return listing.assign(id=listing.id.astype(np.int64))


def list_flat(spec: "DatasetSpec", class_map: ClassMap) -> pd.DataFrame:
    """All images in one folder, with labels in a file: ImageNet's validation set as it unpacks."""
    folder = require(spec.path, "a folder of images")
    names = image_names(folder)
    if spec.labels is None:
        raise ValueError(f"{spec.path}: layout flat needs `labels` (see config/README.md)")
    return pd.DataFrame(
        {
            "file": [f"{spec.path}/{name}" for name in names],
            "row": -1,
            "name": names,
            "id": read_flat_labels(require(spec.labels, "the labels"), names),
            "group": "",
        }
    )


def list_parquet(spec: "DatasetSpec", class_map: ClassMap) -> pd.DataFrame:
    """Parquet files in the layout of the Hugging Face hub; `path` may be a pattern with `*`."""
    pattern = resolve(spec.path)
    places = [Path(place) for place in sorted(pattern.parent.glob(pattern.name))]
    if not places:
        raise ValueError(
            f"{spec.path}: no such file. Is the download whole (data sets behind terms need them "
            "accepted), and the path right?"
        )
    folder = os.path.dirname(spec.path)
    return pd.concat(
        [list_parquet_file(spec, os.path.join(folder, place.name), place) for place in places],
        ignore_index=True,
    )


def list_parquet_file(spec: "DatasetSpec", file: str, place: Path) -> pd.DataFrame:
    """The rows of one file that match `spec.where`."""
    parquet = pq.ParquetFile(place)
    schema = parquet.schema_arrow
    groups = [spec.group] if spec.group in schema.names or spec.group != "group" else []
    if missing := {spec.image, spec.label, *groups, *spec.where} - set(schema.names):
        raise ValueError(
            f"{file}: no column {sorted(missing)}; it has {schema.names}. "
            "Name the right ones in the data set's config."
        )
    has_path = schema.field(spec.image).type.get_field_index("path") >= 0
    wanted = {spec.label, *groups, *spec.where, *([f"{spec.image}.path"] if has_path else [])}
    table = parquet.read(columns=sorted(wanted))
    chosen = np.ones(len(table), dtype=bool)
    for column, values in spec.where.items():
        chosen &= pc.is_in(table[column], pc.cast(values, table[column].type)).to_numpy()
    rows = np.flatnonzero(chosen)
    table = table.take(rows)
    paths = pc.struct_field(table[spec.image], "path").to_pylist() if has_path else []
    ids = table[spec.label]
    return pd.DataFrame(
        {
            "file": file,
            "row": rows.astype(np.int64),
            "name": paths or [f"{Path(file).name}:{row}" for row in rows],
            "id": ids.to_numpy() if pa.types.is_integer(ids.type) else ids.to_pylist(),
            "group": table[spec.group].cast(pa.string()).to_pylist() if groups else "",
        }
    )


LAYOUTS: dict[str, Callable[["DatasetSpec", ClassMap], pd.DataFrame]] = {
    "parquet": list_parquet,
    "class-folders": list_class_folders,
    "numeric-folders": list_numeric_folders,
    "flat": list_flat,
}


def list_folders(root: str, ids: Sequence[str], ignored: frozenset[str] = frozenset()):
    """The images in the folders `ids` of `root`, folder by folder, each sorted by name.

    Files beside the folders (a README) are passed over.

    Raises:
        ValueError: folders are missing, or there are others; names the first of them.
    """
    place = require(root, f"a folder with the class folders {ids[0]}, ...")
    found = {entry.name for entry in os.scandir(place) if entry.is_dir()}
    found = {name for name in found if not name.startswith(".")}
    missing = [id for id in ids if id not in found]
    unknown = sorted(found - set(ids) - ignored)
    if missing or unknown:
        raise ValueError(
            f"{root}: expected {len(ids)} class folders; {len(missing)} are missing "
            f"{missing[:5]}, {len(unknown)} are of no class {unknown[:5]}. Is the archive "
            "unpacked in full, and the path that of the folder right above the class folders?"
        )
    with ThreadPoolExecutor(LIST_AT_ONCE) as pool:
        names = list(pool.map(image_names, (place / id for id in ids)))
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
        labels = path.read_text().split()
    if len(labels) != len(names):
        raise ValueError(
            f"{path}: expected a label for each of {len(names)} images, found {len(labels)}; are "
            "they of another set, or images missing?"
        )
    return labels


def read_devkit(folder: Path) -> list[str]:
    """The wnids of ImageNet's validation images, from the development kit of ILSVRC 2012.

    Its class numbers (ILSVRC2012_ID) are not those of the sorted wnids; meta.mat translates.
    """
    from scipy.io import loadmat

    data = folder / "data" if (folder / "data").is_dir() else folder
    truth = require(data / DEVKIT_TRUTH, "the devkit's labels")
    meta = loadmat(require(data / "meta.mat", "the devkit's classes"), squeeze_me=True)["synsets"]
    wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in np.atleast_1d(meta)}
    return [wnids[int(number)] for number in truth.read_text().split()]
