"""Data sets: which images and labels belong to one (its index), and their encoded bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

Role = Literal["train", "held_out", "test", "shift"]


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One data set of a study.

    Its images lie in a Parquet file in the layout of the Hugging Face hub: a column of structs
    with the encoded file in the field `bytes`, and a column with the label.
    """

    role: Role
    path: str  # the Parquet file
    where: dict[str, list[str]]  # column -> values; rows that match all of them belong to the set
    num_images: int  # known size; anything else is an error
    image: str = "image"  # column of structs with the field `bytes`
    label: str = "label"  # column with the class: its number, or its id in the classes file
    group: str = "group"  # column kept in the index as `group`
    counterpart: str | None = None  # the paper's data set whose part it plays


def read_classes(path: str | Path) -> pd.DataFrame:
    """The classes of a study in label order: columns `id` (as in the data) and `name` (English)."""
    classes = pd.read_csv(path, dtype=str, keep_default_na=False)
    if not {"id", "name"} <= set(classes) or classes.id.duplicated().any() or classes.empty:
        raise ValueError(
            f"{path}: expected columns id and name with one row a class and no id twice, "
            f"found columns {list(classes)} and {len(classes)} rows"
        )
    return classes


def index_dataset(spec: DatasetSpec, classes: Sequence[str]) -> pd.DataFrame:
    """The images of a data set, one row each, in file order.

    Args:
        spec: where the images are.
        classes: ids of the classes in label order.
    Returns:
        columns `file` (path), `row` (of the file), `label` (0..num_classes-1), `group`.
    Raises:
        ValueError: a column is missing, a label is no class, or the number of images is not
            the one the spec states.
    """
    parquet = pq.ParquetFile(spec.path)
    wanted = {spec.image, spec.label, spec.group, *spec.where}
    if missing := wanted - set(parquet.schema_arrow.names):
        raise ValueError(
            f"{spec.path}: no column {sorted(missing)}; it has {parquet.schema_arrow.names}. "
            "Name the right ones in the data set's config."
        )
    table = parquet.read(columns=sorted(wanted - {spec.image}))
    chosen = np.ones(len(table), dtype=bool)
    for column, values in spec.where.items():
        chosen &= pc.is_in(table[column], pc.cast(values, table[column].type)).to_numpy()
    rows = np.flatnonzero(chosen)
    if len(rows) != spec.num_images:
        raise ValueError(
            f"{spec.path}: expected {spec.num_images} images where {spec.where}, found {len(rows)}."
            " Is the file whole and of the right version?"
        )
    frame = table.take(rows).to_pandas()
    return pd.DataFrame(
        {
            "file": str(spec.path),
            "row": rows.astype(np.int64),
            "label": to_labels(frame[spec.label], classes, where=str(spec.path)),
            "group": frame[spec.group].astype(str),
        }
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


def read_images(index: pd.DataFrame, column: str = "image") -> Iterator[bytes]:
    """The encoded bytes of each image of an index, in its order; one row group in memory at once.

    The rows of a file must ascend, as `index_dataset` gives them.
    """
    for file, rows in index.groupby("file", sort=False)["row"]:
        parquet = pq.ParquetFile(file)
        start = 0
        for group in range(parquet.num_row_groups):
            stop = start + parquet.metadata.row_group(group).num_rows
            inside = rows[(rows >= start) & (rows < stop)] - start
            if len(inside):
                images = parquet.read_row_group(group, columns=[column])[column]
                for image in images.take(inside.to_numpy()):
                    yield image["bytes"].as_py()
            start = stop
