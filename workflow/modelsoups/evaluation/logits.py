"""Logits per image in Parquet: what evaluation leaves and every later number is computed from.

One row an image: `index` (its place in the dataset), `label`, `prediction`, `logits` (a list of
fixed length, one value a class). How they were made stands as JSON in the schema's metadata.
Of targets that are no classes (`targets`), `label` is a list too, or there is none, and there is no
`prediction`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from modelsoups.base.files import publish
from modelsoups.evaluation.targets import kind_of, no_targets

COLUMNS = ("index", "label", "prediction", "logits")
METADATA = b"modelsoups"  # key of the schema's metadata


@dataclass(frozen=True, kw_only=True)
class Logits:
    """A model's logits on the n images of a dataset with C classes."""

    index: np.ndarray  # (n,) int32, place of the image in the dataset
    labels: np.ndarray  # (n,) int16, or int32 where C needs it; 0..C-1; or other targets
    # (n,) dtype of `labels`; argmax before a rounding to float16. (n, 0) of other targets.
    predictions: np.ndarray
    logits: np.ndarray  # (n, C) float32 or float16, finite; scores are float64
    metadata: dict[str, Any]  # how they were made


def write_logits(
    path: str | Path,
    logits: np.ndarray,
    labels: np.ndarray,
    metadata: Mapping[str, Any],
    dtype: Literal["float64", "float32", "float16"] = "float32",
) -> None:
    """Write the logits of a dataset's images, in the dataset's order, atomically.

    Predictions are the argmax of `logits` as given, before the cast; of equal logits the first.

    Args:
        logits: (n, C) floats. labels: (n,) integers, or targets of another kind. metadata: what
            JSON can hold.
        dtype: of the stored logits; float16 halves the file.

    Raises: ValueError if shapes disagree, a label is outside 0..C-1 or stored logits not finite.
    """
    kind = kind_of(labels)
    fitting = logits.shape if kind in ("labels", "numbers") else logits.shape[:1]
    if logits.ndim != 2 or labels.shape[: len(fitting)] != fitting:
        raise ValueError(
            f"{path}: expected logits (n, C) and labels (n,) or targets (n, C), "
            f"found logits {logits.shape} and labels {labels.shape}"
        )
    with np.errstate(over="ignore"):  # becomes inf, which the check reports
        stored = np.ascontiguousarray(logits, dtype)
    _check(path, stored, labels)
    num_images, num_classes = logits.shape
    integer = np.int16 if num_classes <= np.iinfo(np.int16).max else np.int32
    columns = {"index": pa.array(np.arange(num_images, dtype=np.int32))}
    if kind == "class":
        columns["label"] = pa.array(labels.astype(integer))
        columns["prediction"] = pa.array(logits.argmax(axis=1).astype(integer))
    elif kind != "score":
        columns["label"] = _lists(labels)
    columns["logits"] = _lists(stored)
    arrays = list(columns.values())
    fields = [pa.field(name, array.type, nullable=False) for name, array in columns.items()]
    schema = pa.schema(fields, metadata={METADATA: json.dumps(metadata)})
    with publish(path) as draft:
        pq.write_table(
            pa.table(arrays, schema=schema),
            draft,
            compression="zstd",
            use_dictionary=False,
            use_byte_stream_split=["logits.list.element"],  # exponents together compress
            row_group_size=max(num_images, 1),  # one group is read back without a copy
        )


def read_logits(path: str | Path) -> Logits:
    """Read what `write_logits` wrote, as arrays.

    Raises: ValueError as `write_logits`, and if the file is cut or a column is missing.
    """
    table = _read(path)
    logits = _matrix(path, table, "logits")
    if logits.dtype.kind != "f":
        raise ValueError(f"{path}: expected logits to be floats, found {logits.dtype}")
    index = table["index"].to_numpy()
    predictions = no_targets(len(index))
    if "prediction" in table.column_names:
        labels, predictions = table["label"].to_numpy(), table["prediction"].to_numpy()
    elif "label" in table.column_names:
        labels = _matrix(path, table, "label")
    else:
        labels = no_targets(len(index))
    _check(path, logits, labels)
    return Logits(
        index=index,
        labels=labels,
        predictions=predictions,
        logits=logits,
        metadata=_parse_metadata(table.schema),
    )


