"""Files that are either whole or absent, and the record that says how each was made."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "torchvision", "timm", "open_clip_torch", "numpy", "pandas", "pyarrow")


@contextmanager
def publish(path: str | Path) -> Iterator[Path]:
    """Path to write to in place of `path`; takes its name in one step when the block succeeds.

    A reader sees the old file or the whole new one, never a part. After an error the old file
    is untouched and nothing is left behind.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, atomically."""
    with publish(path) as draft:
        draft.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read what `write_json` wrote."""
    return json.loads(Path(path).read_text())


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a result's digits."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in LIBRARIES}}
