"""The kinds of tasks: how the examples of a data set are listed, and opened to evaluate and train.

A kind is an entry of `TASKS`. Models that fit it take what `Examples.batch` gives; recipes,
ensembles, scores and analyses know none of this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from modelsoups.data.class_maps import ClassMap
from modelsoups.data.datasets import index_dataset
from modelsoups.data.examples import Examples, TrainingExamples, open_examples
from modelsoups.data.specs import DatasetSpec
from modelsoups.data.texts import open_texts, open_training_texts
from modelsoups.data.views import open_training


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is particular to a kind of task."""

    index: Callable[[DatasetSpec, Sequence[str]], tuple[pd.DataFrame, ClassMap]]
    open: Callable[..., Examples]  # path, view, column, threads
    open_training: Callable[..., TrainingExamples]  # path, size, decoder


ARRAYS = {"images.npy": "images", "tokens.npy": "text"}  # name of an array file -> kind
TASKS = {
    "images": Task(index=index_dataset, open=open_examples, open_training=open_training),
    "text": Task(index=index_dataset, open=open_texts, open_training=open_training_texts),
}


def open_any(path: str | Path, *options: Any) -> Examples:
    """The examples in an array file of any kind, or those of an index of images.

    Args: options: view, column and threads, of an index (`examples.open_examples`).
    """
    return TASKS[ARRAYS.get(Path(path).name, "images")].open(path, *options)
