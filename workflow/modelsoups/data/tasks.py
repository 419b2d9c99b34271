"""The kinds of tasks: how the examples of a data set are listed, and opened to evaluate and train.

A kind is an entry of `TASKS`. Models that fit it take what `Examples.batch` gives; recipes,
ensembles, scores and analyses know none of this.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from modelsoups.data.class_maps import ClassMap
from modelsoups.data.datasets import index_dataset
from modelsoups.data.examples import Examples, TrainingExamples, open_examples
from modelsoups.data.specs import DatasetSpec
from modelsoups.data.views import open_training


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is particular to a kind of task."""

    index: Callable[[DatasetSpec, Sequence[str]], tuple[pd.DataFrame, ClassMap]]
    open: Callable[..., Examples]  # path, view, column, threads
    open_training: Callable[..., TrainingExamples]  # path, size


TASKS = {"images": Task(index=index_dataset, open=open_examples, open_training=open_training)}
