"""WILDS-FMoW and WILDS-iWildCam as their archives unpack: a table of metadata and image files.

Splits, labels and groups are those of the package `wilds` 2.0.0 (fmow_dataset.py and
iwildcam_dataset.py), which is not needed.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from modelsoups.base.paths import require
from modelsoups.data.class_maps import ClassMap
from modelsoups.data.listed import list_files
from modelsoups.data.specs import DatasetSpec

SPLITS = ("train", "id_val", "id_test", "val", "test")
# FMoW, split scheme `time_after_2016`: images of before 2013 are in distribution, those of 2016 and
# later out of it, and those between are the validation set out of distribution.
VAL_FROM, TEST_FROM = pd.Timestamp("2013-01-01", tz="UTC"), pd.Timestamp("2016-01-01", tz="UTC")


def list_fmow(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The images of splits of FMoW, a listing (see layouts); groups are regions of the world.

    An image whose country is of no region is of no group, since WILDS leaves it out of the worst
    region's accuracy. Images are numbered by the rows of the whole table, sequestered ones too.
    """
    table = read_table(spec, "rgb_metadata.csv", ["split", "category", "timestamp", "country_code"])
    countries = read_table(spec, "country_code_mapping.csv", ["alpha-3", "region"])
    region = dict(zip(countries["alpha-3"], countries["region"], strict=True))
    taken = pd.to_datetime(table["timestamp"], utc=True, format="ISO8601")
    part = table["split"]
    split = np.select(
        [
            (part == "train") & (taken < VAL_FROM),
            (part == "val") & (taken < VAL_FROM),
            (part == "test") & (taken < VAL_FROM),
            (part == "val") & (taken >= VAL_FROM) & (taken < TEST_FROM),
            (part == "test") & (taken >= TEST_FROM),
        ],
        SPLITS,
        "none",
    )
    chosen = table[np.isin(split, wanted_splits(spec))]
    names = [f"rgb_img_{number}.png" for number in chosen.index]
    return list_files(
        f"{spec.path}/images",
        names,
        chosen["category"].tolist(),
        [region.get(code, "").replace("Other", "") for code in chosen["country_code"]],
    )


def list_iwildcam(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The images of splits of iWildCam, a listing; groups are camera traps (locations).

    All files are in the folder `train`, whatever their split.
    """
    table = read_table(spec, "metadata.csv", ["split", "filename", "y", "location_remapped"])
    chosen = table[table["split"].isin(wanted_splits(spec))]
    return list_files(
        f"{spec.path}/train",
        chosen["filename"].tolist(),
        chosen["y"].astype(np.int64).tolist(),
        chosen["location_remapped"].tolist(),
    )


def read_table(spec: DatasetSpec, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """A table of an archive, as text.

    Raises:
        ValueError: it is not there, or lacks a column.
    """
    path = f"{spec.path}/{name}"
    found = require(path, "a table of the WILDS archive")
    table = pd.read_csv(found, dtype=str, keep_default_na=False)
    if missing := sorted(set(columns) - set(table)):
        raise ValueError(f"{path}: no column {missing}; it has {list(table)}")
    return table


def wanted_splits(spec: DatasetSpec) -> list[str]:
    """The splits that `where` names.

    Raises:
        ValueError: it names none, another column, or a split that there is not.
    """
    splits = spec.where.get("split", [])
    if set(spec.where) != {"split"} or not splits or set(splits) - set(SPLITS):
        raise ValueError(
            f"{spec.path}: expected `where: {{split: [...]}}` with some of {', '.join(SPLITS)}, "
            f"found {spec.where}"
        )
    return splits
