"""A soup in the form that its ingredients came in: names, dtypes, files and configs are theirs."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from modelsoups.base.files import publish
from modelsoups.study.checkpoints import INDEXES
from modelsoups.weights.average import average
from modelsoups.weights.checkpoints import (
    Checkpoint,
    InMemory,
    Weights,
    find_tied,
    write_weights,
)
from modelsoups.weights.stored import Stored

logger = logging.getLogger(__name__)

# Of a folder, what is copied: configs, tokenizers, processors, code; not what training left.
COPIED = (".json", ".txt", ".model", ".py", ".jinja")
NOT_COPIED = ("trainer_state.json", "all_results.json", "train_results.json", "eval_results.json")
# Of a torch file, what is kept beside the weights: what a library needs to load it again.
KEPT = ("arch", "classes", "class_to_idx", "class_names", "hyper_parameters")
KEPT_BEGINNING = "pytorch-lightning_"


def write_like(
    stored: Stored, weights: Mapping[str, torch.Tensor], folder: Path, provenance: Mapping[str, Any]
) -> list[Path]:
    """Write weights as a model is stored, under the same file names; the files written.

    Args:
        stored: the model whose form it is. weights: under the names in its file, all of them.
        folder: where; it is made.
        provenance: what the metadata of safetensors, or an entry of a torch file, say of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, source in stored.sources.items():
        part = {key: weights[key] for key in source.entries}
        if isinstance(source, Checkpoint):
            write_weights(folder / name, untied(part), {"modelsoups": provenance})
        else:
            _write_torch(folder / name, stored, part, provenance)
        written.append(folder / name)
    if stored.folder:
        for path in sorted(stored.folder.iterdir()):
            index = path.name in INDEXES
            if index and len(stored.sources) == 1:
                continue
            if path.name.endswith(COPIED) and path.name not in NOT_COPIED:
                shutil.copyfile(path, folder / path.name)
                written.append(folder / path.name)
    return written


def _write_torch(
    path: Path, stored: Stored, weights: Weights, provenance: Mapping[str, Any]
) -> None:
    content: dict[str, Any] = dict(weights)
    if stored.part:
        kept = {
            key: value
            for key, value in stored.said.items()
            if (key in KEPT or key.startswith(KEPT_BEGINNING)) and _is_plain(value)
        }
        content = {stored.part: dict(weights), **kept, "modelsoups": dict(provenance)}
    with publish(path) as draft:
        torch.save(content, draft)


def _is_plain(value: Any) -> bool:
    """Whether a value is made of what every library reads without running code."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool | torch.Tensor)


def untied(weights: Mapping[str, torch.Tensor]) -> Weights:
    """Weights none of which shares memory with another: a foreign file has each for itself."""
    tied = find_tied(InMemory("the soup", weights).entries)
    return {key: tensor.clone() if key in tied else tensor for key, tensor in weights.items()}


def average_others(
    models: Sequence[Stored], names: Sequence[str], coefficients: Sequence[float]
) -> Weights:
    """What is in the files besides the model, averaged like it: a text tower, a loss's weights.

    Whole numbers, and what is not in all files alike and finite (a metric's state, a running
    average that some have), are those of the first; of the latter the log tells.

    Args: names: of tensors in the first. coefficients: of the models.
    """
    first = models[0].load(names)
    floating = [name for name in names if first[name].is_floating_point()]
    parts = [model.load(floating) for model in models]
    alike = [name for name in floating if all(_fits(part, name, first[name]) for part in parts)]
    if left := sorted({*floating} - {*alike}):
        logger.warning(
            "not in all models alike and finite, so those of %s are kept: %s",
            models[0].path,
            ", ".join(left),
        )
    if not alike:
        return first
    means = average([{name: part[name] for name in alike} for part in parts], list(coefficients))
    return {**first, **means}


def _fits(weights: Weights, name: str, other: torch.Tensor) -> bool:
    found = weights.get(name)
    return (
        found is not None
        and found.is_floating_point()
        and found.shape == other.shape
        and bool(found.isfinite().all())
    )
