"""What models are to give, where that is no class: labels or numbers, read from the data.

From columns of Parquet files or from an array; the kinds are those of `evaluation.targets`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from modelsoups.base.files import load_npy
from modelsoups.base.paths import require
from modelsoups.data.specs import DatasetSpec

CLASS = "class"
DTYPES = {"labels": np.dtype(bool), "numbers": np.dtype(np.float32)}


def read_array(spec: DatasetSpec, num_examples: int, names: Sequence[str]) -> np.ndarray:
    """The targets (n, T) of a data set in an .npy file; of (n,) numbers T is 1.

    Args: num_examples: n. names: of the T outputs.
    Raises: ValueError if the array does not fit.
    """
    path = spec.targets[0]
    found = load_npy(require(path, "an array of targets"))
    values = found.reshape(len(found), -1)
    if found.ndim > 2 or values.shape != (num_examples, len(names)):
        raise ValueError(
            f"{path}: expected targets ({num_examples}, {len(names)}), one row an example of "
            f"{spec.path} in its order and one column for each of {list(names[:5])}, found "
            f"{found.shape}"
        )
    return to_targets(spec, values, path)


def read_columns(
    spec: DatasetSpec, table: pa.Table, file: str, names: Sequence[str]
) -> list[np.ndarray]:
    """The targets of the rows of a table, (T,) each: a column an output, or one column of lists.

    Of labels the lists have those of the example, by name or number; of numbers all of them.

    Raises: ValueError if values are missing or do not fit.
    """
    columns = [table[name] for name in spec.targets]
    where = f"{file}: column {', '.join(spec.targets)}"
    if any(column.null_count for column in columns):
        raise ValueError(f"{where}: values are missing (null); leave the rows out by `where`")
    if len(columns) == 1 and _is_list(columns[0].type):
        lists = columns[0].to_pylist()
        if spec.predicts == "labels":
            return [_several_hot(each, names, where) for each in lists]
        if wrong := [each for each in lists if len(each) != len(names)]:
            raise ValueError(f"{where}: expected {len(names)} numbers a row, found {wrong[0]}")
        values = np.array(lists, dtype=np.float64).reshape(len(lists), len(names))
    else:
        if len(columns) != len(names):
            raise ValueError(f"{where}: expected a column for each of {list(names)}")
        arrays = [column.to_numpy(zero_copy_only=False) for column in columns]
        values = np.stack(arrays, axis=1) if arrays else np.empty((0, 0))
    return list(to_targets(spec, values, where))


def to_targets(spec: DatasetSpec, values: np.ndarray, where: str) -> np.ndarray:
    """Values (n, T) as targets of the kind that models predict.

    Raises: ValueError if labels are other than 0 and 1, or numbers not finite.
    """
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{where}: expected numbers or booleans, found {values.dtype}")
    if spec.predicts == "labels" and not np.isin(values, (0, 1)).all():
        raise ValueError(f"{where}: expected labels, 0 or 1 each, found {np.unique(values)[:5]}")
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values).all(axis=1)).argmax())
        raise ValueError(f"{where}: expected finite numbers, found {values[row]} in row {row}")
    return np.asarray(values).astype(DTYPES[spec.predicts])


def _several_hot(found: Sequence[Any], names: Sequence[str], where: str) -> np.ndarray:
    """(T,) bool, true at labels that are numbers or names."""
    hot = np.zeros(len(names), bool)
    for each in found:
        number = names.index(each) if each in names else each
        if not isinstance(number, int) or not 0 <= number < len(names):
            raise ValueError(f"{where}: {each!r} is none of the labels {list(names[:5])}, ...")
        hot[number] = True
    return hot


def _is_list(kind: pa.DataType) -> bool:
    return (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
