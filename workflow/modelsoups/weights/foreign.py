"""Checkpoints that exist already. The paper's released ones (release v0.0.2 of
mlfoundations/model-soups) are state dicts in the layout of OpenAI's clip package."""

import logging
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pandas as pd
import torch
from tqdm import tqdm

from modelsoups.base.files import publish
from modelsoups.base.paths import require, require_space, resolve
from modelsoups.weights.checkpoints import Weights, read_weights

logger = logging.getLogger(__name__)

# OpenAI's image tower has the tensors of open_clip's under the same names.
PREFIXES = {"model.visual.": "backbone.", "classification_head.": "head."}

# The text tower, of no use to a fine-tuned model; the release left out its largest part,
# `model.transformer`.
UNUSED = (
    "model.transformer.",
    "model.token_embedding.",
    "model.positional_embedding",
    "model.ln_final.",
    "model.text_projection",
    "model.logit_scale",
)


def read_checkpoint(path: str | Path) -> Weights:
    """The weights in a checkpoint of this project's layout or of the released ones'.

    Raises:
        ValueError: the file is cut, holds something other than tensors, or has another layout.
    """
    state = read_weights(path) if Path(path).suffix == ".safetensors" else read_state(path)
    own = {"head.weight", "head.bias"} <= state.keys()
    return state if own else convert_released(state, str(path))


def check_fit(
    weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], source: str
) -> None:
    """Raise a ValueError that names what differs unless keys and shapes are those expected."""
    problems = [f"{key} is missing" for key in expected.keys() - weights.keys()]
    problems += [f"{key} is not expected" for key in weights.keys() - expected.keys()]
    problems += [
        f"{key} has shape {tuple(tensor.shape)}, expected {tuple(expected[key].shape)}"
        for key, tensor in weights.items()
        if key in expected and tensor.shape != expected[key].shape
    ]
    if problems:
        raise ValueError(
            f"{source}: its tensors do not fit the backbone and the classes of the config: "
            f"{'; '.join(sorted(problems)[:5])} ({len(problems)} in all)"
        )


def fetch(file: str, url: str | None) -> Path:
    """Path of a file, which is downloaded if it is not there and has an address.

    Raises:
        ValueError: it is not there and cannot be had, or comes short.
    """
    path = resolve(file)
    if path.exists() or url is None:
        return require(file, "a checkpoint")
    try:
        with urlopen(url) as response, publish(path) as draft:
            size = int(response.headers["Content-Length"])
            require_space(path, size)
            with (
                tqdm.wrapattr(response, "read", total=size, desc=path.name, disable=None) as source,
                open(draft, "wb") as target,
            ):
                shutil.copyfileobj(source, target)
            if (found := draft.stat().st_size) != size:
                raise ValueError(f"{url}: expected {size:,} bytes, {found:,} came; try again")
    except URLError as error:
        raise ValueError(
            f"{file}: not there, and {url} cannot be reached ({error.reason}); download it "
            "elsewhere and put it there"
        ) from error
    return path


def read_state(path: str | Path) -> Weights:
    """The state dict in a file of torch.save; no code from the file is run.

    Raises:
        ValueError: the file is cut, or holds something other than tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path}: expected a whole file with tensors and nothing else ({error}); "
            "download it again"
        ) from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{path}: expected a state dict, found {type(state).__name__}")
    return dict(state)


def convert_released(state: Mapping[str, torch.Tensor], source: str) -> Weights:
    """The state dict of a `Classifier` with open_clip's image tower, float32.

    `model.visual.*` becomes `backbone.*` and `classification_head.*` becomes `head.*`; what is left
    of the text tower is dropped. The head was trained on L2-normalised features, as here.

    Args:
        state: of OpenAI's CLIP with a ViT under `model.`, and a linear `classification_head`.
        source: where it is from, for messages.
    Raises:
        ValueError: a tensor is of neither tower nor the head, or one of these is not there.
    """
    weights: Weights = {}
    dropped: list[str] = []
    unknown: list[str] = []
    for name, tensor in state.items():
        new = [to + name.removeprefix(old) for old, to in PREFIXES.items() if name.startswith(old)]
        if new:
            weights[new[0]] = tensor.float()
        else:
            (dropped if name.startswith(UNUSED) else unknown).append(name)
    missing = {"backbone.proj", "head.weight", "head.bias"} - weights.keys()
    if unknown or missing:
        raise ValueError(
            f"{source}: expected tensors model.visual.* of a CLIP ViT and classification_head.*; "
            f"missing {sorted(missing)}, unknown {unknown[:5]}"
        )
    logger.info("%s: dropped %d tensors of the text tower: %s", source, len(dropped), dropped)
    return weights


def checkpoint_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The checkpoints of a sweep, one row a record, in their order.

    Columns: run, file, url, sha256 (of the file), weights_sha256 (of its tensors), same_as: the
    first run that has the same tensors. Such runs are kept, and told of in the log: in a pool they
    count twice.
    """
    table = pd.DataFrame(
        {
            "run": [record["model"] for record in records],
            "file": [record["spec"]["file"] for record in records],
            "url": [record["spec"]["url"] for record in records],
            "sha256": [record["inputs"]["file"] for record in records],
            "weights_sha256": [record["weights_sha256"] for record in records],
        }
    )
    first = table.groupby("weights_sha256")["run"].transform("first")
    table["same_as"] = first.where(first != table["run"], "")
    for run, other in table.loc[table["same_as"] != "", ["run", "same_as"]].itertuples(index=False):
        logger.warning("%s has the same weights as %s; both are kept", run, other)
    return table
