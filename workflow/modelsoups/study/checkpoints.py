"""Sweeps whose models exist already: their files, by list, range or pattern.

Imported while Snakemake parses the workflow: standard library only.
"""

import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelsoups.study.search import INITIALIZATION


@dataclass(frozen=True, kw_only=True)
class CheckpointSpec:
    """A model that exists already: its file, and where it can be downloaded from."""

    file: str  # may begin with $VARIABLE
    url: str | None = None
    sha256: str | None = None  # of the file, if it is known


def expand_files(files: str | list[str]) -> list[str]:
    """The files of a list, of a pattern with a range as in `model_{0..71}.pt`, or with `*`.

    A range needs no file to be there; zeros in front of its first number are kept
    (`model_{00..71}.pt`). Files of a `*`, which may stand in a folder's name too, are sorted with
    numbers by value.

    Raises:
        ValueError: no file matches a `*`, or a range runs backwards.
    """
    if not isinstance(files, str):
        return list(files)
    if found := re.search(r"\{(\d+)\.\.(\d+)\}", files):
        first, last = found.groups()
        if int(first) > int(last):
            raise ValueError(f"files: the range in {files} runs backwards")
        width = len(first) if first.startswith("0") else 0
        before, after = files[: found.start()], files[found.end() :]
        return [f"{before}{number:0{width}d}{after}" for number in range(int(first), int(last) + 1)]
    if "*" not in files:
        return [files]
    # What stands before the first `*` is kept as written, with its variables.
    written = os.path.dirname(files[: files.index("*")])
    fixed = os.path.expandvars(written)
    names = glob.glob(os.path.expandvars(files))
    if not names:
        raise ValueError(f"files: nothing matches {files} (here: {os.path.expandvars(files)})")
    names.sort(key=lambda name: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", name)])
    return [os.path.join(written, os.path.relpath(name, fixed or ".")) for name in names]


def list_checkpoints(sweep: Mapping[str, Any]) -> dict[str, CheckpointSpec]:
    """The models of a sweep of `kind: checkpoints`: name -> its file.

    Runs are named by their place among the files ("000", "001", ...). The file that
    `initialization` names is the model "initialization" and no run; others keep their numbers.

    Raises:
        ValueError: no files match, or `initialization` is none of them.
    """
    files = expand_files(sweep["files"])
    start = sweep.get("initialization")
    if start not in (None, *files):
        raise ValueError(f"initialization: {start} is none of the {len(files)} files")
    known = sweep.get("sha256", {})
    if strange := known.keys() - {os.path.basename(file) for file in files}:
        raise ValueError(f"sha256: {sorted(strange)} are names of none of the {len(files)} files")
    return {
        INITIALIZATION if file == start else f"{number:03d}": CheckpointSpec(
            file=file,
            url=f"{sweep['url']}/{os.path.basename(file)}" if "url" in sweep else None,
            sha256=known.get(os.path.basename(file)),
        )
        for number, file in enumerate(files)
    }
