"""Progress in a file, so that an interrupted job goes on where it was.

Such a file lies beside the job's output under a name of its own: snakemake deletes declared outputs
before a job starts. It counts only for what it was made for: the spec, and the hashes of whatever
else decides the result. A file that cannot be read costs its progress, not the job.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelsoups.base.files import publish, read_json, write_json

logger = logging.getLogger(__name__)


class Trace:
    """The state of one computation, replaced as a whole: a recipe's decisions so far."""

    def __init__(self, path: str | Path | None, made_for: Any):
        """`path` None: nothing is written. `made_for`: spec and input hashes, as JSON has them."""
        self._path = None if path is None else Path(path)
        self._made_for = json.loads(json.dumps(made_for))

    def load(self) -> Any:
        """What was saved last, or None."""
        if self._path is None or not self._path.exists():
            return None
        try:
            content = read_json(self._path)
            made_for, state = content["made_for"], content["state"]
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s cannot be read (%s); starting afresh", self._path, error)
            return None
        if made_for != self._made_for:
            logger.info("%s is of another spec or other inputs; starting afresh", self._path)
            return None
        logger.info("going on from %s", self._path)
        return state

    def save(self, state: Any) -> None:
        """Replace what was saved."""
        if self._path is not None:
            write_json(self._path, {"made_for": self._made_for, "state": state})

    def remove(self) -> None:
        """Delete the file; to be called when the output is whole."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class Rows:
    """The finished parts of a table, each added to the end of a file of JSON lines.

    `done`: key of a part -> its rows, in the order the parts were added. Rows are those that JSON
    gives back (tuples are lists, numpy's numbers Python's), so that a table put together from
    `done` is the same whether or not the job was interrupted.
    """

    def __init__(self, path: str | Path | None, made_for: Any):
        """Read what an earlier try has finished, if it was made for the same.

        Args:
            path: None: nothing is read or written.
            made_for: spec and input hashes, as JSON has them. A file made for something else is
                replaced by an empty one.
        """
        self._path = None if path is None else Path(path)
        self.done: dict[str, list[dict[str, Any]]] = {}
        if self._path is not None:
            self._open(self._path, _line({"made_for": made_for}))

    def _open(self, path: Path, head: bytes) -> None:
        """Fill `done` and cut off a torn end, or write the file's first line."""
        found = path.read_bytes() if path.exists() else b""
        if not found.startswith(head):
            if found:
                logger.info("%s is of another spec or other inputs; starting afresh", path)
            with publish(path) as draft:
                draft.write_bytes(head)
            return
        whole = len(head)
        for line in found[whole:].splitlines(keepends=True):
            try:
                part = json.loads(line) if line.endswith(b"\n") else {}
                self.done[part["key"]] = part["rows"]
            except (ValueError, KeyError):
                logger.warning("%s: its end is torn and is made again", path)
                break
            whole += len(line)
        os.truncate(path, whole)
        logger.info("going on from %s with %d parts done", path, len(self.done))

    def add(self, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the rows of a part; when this returns they outlive the job, and the machine."""
        line = _line({"key": key, "rows": [*rows]})
        self.done[key] = json.loads(line)["rows"]
        if self._path is not None:
            with open(self._path, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())

    def remove(self) -> None:
        """Delete the file; to be called when the output is whole."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _line(content: Any) -> bytes:
    """One line of JSON in UTF-8; numpy's scalars become numbers."""
    text = json.dumps(content, ensure_ascii=False, default=lambda value: value.item())
    return f"{text}\n".encode()
