"""Evaluation: one pass of a model over images gives logits; every metric comes later, from them."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from modelsoups.data.class_maps import pool_logits
from modelsoups.data.views import ViewOnRead
from modelsoups.evaluation.failures import write_no_logits
from modelsoups.evaluation.logits import read_logits, write_logits

logger = logging.getLogger(__name__)


def pick_device() -> torch.device:
    """A GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def predict(
    forward: Callable[[torch.Tensor], torch.Tensor],
    images: np.ndarray | ViewOnRead,
    batch_size: int,
    device: torch.device,
    label: str = "",
) -> np.ndarray:
    """Outputs (n, d) float32 of a model (or of its `features`) on images (n, H, W, 3) uint8.

    The caller puts the model into evaluation mode and onto `device`. Computed in float32: a
    GPU's TF32 stays off, as torch has it by default.
    """
    outputs = []
    starts = range(0, len(images), batch_size)
    for start in tqdm(starts, desc=label, unit="batch", leave=False, disable=None):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
        outputs.append(forward(batch.permute(0, 3, 1, 2)).cpu())  # (b, 3, H, W), channels last
    return torch.cat(outputs).numpy()


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """A data set as arrays, and where a model's logits on it go."""

    dataset: str
    images: Path  # .npy, (n, H, W, 3) uint8
    labels: Path  # .npy, (n,) integers
    output: Path
    class_map: Path | None = None  # .npy, (T, K); None: the set has the model's own classes


def evaluate(
    forward: Callable[[torch.Tensor], torch.Tensor],
    sets: Iterable[EvaluationSet],
    batch_size: int,
    device: torch.device,
    made_from: Mapping[str, Any],
    failure: str | None = None,
    dtype: Literal["float32", "float16"] = "float32",
) -> None:
    """Write a model's logits on every set. If interrupted, the next call keeps the finished sets.

    They wait under other names until all are there: snakemake deletes declared outputs before a
    job starts.

    Args:
        forward: as in `predict`; not used for a run that failed.
        made_from: what the logits depend on besides the set, stored with them.
        failure: why there is no model (modelsoups.evaluation.failures).
        dtype: of the stored logits.
    """
    finished = []
    for each in sets:
        waiting = each.output.with_name(f"{each.output.stem}.finished.parquet")
        metadata = {"dataset": each.dataset, "dtype": dtype, **made_from}
        finished.append((waiting, each.output))
        if failure is not None:
            write_no_logits(waiting, failure, metadata)
        elif not is_finished(waiting, metadata, each):
            images = np.load(each.images, mmap_mode="r")
            logits = predict(forward, images, batch_size, device, label=each.dataset)
            if each.class_map is not None:
                logits = pool_logits(logits, np.load(each.class_map))
            write_logits(waiting, logits, np.load(each.labels), metadata, dtype)
    for waiting, output in finished:
        os.replace(waiting, output)


def is_finished(waiting: Path, metadata: Mapping[str, Any], each: EvaluationSet) -> bool:
    """Whether an interrupted evaluation left the logits of the same model on the same arrays."""
    if not waiting.exists():
        return False
    made = waiting.stat().st_mtime
    read = (each.images, each.labels, each.class_map)
    if made < max(path.stat().st_mtime for path in read if path is not None):
        return False
    if read_logits(waiting).metadata != metadata:
        return False
    logger.info("%s is kept from an interrupted evaluation", each.dataset)
    return True
