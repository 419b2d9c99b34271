"""What every recipe works with: a pool of candidates, the held-out set, and the soup it returns."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from modelsoups.base.files import read_json, write_json
from modelsoups.evaluation.logits import read_predictions
from modelsoups.weights.average import copy_into, estimate_statistics
from modelsoups.weights.checkpoints import Weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run's weights offered to a recipe."""

    name: str
    weights: Path
    logits: Path  # of this candidate alone on the held-out set


@dataclass(frozen=True, kw_only=True)
class Soup:
    """What a recipe made."""

    weights: Weights
    ingredients: list[str]  # in the order they were added, each once
    coefficients: Any  # (num_ingredients,) floats, or layer -> floats; sum 1 unless learned freely
    candidates: list[dict[str, Any]]  # in the order tried, each with its decision
    held_out_accuracy: float
    details: dict[str, Any] = field(default_factory=dict)  # what else the recipe has to tell


class HeldOut:
    """The held-out images on a device, and one model there that soups are poured into.

    Batches have one shape: the last one is filled up with repeated images, and the convolution and
    matrix kernels picked for a shape are always the same.
    """

    def __init__(
        self,
        model: nn.Module,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        batch_size: int = 64,
        device: torch.device | str = "cpu",
        compiled: bool = False,
    ):
        """Move the model, and on a GPU the images, to `device`.

        Args:
            model: from images (b, 3, H, W) uint8 to logits (b, C); its weights will be replaced.
            images: (n, H, W, 3) uint8; may be memory-mapped, which on a CPU it stays.
            labels: (n,) integers.
            compiled: run the model through `torch.compile`.
        """
        if len(images) != len(labels) or not len(images):
            raise ValueError(
                "expected held-out images with a label each, "
                f"found {len(images)} images and {len(labels)} labels"
            )
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.labels = np.asarray(labels, dtype=np.int64)
        self.batch_size = min(batch_size, len(images))
        self._forward = torch.compile(self.model) if compiled else self.model
        on_cpu = self.device.type == "cpu"
        self._images = images if on_cpu else torch.from_numpy(np.array(images)).to(self.device)

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, indices: np.ndarray) -> torch.Tensor:
        """Images (b, 3, H, W) uint8 on the device, channels last."""
        if isinstance(self._images, torch.Tensor):
            batch = self._images[torch.from_numpy(indices).to(self.device)]
        else:
            batch = torch.from_numpy(self._images[indices])
        return batch.permute(0, 3, 1, 2)

    def pour(self, weights: Weights) -> None:
        """Copy weights into the model."""
        copy_into(self.model, weights)

    def estimate(self) -> Weights:
        """Normalisation statistics of the model on the held-out images (labels unused).

        Whole batches in the images' order; they replace those in the model and are returned.
        """
        starts = range(0, len(self) - self.batch_size + 1, self.batch_size)
        batches = (self.images(np.arange(start, start + self.batch_size)) for start in starts)
        return estimate_statistics(self.model, batches)

    @torch.inference_mode()
    def logits(self, indices: np.ndarray | None = None) -> np.ndarray:
        """Logits (len(indices), C) float32 of the model on these images, by default on all."""
        indices = np.arange(len(self)) if indices is None else indices
        outputs = []
        for start in range(0, len(indices), self.batch_size):
            batch = indices[start : start + self.batch_size]
            filled = np.resize(batch, self.batch_size)  # repeats from the start
            outputs.append(self._forward(self.images(filled))[: len(batch)])
        return torch.cat(outputs).float().cpu().numpy()


def check_pool(candidates: Sequence[Candidate], held_out: HeldOut) -> list[float]:
    """Held-out accuracy of each candidate, from its stored predictions.

    Raises:
        ValueError: an empty pool, a name given twice, or predictions of other images.
    """
    names = [candidate.name for candidate in candidates]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"expected a pool of differently named candidates, found {names}")
    accuracies = []
    for candidate in candidates:
        stored = read_predictions(candidate.logits)
        if not np.array_equal(stored["label"], held_out.labels):
            raise ValueError(
                f"{candidate.logits}: its labels are not those of the held-out set ({len(stored)} "
                f"images, expected {len(held_out)}); evaluate {candidate.name} on this held-out set"
            )
        accuracies.append(float((stored["prediction"] == stored["label"]).mean()))
    return accuracies


class Trace:
    """A recipe's progress in a file, so that an interrupted one goes on where it was.

    It lies beside the output under a name of its own: snakemake deletes declared outputs before a
    job starts. It counts only for the spec and the inputs it was written for.
    """

    def __init__(self, path: str | Path | None, made_for: Any):
        """`path` None: nothing is written. `made_for`: spec and input hashes, as JSON has them."""
        self._path = None if path is None else Path(path)
        self._made_for = json.loads(json.dumps(made_for))

    def load(self) -> Any:
        """What was saved last, or None."""
        if self._path is None or not self._path.exists():
            return None
        content = read_json(self._path)
        if content["made_for"] != self._made_for:
            logger.info("%s is of another spec or other inputs; starting afresh", self._path)
            return None
        logger.info("going on from %s", self._path)
        return content["state"]

    def save(self, state: Any) -> None:
        """Replace what was saved."""
        if self._path is not None:
            write_json(self._path, {"made_for": self._made_for, "state": state})

    def remove(self) -> None:
        """Delete the file; to be called when the output is whole."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
