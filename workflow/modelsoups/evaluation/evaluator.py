"""Evaluation: a model, and the one loop that puts examples through it.

Scores, recipes, analyses and learned soups all get their outputs here; every metric comes later,
from outputs and labels. What is not finite is an error here, where it is made.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from modelsoups.data.class_maps import pool_logits
from modelsoups.data.examples import Examples
from modelsoups.data.specs import ViewSpec
from modelsoups.data.tasks import open_any
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import read_metadata, write_logits
from modelsoups.models.ahead import ahead_on
from modelsoups.models.devices import (
    EvaluationPrecision,
    autocast,
    choose_precision,
    with_tf32,
)
from modelsoups.weights.average import copy_each, copy_into

logger = logging.getLogger(__name__)

READ_AHEAD = 3  # batches for a GPU, each by a thread of its own


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """One data set, opened."""

    dataset: str
    examples: Examples
    labels: np.ndarray  # (n,) integers, 0..T-1
    class_map: np.ndarray | None = None  # (T, K); None: the set has the model's own classes

    def __post_init__(self) -> None:
        if len(self.examples) != len(self.labels) or not len(self.labels):
            raise ValueError(
                f"{self.dataset}: expected examples with a label each, "
                f"found {len(self.examples)} examples and {len(self.labels)} labels"
            )


class Evaluator:
    """One model on a device; weights are poured into it, and examples go through it.

    Examples of one shape go through it together, as many as `batch_size`: batches with fewer are
    filled up with repeated examples, so that the kernels picked for a shape are always the same.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 64,
        compiled: bool = False,
        precision: EvaluationPrecision = "float32",
        fill: bool = True,
        name: str = "the model",
    ):
        """Move the model to `device`, in evaluation mode.

        Args:
            model: from what `Examples.batch` gives to outputs (b, d); its weights may be replaced.
            compiled: run it through `torch.compile`.
            precision: of the forward pass in `outputs`; a classifier's head is float32, but with
                TF32 like the rest.
            fill: whether batches are filled up; the last bits of its outputs depend on it.
            name: of what the model is, for errors, until other weights are poured.
        Raises: ValueError if TF32 is wanted and the device is no GPU.
        """
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.batch_size = batch_size
        self.fill = fill
        self.precision = choose_precision(self.device, precision)
        self.name = name
        self.forward = torch.compile(self.model) if compiled else self.model

    def pour(self, weights: Mapping[str, torch.Tensor], name: str = "the model") -> None:
        """Copy weights into the model. Args: name: of what they are, for errors."""
        copy_into(self.model, weights)
        self.name = name

    def pour_each(self, tensors: Iterable[tuple[str, torch.Tensor]], name: str) -> None:
        """Copy weights into the model that come one by one and fit it. Args: name: as in `pour`."""
        copy_each(self.model, tensors)
        self.name = name

    @torch.inference_mode()
    def outputs(
        self, examples: Examples, indices: np.ndarray | None = None, label: str | None = None
    ) -> np.ndarray:
        """Outputs (len(indices), d) float32 of the model on these examples, by default on all.

        TF32 is on with that precision alone, and within this call.

        Args: label: name of the examples, of a progress bar and in errors; None: there is no bar.
        Raises: ValueError if outputs are NaN or infinite.
        """
        indices = np.arange(len(examples)) if indices is None else indices
        size = min(self.batch_size, len(examples))
        places = split_batches(examples.shapes(indices), size)
        bar = tqdm(places, label, unit="batch", leave=False, disable=None if label else True)
        parts = []
        batches = self._batches(examples, [indices[each] for each in places], size)
        for each, batch in zip(bar, batches, strict=True):
            with autocast(self.device, self.precision), with_tf32(self.precision == "tf32"):
                parts.append(self.forward(batch)[: len(each)])
        made = torch.cat(parts).float().cpu().numpy()
        outputs = np.empty_like(made)
        outputs[np.concatenate(places)] = made
        self._check_finite(outputs, indices, label)
        return outputs

    def _batches(
        self, examples: Examples, chosen: Sequence[np.ndarray], size: int
    ) -> Iterator[torch.Tensor]:
        """What the model takes for chosen examples, on its device; for a GPU made ahead."""
        # Filled up, a batch repeats its examples from the first on.
        filled = (np.resize(each, size) if self.fill else each for each in chosen)
        if self.device.type == "cuda" and len(chosen) > 1:
            yield from ahead_on(self.device, examples.batch, filled, READ_AHEAD)
        for each in filled:
            yield examples.batch(each).to(self.device)

    def logits(self, each: EvaluationSet, indices: np.ndarray | None = None) -> np.ndarray:
        """Logits (len(indices), T) float32 of a data set's classes, by default of all its examples.

        Raises: ValueError as `outputs`.
        """
        logits = self.outputs(each.examples, indices, each.dataset)
        return logits if each.class_map is None else pool_logits(logits, each.class_map)

    def _check_finite(self, outputs: np.ndarray, indices: np.ndarray, label: str | None) -> None:
        finite = np.isfinite(outputs).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"{self.name}: {(~finite).sum()} of {len(finite)} examples"
                f"{f' of {label}' if label else ''} have outputs that are NaN or infinite, the "
                f"first is row {indices[finite.argmin()]}; look for a diverged run among those it "
                "is made of, or for coefficients that are too large"
            )


