"""Whether data sets are what a study takes them for, before anything is made of them.

Nothing is written. Every problem is told, not the first alone.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from itertools import islice

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from modelsoups.data.datasets import check_counts
from modelsoups.data.reading import Stored, border_of, describe, open_image, read_images
from modelsoups.data.specs import CountsSpec, DatasetSpec
from modelsoups.data.targets import CLASS
from modelsoups.data.tasks import TASKS
from modelsoups.data.views import DECODE_AHEAD

DECODED = 32  # images of a data set that are decoded, a seeded sample; of others the header is read
CANNOT = (ValueError, OSError, RuntimeError)  # what cannot be used raises one of these
TOLD = 3  # unreadable images that are named


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a data set, a model or a disk turned out to be."""

    name: str
    found: str  # in words; empty if it could not be looked at
    problems: Sequence[str] = ()
    count: int | None = None  # of a data set's examples

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.found or 'cannot be used'}"]
        return "\n".join([*lines, *(f"  WRONG: {each}" for each in self.problems)])


def trying(name: str, look: Callable[[], object]) -> Checked:
    """What `look` says, or the error of values or files that it raises."""
    try:
        return Checked(name=name, found=str(look()))
    except CANNOT as error:
        return Checked(name=name, found="", problems=[str(error)])


def check_dataset(
    name: str,
    spec: DatasetSpec,
    counts: CountsSpec,
    class_ids: Sequence[str],
    threads: int = 1,
) -> Checked:
    """Counts, classes, and whether every file can be read.

    Args: class_ids: of the study, in label order. threads: that read images.
    """
    try:
        index, class_map = TASKS[spec.task].index(spec, class_ids)
    except ValueError as error:
        return Checked(name=name, found="", problems=[str(error)])
    problems = []
    try:
        check_counts(spec, counts, index, class_map.ids)
    except ValueError as error:
        problems.append(str(error))
    if not len(index):
        return Checked(name=name, found="0 examples", problems=[*problems, "it is empty"])
    what = "images" if spec.task == "images" else "texts"
    found = f"{len(index):,} {what}, {_classes(spec, index, class_map.ids)}"
    if spec.task == "images":
        broken = unreadable(index, spec.image, threads)
        found += f"; every header read, {min(DECODED, len(index))} images decoded"
        if broken:
            more = f" and {len(broken) - TOLD} others" if len(broken) > TOLD else ""
            problems.append(f"{'; '.join(broken[:TOLD])}{more}; restore these files")
    return Checked(name=name, found=found, problems=problems, count=len(index))


def unreadable(index: pd.DataFrame, column: str, threads: int) -> list[str]:
    """What is wrong with each image of an index that cannot be read, in order."""
    chosen = np.random.default_rng(0).permutation(len(index))[:DECODED]
    decoded, border = set(chosen.tolist()), border_of(index)
    files, rows = index["file"].to_numpy(object), index["row"].to_numpy()

    def look(position: int, stored: Stored) -> str | None:
        named = describe(files[position], rows[position])
        try:
            if position in decoded:
                open_image(stored, named, border)
            elif not isinstance(stored, np.ndarray):
                with Image.open(BytesIO(stored) if isinstance(stored, bytes) else stored):
                    pass
        except ValueError as error:
            return str(error)
        except Exception as error:  # Pillow lets whatever a bad file leads to pass
            return f"{named}: not a readable image ({error})"
        return None

    found: list[str] = []
    stored = read_images(index, column)
    bar = tqdm(total=len(index), unit="image", leave=False, disable=None)
    with ThreadPoolExecutor(threads) as pool, bar:
        try:
            for start in range(0, len(index), DECODE_AHEAD):
                positions = range(start, min(start + DECODE_AHEAD, len(index)))
                results = pool.map(look, positions, islice(stored, len(positions)))
                found += [each for each in results if each is not None]
                bar.update(len(positions))
        except ValueError as error:  # the file that they are in
            found.append(str(error))
    return found


def _classes(spec: DatasetSpec, index: pd.DataFrame, ids: Sequence[str]) -> str:
    if spec.predicts != CLASS:
        return f"{len(ids)} {spec.predicts} each"
    counts = np.bincount(index.label, minlength=len(ids))
    there = counts[counts > 0]
    return f"{len(there)} of {len(ids)} classes with {there.min()} to {there.max()} each"
