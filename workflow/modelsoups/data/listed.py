"""Data sets whose images stand in a list: DTD, Food-101, SUN397 in text, Cars in a .mat file."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from modelsoups.base.paths import require
from modelsoups.data.class_maps import ClassMap
from modelsoups.data.specs import DatasetSpec


def list_lines(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The images that a text file names, a path a line, a listing (see layouts).

    The class is the folder of the path: of DTD's `labels/train1.txt`, Food-101's `meta/train.txt`,
    whose lines have no suffix, and SUN397's `Training_01.txt`, whose begin with a slash.
    """
    lines = require(spec.labels or "", "a list of images").read_text("utf-8").split("\n")
    paths = [line.strip().strip("/") for line in lines if line.strip()]
    names = [path if os.path.splitext(path)[1] else f"{path}.jpg" for path in paths]
    return list_files(spec.path, names, [os.path.dirname(name) for name in names])


def list_cars(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The images of Stanford Cars: a folder, annotations in `labels`, names in the devkit beside.

    Raises:
        ValueError: a file is missing, or annotations have no classes.
    """
    from scipy.io import loadmat

    annotations = require(spec.labels or "", "the annotations of Cars")
    meta = require(f"{os.path.dirname(spec.path)}/devkit/cars_meta.mat", "the names of its classes")
    rows = np.atleast_1d(loadmat(annotations, squeeze_me=True)["annotations"])
    if "class" not in (rows.dtype.names or ()):
        raise ValueError(
            f"{spec.labels}: expected annotations with `class`; those of the test set are in "
            "cars_test_annos_withlabels.mat"
        )
    ids = [str(name) for name in loadmat(meta, squeeze_me=True)["class_names"]]
    names = [str(name) for name in rows["fname"]]
    return list_files(spec.path, names, [ids[int(number) - 1] for number in rows["class"]])


def list_files(
    folder: str,
    names: Sequence[str],
    ids: Sequence[str] | Sequence[int],
    groups: Sequence[str] | str = "",
) -> pd.DataFrame:
    """A listing of files in a folder; a name may have folders of its own.

    Raises:
        ValueError: files are not there; says how many, and names the first.
    """
    root = require(folder, "the folder of the images")
    inside = {os.path.dirname(name) for name in names}
    there = {
        os.path.join(parent, entry.name)
        for parent in inside
        if (root / parent).is_dir()
        for entry in os.scandir(root / parent)
    }
    if missing := [name for name in names if name not in there]:
        raise ValueError(
            f"{folder}: {len(missing)} of {len(names)} images of the list are not there, the first "
            f"is {missing[0]}; is the archive unpacked in full?"
        )
    return pd.DataFrame(
        {
            "file": [f"{folder}/{name}" for name in names],
            "row": -1,
            "name": list(names),
            "id": list(ids),
            "group": groups if isinstance(groups, str) else list(groups),
        }
    )