def split_batches(shapes: np.ndarray, size: int) -> list[np.ndarray]:
    """Places of examples of one shape, at most `size` in a batch, in their order.

    Args: shapes: (n,) a number for each shape.
    """
    order = np.argsort(shapes, kind="stable")
    alike = np.split(order, np.flatnonzero(np.diff(shapes[order])) + 1)
    return [each[start : start + size] for each in alike for start in range(0, len(each), size)]


def open_set(
    dataset: str,
    examples: str | Path,
    labels: str | Path,
    class_map: str | Path | None = None,
    *,
    max_examples: int | None = None,
    view: ViewSpec | None = None,
    column: str = "image",
) -> EvaluationSet:
    """A data set from its files, memory-mapped, or of a larger one a seeded sample in memory.

    Args:
        examples: an array file, or an index of images that `view` is applied to whenever they are
            read. labels: .npy, (n,). class_map: .npy, (T, K). column: as in `open_any`.
    """
    opened = open_any(examples, view, column)
    classes = np.load(labels)
    if max_examples is not None and len(classes) > max_examples:
        chosen = sample(len(classes), max_examples)
        opened, classes = opened.take(chosen), classes[chosen]
    return EvaluationSet(
        dataset=dataset,
        examples=opened,
        labels=classes,
        class_map=None if class_map is None else np.load(class_map),
    )


def sample(num_examples: int, max_examples: int) -> np.ndarray:
    """Indices of a seeded sample of a data set's examples, in their order."""
    return np.sort(np.random.default_rng(0).permutation(num_examples)[:max_examples])


@dataclass(frozen=True, kw_only=True)
class SetFiles:
    """The files of a data set, and where a model's logits on it go."""

    dataset: str
    examples: Path
    labels: Path
    output: Path
    class_map: Path | None = None


def evaluate(
    evaluator: Evaluator,
    sets: Iterable[SetFiles],
    made_from: Mapping[str, Any],
    *,
    failure: str | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a model's logits on every set that has none of them yet.

    Sets are kept whose logits are of the same model and newer than what they are made from, be they
    outputs of an earlier call or left by an interrupted one. New ones wait under other names until
    all are there: snakemake deletes the outputs of a job that fails.

    Args:
        evaluator: has the model; not used for a run that failed.
        made_from: what the logits depend on besides the set, stored with them.
        failure: why there is no model (modelsoups.evaluation.failures).
        dtype: of the stored logits.
    """
    finished = []
    for each in sets:
        metadata = {"dataset": each.dataset, "dtype": dtype, **made_from}
        waiting = each.output.with_name(f"{each.output.stem}.finished.parquet")
        read = [each.examples, each.labels, *([each.class_map] if each.class_map else [])]
        there = [path for path in (each.output, waiting) if is_current(path, metadata, read)]
        made = waiting
        if failure is not None:
            write_no_logits(waiting, failure, metadata)
        elif there:
            made = there[0]
            logger.info("%s is kept: %s has the logits of this model", each.dataset, made)
        else:
            opened = open_set(each.dataset, each.examples, each.labels, each.class_map)
            write_logits(waiting, evaluator.logits(opened), opened.labels, metadata, dtype)
        finished.append((made, each.output))
    for made, output in finished:
        os.replace(made, output)
        os.utime(output)  # what is kept has been checked now: it is not older than any input


def is_current(path: Path, metadata: Mapping[str, Any], read: Iterable[str | Path]) -> bool:
    """Whether a file has logits with this metadata, and is newer than the files it is made from."""
    if not path.exists():
        return False
    made = path.stat().st_mtime
    if any(Path(each).stat().st_mtime > made for each in read):
        return False
    try:
        return read_metadata(path) == json.loads(json.dumps(metadata))
    except ValueError:  # no Parquet, or none of ours
        return False
