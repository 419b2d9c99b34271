"""The paper's released checkpoints (release v0.0.2 of mlfoundations/model-soups): state dicts in the
layout of OpenAI's clip package, turned into this project's weights."""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

Weights = dict[str, torch.Tensor]

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


def read_released(path: str | Path) -> Weights:
    """The weights in a released checkpoint, converted; no code from the file is run.

    Raises:
        ValueError: the file is cut, holds something other than tensors, or has another layout.
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
    return convert_released(state, str(path))


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
    weights, dropped, unknown = {}, [], []
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
