"""CIFAR-10, CIFAR-10.1, WILDS-FMoW and WILDS-iWildCam, in the layouts they unpack to, with a few
images of a few classes."""

import pickle
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from imagenet_trees import write_image

CIFAR = ["airplane", "automobile", "bird"]
FMOW = ["airport", "zoo"]


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes bytes as Python 2 wrote its strings, as CIFAR's authors did."""

    def __init__(self, buffer: BytesIO):
        super().__init__(buffer, protocol=2)
        self.dispatch = {**self.dispatch, bytes: Python2Pickler.save_string}

    def save_string(self, value: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)


def pickle2(content: object) -> bytes:
    """A pickle of Python 2 and an early NumPy."""
    buffer = BytesIO()
    Python2Pickler(buffer).dump(content)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def cifar_pixels(number: int, count: int) -> np.ndarray:
    """The images of a batch, (n, 32, 32, 3)."""
    return np.random.default_rng(number).integers(0, 256, (count, 32, 32, 3), np.uint8)


def write_batch(path: Path, number: int, labels: list[int], /, **changes: object) -> Path:
    """A batch: channels first, rows of 3,072 bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = cifar_pixels(number, len(labels)).transpose(0, 3, 1, 2).reshape(len(labels), -1)
    entries = {
        b"batch_label": b"training batch 1 of 5",
        b"labels": labels,
        b"data": data,
        b"filenames": [b"%s_s_%06d.png" % (path.name.encode(), n) for n in range(len(labels))],
        **{key.encode(): value for key, value in changes.items()},
    }
    entries = {key: value for key, value in entries.items() if value is not None}
    path.write_bytes(pickle2(entries))
    return path


def write_cifar10(root: Path, train: list[list[int]], test: list[int]) -> Path:
    """cifar-10-batches-py: data_batch_1, ..., test_batch, batches.meta."""
    for number, labels in enumerate(train, start=1):
        write_batch(root / f"data_batch_{number}", number, labels)
    write_batch(root / "test_batch", 9, test)
    meta = {b"label_names": [name.encode() for name in CIFAR], b"num_vis": 3072}
    (root / "batches.meta").write_bytes(pickle2(meta))
    (root / "readme.html").write_text("see the web page")
    return root


def write_cifar101(root: Path, labels: list[int]) -> Path:
    """datasets/cifar10.1_v6_data.npy and _labels.npy."""
    root.mkdir(parents=True, exist_ok=True)
    np.save(root / "cifar10.1_v6_data.npy", cifar_pixels(6, len(labels)))
    np.save(root / "cifar10.1_v6_labels.npy", np.array(labels, np.int32))
    return root


# split of the table, category, time, country; `seq` is the sequestered part of the competition.
FMOW_ROWS = [
    ("train", "airport", "2012-12-31T23:59:59Z", "FRA"),
    ("seq", "zoo", "2012-01-01T00:00:00Z", "FRA"),
    ("train", "zoo", "2013-01-01T00:00:00Z", "FRA"),  # neither in distribution nor out of it
    ("train", "zoo", "2010-05-05T10:00:00.123Z", "KEN"),
    ("val", "airport", "2011-05-05T10:00:00Z", "KEN"),
    ("val", "zoo", "2015-12-31T23:59:59Z", "FRA"),
    ("test", "zoo", "2002-01-01T00:00:00Z", "USA"),
    ("test", "airport", "2016-01-01T00:00:00Z", "FRA"),
    ("test", "zoo", "2017-05-05T10:00:00Z", "KEN"),
    ("test", "zoo", "2017-05-06T10:00:00Z", "XKX"),  # in no table of countries
    ("test", "airport", "2014-05-05T10:00:00Z", "FRA"),  # between the splits
]


def write_fmow(root: Path, rows: list[tuple[str, ...]] = FMOW_ROWS) -> Path:
    """fmow_v1.1: rgb_metadata.csv, country_code_mapping.csv, images/rgb_img_<row>.png."""
    root.mkdir(parents=True, exist_ok=True)
    columns = ["split", "category", "timestamp", "country_code"]
    table = pd.DataFrame(rows, columns=columns)
    table.assign(gsd=0.5).to_csv(root / "rgb_metadata.csv", index=False)
    (root / "country_code_mapping.csv").write_text(
        "name,alpha-2,alpha-3,region\nFrance,FR,FRA,Europe\nKenya,KE,KEN,Africa\n"
        'United States,US,USA,Americas\n"Bouvet Island",BV,BVT,Other\n'
    )
    for number in range(len(rows)):
        if rows[number][0] != "seq":
            write_image(root / f"images/rgb_img_{number}.png", seed=number, size=(16, 16))
    (root / "RELEASE_v1.1.txt").write_text("")
    return root


IWILDCAM_ROWS = [  # split, y, trap
    ("train", 0, 5),
    ("train", 2, 5),
    ("id_val", 2, 5),
    ("id_test", 0, 5),
    ("id_test", 1, 7),
    ("val", 1, 8),
    ("test", 2, 9),
    ("test", 0, 9),
]


def write_iwildcam(root: Path, rows: list[tuple[str, int, int]] = IWILDCAM_ROWS) -> Path:
    """iwildcam_v2.0: metadata.csv, train/<file>, whatever the split."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"{n:08x}-21bc-11ea-a13a-137349068a90.jpg" for n in range(len(rows))]
    table = pd.DataFrame(rows, columns=["split", "y", "location_remapped"])
    table = table.assign(filename=names, datetime="2013-06-05 05:44:19.000")
    table.to_csv(root / "metadata.csv")
    for number, name in enumerate(names):
        write_image(root / "train" / name, seed=number, size=(40, 30))
    return root
