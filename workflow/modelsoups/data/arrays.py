"""Data sets whose images are arrays of pixels: CIFAR's Python batches, CIFAR-10.1's .npy files."""

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelsoups.base.files import load_npy
from modelsoups.base.paths import require, resolve
from modelsoups.data.class_maps import ClassMap
from modelsoups.data.parquet import find_files, name_rows
from modelsoups.data.specs import DatasetSpec

NPY, PICKLE = b"\x93NUMPY", b"\x80"  # what files begin with; Parquet's with PAR1
SIDE = 32  # pixels of a CIFAR image
# Label of a batch -> the file beside it that has the classes' names, and its entry there.
NAMES = {
    "labels": ("batches.meta", "label_names"),  # CIFAR-10
    "fine_labels": ("meta", "fine_label_names"),  # CIFAR-100
    "coarse_labels": ("meta", "coarse_label_names"),
}


# The functions that Python 2 named for an array, and what they are.
ARRAY_PARTS = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Reads dictionaries of lists, strings and arrays; whatever else a pickle asks for is refused.

    A pickle may name any function to be called; CIFAR's name those that make an array.
    """

    def find_class(self, module: str, name: str) -> Any:
        """One of `ARRAY_PARTS`."""
        if (module, name) not in ARRAY_PARTS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which CIFAR's do not")
        return ARRAY_PARTS[module, name]


def read_pickle(path: Path) -> dict[str, Any]:
    """The entries of a pickled dictionary of CIFAR's; nothing in the file is executed.

    Raises:
        ValueError: it is cut short, or no such file; names it.
    """
    try:
        with path.open("rb") as file:
            entries = ArrayUnpickler(file, encoding="bytes").load()
        return {key.decode(): value for key, value in entries.items()}
    except Exception as error:  # a broken pickle raises whatever its bytes lead to
        raise ValueError(
            f"{path}: expected a file of CIFAR's Python version ({error}); unpack the archive again"
        ) from error


@lru_cache(maxsize=8)
def read_batch(path: Path) -> dict[str, Any]:
    """The entries of a batch: `data` (n, 3072) uint8, `filenames`, and lists of labels.

    Raises:
        ValueError: it is none, or its entries are not of one length; names it.
    """
    entries = read_pickle(path)
    data = entries.get("data")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2:
        raise ValueError(f"{path}: expected `data` of bytes, found entries {sorted(entries)}")
    lists = {key: len(value) for key, value in entries.items() if isinstance(value, list)}
    if data.shape[1] != 3 * SIDE * SIDE or set(lists.values()) != {len(data)}:
        raise ValueError(
            f"{path}: expected images of {3 * SIDE * SIDE} bytes with a name and a label each, "
            f"found data {data.shape} and lists of {lists}"
        )
    return entries


def list_cifar(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The images of CIFAR-10's or CIFAR-100's Python batches, a listing (see layouts).

    `path` is a batch, or a pattern of several (`data_batch_*`). Labels become the classes' names
    by the file of them beside the batches, so that a class is never taken for another.
    """
    root, found = find_files(spec.path, "batch of CIFAR")
    parts = []
    for path in found:
        file = f"{root}{path}"
        entries = read_batch(resolve(file))
        known = [key for key in NAMES if key in entries]
        label = known[0] if known and spec.label == "label" else spec.label
        if label not in known:
            raise ValueError(f"{file}: no labels {label!r}; it has {known or sorted(entries)}")
        names_in, key = NAMES[label]
        beside = require(f"{root}{names_in}", "the names of CIFAR's classes")
        ids = [name.decode() for name in read_pickle(beside)[key]]
        numbers = np.array(entries[label])
        if ((numbers < 0) | (numbers >= len(ids))).any():
            raise ValueError(f"{file}: expected labels of the {len(ids)} classes of {beside}")
        parts.append(
            pd.DataFrame(
                {
                    "file": file,
                    "row": np.arange(len(numbers)),
                    "name": [name.decode() for name in entries["filenames"]],
                    "id": [ids[number] for number in numbers],
                    "group": "",
                }
            )
        )
    return name_rows(pd.concat(parts, ignore_index=True), root)


def list_npy(spec: DatasetSpec, class_map: ClassMap) -> pd.DataFrame:
    """The images of an array file, with class numbers in another: CIFAR-10.1.

    Raises:
        ValueError: an array is not of the right shape or type; says what it is.
    """
    pixels = open_pixels(require(spec.path, "an array of images"))
    if spec.predicts == "class":
        assert spec.labels is not None, "checked with the config"
        labels = load_npy(require(spec.labels, "an array of labels"))
    else:
        labels = np.zeros(0 if pixels is None else len(pixels), np.int64)
    if pixels is None or labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{spec.labels}: expected whole numbers (n,), found {labels.dtype} {labels.shape}"
            if pixels is not None
            else f"{spec.path}: expected an .npy file"
        )
    if len(labels) != len(pixels):
        raise ValueError(
            f"{spec.labels}: expected a label for each of {len(pixels)} images of {spec.path}, "
            f"found {len(labels)}; take both of one version"
        )
    listing = pd.DataFrame(
        {"file": spec.path, "row": np.arange(len(labels)), "name": None, "id": labels, "group": ""}
    )
    root = spec.path.rpartition("/")[0]
    return name_rows(listing.astype({"id": np.int64}), f"{root}/" if root else "")


@lru_cache(maxsize=8)
def open_pixels(path: Path) -> np.ndarray | None:
    """Images (n, H, W, 3) uint8 of a batch of CIFAR or an .npy file; None of anything else.

    Told by the bytes that it begins with.

    Raises:
        ValueError: the array is none of images; names the file.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        begin = file.read(len(NPY))
    if begin == NPY:
        pixels = load_npy(path)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3:
            raise ValueError(
                f"{path}: expected images (n, H, W, 3) of bytes, found {pixels.dtype} "
                f"{pixels.shape}"
            )
        return pixels
    if begin.startswith(PICKLE):
        return read_batch(path)["data"].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return None
