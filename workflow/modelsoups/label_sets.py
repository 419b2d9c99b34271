"""Second label sets: for each image of a test set all classes that may be called right.

They play the part of ReaL and multilabel in the paper's Table 4 (Sec. 3.3.2): a prediction is
right if it is among the image's classes; images without any class are left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

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
    (path,) = index["file"].unique()
    keywords = pq.read_table(path, columns=[spec.column])[spec.column].take(index["row"].to_numpy())
    return [
        sorted(
            {own}
            | {
                label
                for label, options in alternatives.items()
                if any(words and words <= set(found) for words in options)
            }
        )
        for own, found in zip(index["label"].tolist(), keywords.to_pylist(), strict=True)
    ]


LABEL_SETS: dict[str, tuple[type, Callable[..., list[list[int]]]]] = {
    "keywords": (KeywordsSpec, from_keywords)
}


def make_label_set(
    config: Mapping[str, Any], index: pd.DataFrame, classes: pd.DataFrame
) -> pd.DataFrame:
    """The label set of a config, one row an image of the index: `index`, `labels` (list of int).

    Raises: ValueError if its kind is unknown.
    """
    if (kind := config.get("kind")) not in LABEL_SETS:
        raise ValueError(f"label set kind {kind!r} is unknown, allowed: {', '.join(LABEL_SETS)}")
    spec, function = LABEL_SETS[kind]
    labels = function(
        spec(**{key: value for key, value in config.items() if key != "kind"}), index, classes
    )
    return pd.DataFrame({"index": np.arange(len(index), dtype=np.int32), "labels": labels})


def is_right(predictions: np.ndarray, labels: Sequence[Sequence[int]]) -> np.ndarray:
    """(n,) float64: 1 where the prediction is among the image's classes, NaN where it has none."""
    return np.array(
        [
            float(prediction in set(allowed)) if len(allowed) else np.nan
            for prediction, allowed in zip(predictions.tolist(), labels, strict=True)
        ]
    )


def read_label_set(path: str | Path) -> list[list[int]]:
    """The classes of each image, in the data set's order."""
    return [list(map(int, labels)) for labels in pd.read_parquet(path)["labels"]]
