"""Data sets in tar shards, as WebDataset has them: files of one stem are an example.

`0001.jpg` with `0001.cls` (a class, by number or id) or `0001.json` (with the field `label`).
Images are read where they lie in the shard; nothing is unpacked.
"""

import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from modelsoups.base.paths import resolve
from modelsoups.data.class_maps import ClassMap
from modelsoups.data.parquet import find_files, name_rows
from modelsoups.data.specs import DatasetSpec

IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm", "tif", "tiff")


class Member(NamedTuple):
    """A file in a shard."""

    name: str
    start: int  # bytes
    size: int


def list_webdataset(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The examples of a shard, of all `*.tar` in a folder, or of a pattern: a listing (`layouts`).

    Raises: ValueError if a shard cannot be read, or an example has no image or no label.
    """
    root, found = find_files(spec.path, "tar shard", "tar")
    parts = [_list_shard(spec, f"{root}{path}") for path in found]
    return name_rows(pd.concat(parts, ignore_index=True), root)


def read_member(file: str | Path, row: int) -> bytes:
    """The bytes of a file in a shard. Args: row: its number in the shard.

    Raises: ValueError if the shard has been changed since it was listed.
    """
    members = open_shard(Path(file))
    if row >= len(members):
        raise ValueError(
            f"{file}: file {row} was listed, but the shard has {len(members)}; it has been changed "
            "since. Delete results/data/<dataset>, so that it is listed anew"
        )
    return _read(Path(file), members[row])


def read_members(file: str | Path, rows: Sequence[int] | np.ndarray) -> Iterator[bytes]:
    """The bytes of several of them."""
    for row in rows:
        yield read_member(file, int(row))


@lru_cache(maxsize=4096)
def open_shard(path: Path) -> list[Member]:
    """The files in a shard, in their order.

    Raises: ValueError if it is no tar file, is compressed, or is cut; names it.
    """
    size = os.path.getsize(path)
    try:
        with tarfile.open(path, "r:") as tar:
            found = [Member(m.name, m.offset_data, m.size) for m in tar if m.isfile()]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(
            f"{path}: not a readable tar shard ({error}); unpack a compressed one (`gunzip`), or "
            "copy it again"
        ) from error
    if found and found[-1].start + found[-1].size > size:
        raise ValueError(f"{path}: it is cut within {found[-1].name}; copy or download it again")
    return found


def _list_shard(spec: DatasetSpec, file: str) -> pd.DataFrame:
    path = resolve(file)
    examples: dict[str, dict[str, int]] = {}  # key -> suffix -> number of the file
    members = open_shard(path)
    for number, member in enumerate(members):
        folder, name = os.path.split(member.name)
        stem, _, suffix = name.partition(".")
        if stem:  # hidden files are none
            examples.setdefault(os.path.join(folder, stem), {})[suffix.lower()] = number
    rows = []
    for key, files in examples.items():
        wanted = IMAGES if spec.image == "image" else (spec.image,)
        images = [suffix for suffix in files if suffix in wanted]
        if len(images) != 1:
            raise ValueError(
                f"{file}: example {key} has the files {sorted(files)}; expected one image, of "
                "which `image` may say the suffix"
            )
        rows.append((files[images[0]], key, _label(spec, file, path, members, key, files)))
    numbers = all(isinstance(label, int) for *_, label in rows)
    return pd.DataFrame(
        {
            "file": file,
            "row": [row for row, *_ in rows],
            "name": pd.array([key for _, key, _ in rows], dtype="str"),
            "id": [label if numbers else str(label) for *_, label in rows],
            "group": "",
        }
    )


def _label(
    spec: DatasetSpec,
    file: str,
    path: Path,
    members: Sequence[Member],
    key: str,
    files: Mapping[str, int],
) -> int | str:
    """The class of an example: the number, or the id."""
    found = None
    try:
        if "cls" in files:
            text = _read(path, members[files["cls"]]).decode().strip()
            found = int(text) if text.isdigit() else text
        elif "json" in files:
            found = json.loads(_read(path, members[files["json"]])).get(spec.label)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file}: the label of example {key} cannot be read ({error})") from error
    if not isinstance(found, int | str) or found == "":
        raise ValueError(
            f"{file}: example {key} has no label; expected {key}.cls with a class, or {key}.json "
            f"with the field {spec.label!r} (`label` in the config names another)"
        )
    return found


def _read(path: Path, member: Member) -> bytes:
    with open(path, "rb") as file:
        file.seek(member.start)
        return file.read(member.size)
