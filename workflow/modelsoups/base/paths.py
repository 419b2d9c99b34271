"""Where a user's files lie: paths with environment variables, and room on a disk.

A path such as `$IMAGENET/train` is kept as it is written in the config, in the parameters of rules
and in the index of a data set, and is resolved when a file is opened. So a study that moves to
another machine, or data that move to another disk, makes nothing anew.

What ships with the workflow (`resources/...`) is found although the working folder is another one:
the environment variable MODELSOUPS_HOME names the workflow's own folder. MODELSOUPS_STAGED names
the one that Snakemake copies inputs to, where they are in a storage (S3) and not in a folder.
"""

import os
import re
import shutil
from glob import iglob
from pathlib import Path

OWN_FOLDER = "MODELSOUPS_HOME"  # the environment variable that names the workflow's folder
STAGED_FOLDER = "MODELSOUPS_STAGED"  # and the one that names that of copies


def expanded(path: str | Path) -> str:
    """The path with its environment variables put in, and the home folder for `~`."""
    return os.path.expandvars(os.path.expanduser(path))


def resolve(path: str | Path) -> Path:
    """The path with its environment variables put in.

    A relative path (or pattern with `*`) is in the folder of copies from a storage, the working
    folder or the workflow's own, whichever has it first.

    Raises:
        ValueError: a variable is not set; says how to set it.
    """
    resolved = expanded(path)
    if unset := re.findall(r"\$\{?(\w+)", resolved):
        raise ValueError(
            f"{path}: the environment variable {unset[0]} is not set; export {unset[0]}=<folder>, "
            "or write it under `folders` in the config"
        )
    folders = [os.environ.get(STAGED_FOLDER), ".", os.environ.get(OWN_FOLDER)]
    found = (Path(folder, resolved) for folder in folders if folder and _has(folder, resolved))
    return next(found, Path(resolved))


def _has(folder: str, path: str) -> bool:
    """Whether a path, or something that it matches as a pattern, is there, seen from a folder."""
    return os.path.exists(os.path.join(folder, path)) or any(iglob(path, root_dir=folder))


def require(path: str | Path, what: str) -> Path:
    """The resolved path, which must exist.

    Raises:
        ValueError: it does not; says what was expected there.
    """
    resolved = resolve(path)
    if not resolved.exists():
        shown = f"{path}" if str(resolved) == str(path) else f"{path} = {resolved}"
        raise ValueError(
            f"{shown}: expected {what}, found nothing there; unpack or mount the data, or correct "
            "`path` or `folders` in the config"
        )
    return resolved


def free_space(path: str | Path) -> int:
    """Bytes that are free on the disk of a path, which need not be there yet."""
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(path: str | Path, num_bytes: int) -> None:
    """Raise a ValueError unless the disk of `path` (a file to be) has room for this many bytes."""
    free = free_space(path)
    if free < num_bytes:
        raise ValueError(
            f"{path}: needs {num_bytes / 2**30:,.1f} GiB, but the disk has {free / 2**30:,.1f} GiB "
            "free; make room, or link results/ to a larger disk"
        )


def used_space(folder: str | Path) -> int:
    """Bytes of all files in a folder; none if it is not there."""
    return sum(
        os.path.getsize(path)
        for parent, _, names in os.walk(folder)
        for name in names
        if os.path.isfile(path := os.path.join(parent, name))
    )
