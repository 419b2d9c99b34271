"""The finished parts of an analysis: the next job that makes its table takes them over.

An analysis takes hours on a large pool, and its table is written at its end. What is finished lies
in a hidden file beside the table, and stays there: an interrupted job goes on, and a shift set that
is added is evaluated alone. A part is of one data set, and counts for the files of that set besides
what the whole analysis depends on. Files are known by their SHA-256, so that what
is made again and comes out the same keeps its parts; stored logits, of which there are many, by
what their file says they are made from, the weights' SHA-256 included. Batch sizes and devices do
not count: a job that is tried again with smaller batches goes on.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelsoups.base.files import cached_sha256, sha256
from modelsoups.base.progress import Rows
from modelsoups.evaluation.logits import read_metadata

RowsOfPart = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Rows of a table by data set and name of the part; by default they outlive no job."""

    rows: Rows = field(default_factory=lambda: Rows(None, None))
    sets: Mapping[str, str] = field(default_factory=dict)  # data set -> digest of what it is

    def find(self, dataset: str, name: str) -> RowsOfPart | None:
        """The rows of a part, or None if it is not finished."""
        return self.rows.done.get(self._key(dataset, name))

    def add(self, dataset: str, name: str, rows: RowsOfPart) -> RowsOfPart:
        """Keep the rows of a part; returns them as `find` will."""
        key = self._key(dataset, name)
        self.rows.add(key, rows)
        return self.rows.done[key]

    def _key(self, dataset: str, name: str) -> str:
        return " ".join((dataset, self.sets.get(dataset, ""), name))


def open_parts(
    table: str | Path,
    made_for: Any,
    files: Iterable[str | Path],
    sets: Mapping[str, Iterable[str | Path]],
) -> Parts:
    """The parts of a table that earlier tries have finished, if they were for the same.

    Args:
        table: file that the analysis will write.
        made_for: what the analysis depends on besides files, as JSON has it.
        files: that all parts depend on: weights and code. sets: data set -> files of its own.
    """
    table = Path(table)
    return Parts(
        rows=Rows(table.with_name(f".{table.name}.progress.jsonl"), [made_for, identify(files)]),
        sets={
            dataset: hashlib.sha256(repr(identify(paths)).encode()).hexdigest()[:16]
            for dataset, paths in sets.items()
        },
    )


def identify(files: Iterable[str | Path]) -> list[Any]:
    """What each file is known by: logits by their metadata, all others by their SHA-256."""
    return [_identify(Path(path)) for path in files]


def _identify(path: Path) -> Any:
    if path.suffix == ".parquet" and (made_from := read_metadata(path)):
        return made_from
    return sha256(path) if path.suffix == ".py" else cached_sha256(path)
