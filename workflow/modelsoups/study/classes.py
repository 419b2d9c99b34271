"""Ids of classes. Imported while Snakemake parses: standard library only."""

import csv
from collections.abc import Callable, Sequence
from functools import cache


def list_ids(classes: str | Sequence[str], find: Callable[[str], str] = str) -> list[str]:
    """Ids of the classes that a config names, in label order: a file's, or those that stand there.

    Args: find: from a path as written to that of the file.
    """
    return read_ids(find(classes)) if isinstance(classes, str) else list(classes)


@cache
def read_ids(path: str) -> list[str]:
    """The column `id` of a CSV file, one row a class.

    Raises: ValueError: there is no such file or column, or nothing in it.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"classes: {path} cannot be read ({error.strerror})") from None
    if not rows or "id" not in rows[0]:
        found = list(rows[0]) if rows else "no rows"
        raise ValueError(
            f"classes: {path}: expected a column id, with one row a class below its name, found "
            f"{found}"
        )
    return [row["id"] for row in rows]