def _lists(values: np.ndarray) -> pa.Array:
    """A column with a list a row, of values (n, C)."""
    # Columns without nulls spare Parquet one level per value: twice as fast to read.
    value = pa.field("element", pa.from_numpy_dtype(values.dtype), nullable=False)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(values.reshape(-1)), type=pa.list_(value, values.shape[1])
    )


def _matrix(path: str | Path, table: pa.Table, column: str) -> np.ndarray:
    """The values (n, C) of such a column."""
    kind = table.schema.field(column).type
    if not pa.types.is_fixed_size_list(kind):
        raise ValueError(
            f"{path}: expected column {column} to hold one list of floats a row, all of one length "
            f"(fixed_size_list), found {kind}; write the file with write_logits"
        )
    values = table[column].combine_chunks()
    flat = values.flatten().to_numpy(zero_copy_only=pa.types.is_floating(kind.value_type))
    return flat.reshape(len(values), kind.list_size)


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Columns index, label and prediction of a file of logits; the logits stay unread."""
    return _read(path, COLUMNS[:3]).to_pandas(ignore_metadata=True)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """How a file of logits was made; nothing else is read."""
    return _parse_metadata(pq.read_schema(path))


def check_same_images(name: str | Path, a: Logits, other: str | Path, b: Logits) -> None:
    """Raise a ValueError unless two models' logits are of the same images, labels and classes."""
    if a.logits.shape != b.logits.shape:
        raise ValueError(
            f"{other}: expected {a.logits.shape[0]} images with {a.logits.shape[1]} classes "
            f"as in {name}, found {b.logits.shape[0]} images with {b.logits.shape[1]} classes; "
            "evaluate both models on one version of the dataset"
        )
    other_labels = (a.labels != b.labels).reshape(len(a.index), -1).any(axis=1)
    different = (a.index != b.index) | other_labels
    if different.any():
        raise ValueError(
            f"{other}: {different.sum()} of {len(different)} rows have another index or label than "
            f"in {name}, the first is row {different.argmax()}; "
            "evaluate both models on one version of the dataset"
        )


def _read(path: str | Path, columns: tuple[str, ...] | None = None) -> pa.Table:
    """Columns of a file, by default all that its kind of targets has."""
    try:
        file = pq.ParquetFile(path, memory_map=True)
        found = file.schema_arrow.names
        columns = _columns_of(file.schema_arrow) if columns is None else columns
        if missing := [name for name in columns if name not in found]:
            raise ValueError(
                f"{path}: column {', '.join(missing)} is missing, found {', '.join(found)}; "
                "delete the file and evaluate the model again"
            )
        return file.read(list(columns))
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{path}: expected a whole Parquet file, found: {error}; "
            "delete it and evaluate the model again"
        ) from error


def _columns_of(schema: pa.Schema) -> tuple[str, ...]:
    if "label" not in schema.names and "prediction" not in schema.names:
        return ("index", "logits")
    if "label" in schema.names and pa.types.is_fixed_size_list(schema.field("label").type):
        return ("index", "label", "logits")
    return COLUMNS


def _parse_metadata(schema: pa.Schema) -> dict[str, Any]:
    return json.loads((schema.metadata or {}).get(METADATA, b"{}"))


def _check(path: str | Path, logits: np.ndarray, labels: np.ndarray) -> None:
    num_classes, of_classes = logits.shape[1], kind_of(labels) == "class"
    outside = (labels < 0) | (labels >= num_classes) if of_classes else np.zeros(1, bool)
    if outside.any():
        raise ValueError(
            f"{path}: {outside.sum()} labels lie outside the classes 0..{num_classes - 1}, "
            f"the first is {labels[outside][0]} in row {outside.argmax()}; "
            "check the dataset's index and the class map"
        )
    broken = ~np.isfinite(logits).all(axis=1)
    if broken.any():
        raise ValueError(
            f"{path}: {broken.sum()} of {len(broken)} rows have logits that are NaN or infinite in "
            f"{logits.dtype}, the first is row {broken.argmax()}; "
            "look for a diverged run in the model's record"
        )
