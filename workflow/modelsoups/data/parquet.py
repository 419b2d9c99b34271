"""Data sets in Parquet files, as the Hugging Face hub has them: their rows, and the images in them.
Text may be in CSV or TSV files as well.

The column of images has encoded files: as binary values, or as structs with the field `bytes` and
perhaps `path`, the file's name.
"""

import glob
import json
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from modelsoups.base.paths import resolve
from modelsoups.data.class_maps import ClassMap
from modelsoups.data.specs import DatasetSpec
from modelsoups.data.targets import CLASS, read_columns

CSV = (".csv", ".tsv")
NAMES = {"csv": "CSV file", "tsv": "TSV file"}  # of kinds of files, for errors


def list_parquet(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The rows of a data set's files that match `spec.where`, a listing (see layouts).

    An image is named by the path stored with it or, where there is none or several have the same,
    by file and row; so is every text.
    """
    root, found = find_files(spec.path, NAMES.get(spec.layout, "Parquet file"), spec.layout)
    parts = [list_file(spec, f"{root}{path}", class_map.ids) for path in found]
    return name_rows(pd.concat(parts, ignore_index=True), root)


def name_rows(listing: pd.DataFrame, root: str) -> pd.DataFrame:
    """The listing with names that are unique: by file (below `root`) and row where they are not."""
    by_row = listing["file"].str.removeprefix(root) + ":" + listing["row"].astype(str)
    names = listing["name"]
    named = names.notna() & ~names.duplicated(keep=False)
    return listing.assign(name=names.where(named, by_row))


def find_files(path: str, what: str, kind: str = "parquet") -> tuple[str, list[str]]:
    """The files of a path: the folder that they are in, as written, and their sorted paths there.

    Args:
        path: a file; a folder, for the files `*.<kind>` in it; or a pattern with `*`, in the names
            of folders too.
        what: they are, for errors.
    Raises:
        ValueError: there is none.
    """
    resolved, parts = resolve(path), path.rstrip("/").split("/")
    if resolved.is_dir():
        fixed, pattern = parts, f"*.{kind}"
    elif resolved.exists():
        fixed, pattern = parts[:-1], glob.escape(parts[-1])
    else:
        fixed = list(takewhile(lambda part: not set("*?[") & set(part), parts))
        pattern = "/".join(parts[len(fixed) :])
    root = "".join(f"{part}/" for part in fixed)
    folder = resolve(root)
    found = [
        str(each.relative_to(folder))
        for each in sorted(folder.glob(pattern) if pattern else [])
        if each.is_file() and not each.name.startswith(".")
    ]
    if not found:
        raise ValueError(
            f"{path}: no such {what}. Is the download whole (data sets behind terms need "
            "them accepted), and the path right?"
        )
    return root, found


def open_parquet(file: str) -> pq.ParquetFile:
    """A Parquet file, by its path as written.

    Raises:
        ValueError: it is none, or cut short; names it.
    """
    try:
        return pq.ParquetFile(resolve(file))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{file}: not a readable Parquet file ({error}); is the download whole?"
        ) from error


def list_file(spec: DatasetSpec, file: str, outputs: Sequence[str]) -> pd.DataFrame:
    """The rows of one file that match `spec.where`; `name` is null where no path is stored.

    Args: outputs: names of what models give, or the ids of the classes.

    Raises:
        ValueError: a column is missing or of a wrong type, or a label is; says which and where.
    """
    parquet = None if file.endswith(CSV) else open_parquet(file)
    schema = parquet.schema_arrow if parquet else open_table(file).schema
    examples = spec.text if spec.task == "text" else (spec.image,)
    groups = [spec.group] if spec.group in schema.names or spec.group != "group" else []
    if spec.predicts == CLASS:
        targets: tuple[str, ...] = (spec.label,)
    else:
        targets = () if spec.targets[0].endswith(".npy") else spec.targets
    if missing := {*examples, *targets, *groups, *spec.where} - set(schema.names):
        raise ValueError(
            f"{file}: no column {sorted(missing)}; it has {schema.names}. "
            "Name the right ones in the data set's config."
        )
    if spec.task == "text":
        has_path = False
        check_text_columns(file, [schema.field(column) for column in spec.text])
    else:
        has_path = check_images_column(file, schema.field(spec.image))
    wanted = {*targets, *groups, *spec.where, *([f"{spec.image}.path"] if has_path else [])}
    columns = sorted(wanted)
    table = parquet.read(columns=columns) if parquet else open_table(file).select(columns)
    chosen = np.ones(len(table), dtype=bool)
    for column, values in spec.where.items():
        chosen &= is_among(table[column], values, f"{file}: column {column!r}")
    rows = np.flatnonzero(chosen)
    table = table.take(rows)
    paths = pc.struct_field(table[spec.image], "path").to_pylist() if has_path else []
    names = [path or None for path in paths] if has_path else [None] * len(rows)
    given: dict[str, Any] = {}
    if spec.predicts == CLASS:
        labels = class_ids(table[spec.label], rows, f"{file}: column {spec.label!r}")
        given = {"id": by_name(labels, names_of_numbers(schema, spec.label), outputs)}
    elif targets:
        given = {"targets": read_columns(spec, table, file, outputs)}
    return pd.DataFrame(
        {
            "file": file,
            "row": rows.astype(np.int64),
            "name": pd.array(names, dtype="str"),
            **given,
            "group": as_text(table[spec.group], f"{file}: column {spec.group!r}") if groups else "",
        }
    )


def names_of_numbers(schema: pa.Schema, column: str) -> list[str]:
    """Of a file of Hugging Face's `datasets` what a column's numbers are called, if it says it."""
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def by_name(
    labels: np.ndarray | list[str], names: Sequence[str], classes: Sequence[str]
) -> np.ndarray | list[str]:
    """Labels, as ids where they are numbers of the set's classes in another order.

    Args: names: of the numbers in the data. classes: ids of the set's.
    """
    if isinstance(labels, list) or [*names] == [*classes] or sorted(names) != sorted(classes):
        return labels
    inside = (labels >= 0) & (labels < len(names))
    return [names[label] for label in labels] if inside.all() else labels


def open_table(file: str) -> pa.Table:
    """All of a table of text: a Parquet file, or a CSV or TSV file with a header.

    Of a TSV file, GLUE's own form, a quote is a character like any other.

    Raises:
        ValueError: it cannot be read; names it.
    """
    if not file.endswith(CSV):
        return open_parquet(file).read()
    is_tsv = file.endswith(".tsv")
    parse = csv.ParseOptions(
        delimiter="\t" if is_tsv else ",",
        quote_char=False if is_tsv else '"',
        newlines_in_values=not is_tsv,
    )
    try:
        return csv.read_csv(resolve(file), parse_options=parse)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{file}: not a readable table of text ({error})") from error


def check_text_columns(file: str, fields: Sequence[pa.Field]) -> None:
    """Raise a ValueError unless columns of sentences are of strings."""
    for field in fields:
        if not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            raise ValueError(
                f"{file}: column {field.name!r} is of type {field.type}; expected sentences: "
                "strings. Name the right columns as `text`"
            )


def check_images_column(file: str, field: pa.Field) -> bool:
    """Whether a column of images has paths too.

    Raises:
        ValueError: it does not hold encoded images.
    """
    is_struct = pa.types.is_struct(field.type)
    names = [field.type.field(n).name for n in range(field.type.num_fields)] if is_struct else []
    encoded = field.type.field("bytes").type if "bytes" in names else field.type
    is_binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    if not any(check(encoded) for check in is_binary):
        raise ValueError(
            f"{file}: column {field.name!r} is of type {field.type}; expected images as encoded "
            "files: binary, or structs with the field `bytes`"
        )
    return "path" in names


def is_among(column: pa.ChunkedArray, values: Sequence[Any], named: str) -> np.ndarray:
    """(n,) bool: which values of a column are among these; a null is not.

    Raises:
        ValueError: they cannot be values of the column.
    """
    column = decode_dictionary(column)
    try:
        return pc.is_in(column, pc.cast(values, column.type)).to_numpy()
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ValueError(
            f"{named} is of type {column.type}, `where` asks for {list(values)} ({error})"
        ) from error


def class_ids(column: pa.ChunkedArray, rows: np.ndarray, named: str) -> np.ndarray | list[str]:
    """The labels in a column, (n,) integers or strings.

    Args: rows: of the file, (n,).
    Raises:
        ValueError: labels are neither, or missing; says in which rows.
    """
    column = decode_dictionary(column)
    if column.null_count:
        missing = rows[column.is_null().to_numpy()]
        raise ValueError(
            f"{named} has no label (null) in {len(missing)} rows, the first {missing[:5].tolist()};"
            " leave them out by `where`, or name another column as `label`"
        )
    if pa.types.is_integer(column.type):
        return column.to_numpy()
    if not any(check(column.type) for check in (pa.types.is_string, pa.types.is_large_string)):
        raise ValueError(
            f"{named} is of type {column.type}; expected labels: numbers of classes (integers), or "
            "their ids (strings)"
        )
    return column.to_pylist()


def as_text(column: pa.ChunkedArray, named: str) -> list[str | None]:
    """The values of a column as strings."""
    try:
        return decode_dictionary(column).cast(pa.string()).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(
            f"{named} is of type {column.type}; expected groups: strings or numbers"
        ) from error


def decode_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with plain values where it is stored as numbers of a dictionary."""
    is_coded = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_coded else column


def read_rows(file: str, rows: np.ndarray, column: str) -> Iterator[bytes]:
    """The encoded images in these ascending rows of a file, one row group in memory at once.

    Raises:
        ValueError: a row has no image, or there is no such row; names it.
    """
    parquet = open_parquet(file)
    if rows[-1] >= parquet.metadata.num_rows:
        raise ValueError(
            f"{file}: row {rows[-1]} was listed, but the file has {parquet.metadata.num_rows}; it "
            "has been changed since. Delete results/data/<dataset>, so that it is listed anew"
        )
    assert (np.diff(rows) > 0).all(), "rows must ascend"
    start = 0
    for group in range(parquet.num_row_groups):
        stop = start + parquet.metadata.row_group(group).num_rows
        inside = rows[(rows >= start) & (rows < stop)]
        if len(inside):
            images = parquet.read_row_group(group, columns=[column])[column]
            for row in inside.tolist():
                yield encoded_bytes(images[row - start].as_py(), f"{file}, row {row}")
        start = stop


def encoded_bytes(value: bytes | dict[str, Any] | None, named: str) -> bytes:
    """The encoded file in a value of a column of images.

    Raises:
        ValueError: there is none.
    """
    found, path = (value["bytes"], value.get("path")) if isinstance(value, dict) else (value, None)
    if found is not None:
        return found
    if path:
        raise ValueError(
            f"{named}: the image is not in this file, which has only the path {path!r} of another; "
            "embed the images (push_to_hub of Hugging Face's datasets does), or unpack them into "
            "class folders"
        )
    raise ValueError(f"{named}: there is no image (null); leave the row out by `where`")
