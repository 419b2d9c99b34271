"""Files that are either whole or absent, and the record that says how each was made."""

import hashlib
import json
import os
import secrets
import sys
from codecs import getincrementaldecoder
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("torch", "torchvision", "timm", "open_clip_torch", "numpy", "pandas", "pyarrow")

# What files begin with, where something else was expected.
BEGINNINGS = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x80": "a pickle",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"version https://git-lfs": "the Git LFS pointer to a file, not the file (`git lfs pull`)",
}
CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f")  # bytes that no text has


@contextmanager
def publish(path: str | Path) -> Iterator[Path]:
    """Path to write to in place of `path`; takes its name in one step when the block succeeds.

    A reader sees the old file or the whole new one, never a part, also after the machine has lost
    its power. After an error the old file is untouched and nothing is left behind. What a killed
    process leaves is a hidden file `.<name>.<machine>-<process>-<random>.draft` that nobody reads:
    no two writers have the same one, on one machine or on several that share a disk.

    The block writes to the path as it would to any file, so the mode follows the umask.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
    draft = path.with_name(f".{path.name}.{writer}.draft")
    try:
        yield draft
        _sync(draft)  # or a crash may leave the name without the bytes
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    with suppress(OSError):  # some network file systems cannot sync a folder
        _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, kept beside it so that a large file is read once.

    It is kept in `.<name>.sha256` with the size and the time of the last change, and counts as long
    as the file has both. Where that cannot be written (a folder of somebody else's) nothing is
    kept.
    """
    path = Path(path)
    kept = path.with_name(f".{path.name}.sha256")
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        state = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
        with suppress(OSError, ValueError, AttributeError, KeyError):
            content = read_json(kept)
            if content.items() >= state.items():
                return content["sha256"]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with suppress(OSError):
        write_json(kept, {**state, "sha256": digest})
    return digest


def what_is(path: str | Path) -> str:
    """What a file seems to be, from its first bytes: for the message that it is something else."""
    path = Path(path)
    if path.is_dir():
        return "a folder"
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head:
        return "an empty file"
    if kind := next((kind for start, kind in BEGINNINGS.items() if head.startswith(start)), None):
        return kind
    if not head.strip(b"\0"):
        return "null bytes"
    if head[4:9] == b"\0\0\0\0{":  # the length of a header, and the header
        return "a safetensors file"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if not CONTROLS & set(head):
        with suppress(UnicodeDecodeError):
            text = getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut
            return f"a text file that begins {text[:40]!r}"
    return f"a file that begins with the bytes {head[:8].hex(' ')}"


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, atomically."""
    with publish(path) as draft:
        text = json.dumps(content, indent=2, ensure_ascii=False)
        draft.write_text(f"{text}\n", encoding="utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read what `write_json` or another program wrote.

    Raises: ValueError that names the file, if it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON ({error}); copy or write it again") from error


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a result's digits."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in LIBRARIES}}


def load_npy(path: str | Path) -> Any:
    """A memory-mapped NumPy array; pickled objects are refused.

    Raises:
        ValueError: it is none, or cut short; names it.
    """
    import numpy as np

    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path}: not a readable .npy file ({error})") from error
