"""Checkpoints that exist already. The paper's released ones (release v0.0.2 of
mlfoundations/model-soups) are state dicts in the layout of OpenAI's clip package."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pandas as pd
import torch
from tqdm import tqdm

from modelsoups.base.files import publish, sha256
from modelsoups.base.paths import require, require_space, resolve
from modelsoups.weights.checkpoints import Weights, read_weights
from modelsoups.weights.torch_files import read_state

logger = logging.getLogger(__name__)

STALLED = 60  # seconds without a byte after which a download is given up
BLOCK = 2**20  # bytes of a download that are in memory

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

    They may lie in the file still, mapped into memory, until they are used.

    Raises:
        ValueError: the file is none of weights, is cut, holds something other than tensors, or has
            another layout.
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


def fetch(file: str, url: str | None, digest: str | None = None) -> Path:
    """Path of a file, which is downloaded if it is not there and has an address.

    Args:
        file: may begin with $VARIABLE.
        digest: hex SHA-256 that the file must have; None: any.
    Raises:
        ValueError: it is not there and cannot be had, comes short, or is another file.
    """
    path = resolve(file)
    if path.exists() or url is None:
        check_digest(require(file, "a checkpoint"), digest)
        return path
    try:
        with urlopen(url, timeout=STALLED) as response, publish(path) as draft:
            length = response.headers.get("Content-Length")  # a server need not tell
            size = None if length is None else int(length)
            require_space(path, size or 0)
            with (
                tqdm.wrapattr(response, "read", total=size, desc=path.name, disable=None) as source,
                open(draft, "wb") as target,
            ):
                shutil.copyfileobj(source, target, BLOCK)
            if size not in (None, found := draft.stat().st_size):
                raise ValueError(f"{url}: expected {size:,} bytes, {found:,} came; try again")
            check_digest(draft, digest, url)
    except (OSError, HTTPException) as error:
        raise ValueError(
            f"{file}: not there, and {url} cannot be downloaded ({error}); try "
            "again, or download it elsewhere and put it there"
        ) from error
    return path


def check_digest(path: Path, digest: str | None, source: str | None = None) -> None:
    """Raise a ValueError unless a file has this SHA-256; None: it may have any."""
    if digest and (found := sha256(path)) != digest.lower():
        cure = "correct" if source else "delete the file to have it downloaded, or correct"
        raise ValueError(
            f"{source or path}: expected a file of SHA-256 {digest}, found one of {found}; {cure} "
            "`sha256` in the config if this is the right file"
        )


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
