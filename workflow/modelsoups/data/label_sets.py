"""Second label sets: for each image of a test set all classes that may be called right.

ReaL and multilabel in the paper's Table 4 (Sec. 3.3.2), and what plays their part elsewhere: a
prediction is right if it is among the image's classes; images without any class are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from modelsoups.base.files import versions
from modelsoups.data.imagenet_labels import MultilabelSpec, RealSpec, from_multilabel, from_real
from modelsoups.data.parquet import open_parquet

# Words of class names that say nothing about what is drawn.
FILLERS = {"a", "an", "doing", "making", "of", "the", "with"}


@dataclass(frozen=True, kw_only=True)
class KeywordsSpec:
    """Labels from keywords that stand in the data set's own Parquet file."""

    dataset: str
    column: str = "keywords"  # lists of strings


def from_keywords(
    spec: KeywordsSpec, index: pd.DataFrame, classes: pd.DataFrame
) -> list[list[int]]:
    """An image's own class, and each class whose name its keywords spell.

    A name spells alternatives, parted by "or" ("dessert or sweet"); one fits if all its words but
    fillers are among the keywords. So a tomato is a vegetable and a fruit, and a person doing
    sport is a person.
    """
    alternatives = {
        label: [set(words.split()) - FILLERS for words in name.lower().split(" or ")]
        for label, name in enumerate(classes["name"])
    }
    keywords = read_keywords(spec, index)
    return [
        sorted(
            {own}
            | {
                label
                for label, options in alternatives.items()
                if any(words and words <= set(found) for words in options)
            }
        )
        for own, found in zip(index["label"].tolist(), keywords, strict=True)
    ]


def read_keywords(spec: KeywordsSpec, index: pd.DataFrame) -> list[list[str]]:
    """The keywords of each image of an index; none where the file has null.

    Raises:
        ValueError: images are not in Parquet files, or these have no such column; names the file.
    """
    keywords: list[list[str]] = [[] for _ in range(len(index))]
    for file, positions in index.groupby("file", sort=False).indices.items():
        rows = index["row"].to_numpy()[positions]
        if rows[0] < 0:
            raise ValueError(f"{file}: label sets of kind keywords need images in Parquet files")
        parquet = open_parquet(str(file))
        if spec.column not in (names := parquet.schema_arrow.names):
            raise ValueError(f"{file}: no column {spec.column!r} of keywords; it has {names}")
        column = parquet.read(columns=[spec.column])[spec.column]
        if not pa.types.is_list(column.type):
            raise ValueError(
                f"{file}: column {spec.column!r} is of type {column.type}; expected lists of words"
            )
        for position, found in zip(positions, column.take(rows).to_pylist(), strict=True):
            keywords[position] = found or []
    return keywords


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A source of label sets."""

    spec: type
    labels: Callable[..., list[list[int]]]  # spec, index, classes -> the classes of each image
    # Accuracy is the mean over the classes' accuracies, not over the images.
    class_average: bool = False


LABEL_SETS = {
    "keywords": Kind(spec=KeywordsSpec, labels=from_keywords),
    "real": Kind(spec=RealSpec, labels=from_real),
    "multilabel": Kind(spec=MultilabelSpec, labels=from_multilabel, class_average=True),
}


def make_label_set(
    config: Mapping[str, Any], index: pd.DataFrame, classes: pd.DataFrame
) -> pd.DataFrame:
    """The label set of a config, one row an image of the index: `index`, `labels` (list of int).

    Where accuracy is averaged by class there is also `stratum`: the image's single label, which
    says to what class it counts.

    Raises: ValueError if its kind is unknown, or as the kind's function.
    """
    fields = dict(config)
    if (name := fields.pop("kind", None)) not in LABEL_SETS:
        raise ValueError(f"label set kind {name!r} is unknown, allowed: {', '.join(LABEL_SETS)}")
    kind = LABEL_SETS[name]
    labels = kind.labels(kind.spec(**fields), index, classes)
    table = pd.DataFrame({"index": np.arange(len(index), dtype=np.int32), "labels": labels})
    return table.assign(stratum=index["label"].to_numpy()) if kind.class_average else table


def caption_label_set(config: Mapping[str, Any]) -> str:
    """What a table says of a label set beside its name: version, and how accuracy is averaged."""
    average = "mean over classes" if LABEL_SETS[config["kind"]].class_average else ""
    return ", ".join(filter(None, [config.get("version", ""), average]))


def describe_label_set(config: Mapping[str, Any], labels: pd.DataFrame) -> dict[str, Any]:
    """The record of a label set: what it is, and how many images it scores."""
    counts = labels["labels"].map(len)
    return {
        "spec": dict(config),
        "num_images": len(labels),
        "num_scored": int((counts > 0).sum()),
        "num_with_several": int((counts > 1).sum()),
        "versions": versions(),
    }


def is_right(predictions: np.ndarray, labels: Sequence[Sequence[int]]) -> np.ndarray:
    """(n,) float64: 1 where the prediction is among the image's classes, NaN where it has none."""
    return np.array(
        [
            float(prediction in set(allowed)) if len(allowed) else np.nan
            for prediction, allowed in zip(predictions.tolist(), labels, strict=True)
        ]
    )
