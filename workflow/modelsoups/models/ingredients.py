"""Models made elsewhere, taken over: their tensors under the names that the model has for them.

A folder that mixes models of several architectures, numbers or orders of classes, or ways to see
images, is refused as a whole, before anything is evaluated, with what differs in each of them.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from modelsoups.base.files import read_json
from modelsoups.base.paths import resolve
from modelsoups.models.adapters import PROCESSOR
from modelsoups.models.own import OwnModel, OwnSpec, classes_of
from modelsoups.study.search import INITIALIZATION
from modelsoups.weights.checkpoints import PREFIX, Weights
from modelsoups.weights.stored import Stored, check_shapes, fit_names, needed_of, open_stored

logger = logging.getLogger(__name__)
State = Mapping[str, torch.Tensor]

# How a model sees images: in the arguments of timm's and torchvision's scripts and in timm's
# folders, and in the config of a processor of transformers.
SEEN_BY_SCRIPTS = (
    *("img_size", "input_size", "crop_pct", "crop_mode", "mean", "std", "interpolation"),
    *("val_resize_size", "val_crop_size"),
)
SEEN_BY_PROCESSORS = (
    *("size", "crop_size", "do_center_crop", "do_normalize", "image_mean", "image_std", "resample"),
)


def open_models(files: Mapping[str, str], part: str | None = None) -> dict[str, Stored]:
    """Models by name. Args: files: name -> file or folder. part: of `open_stored`.

    Raises: ValueError that names all that cannot be read, with what is wrong with each.
    """
    models, problems = {}, []
    for name, path in files.items():
        try:
            models[name] = open_stored(resolve(path), part)
        except (ValueError, OSError) as error:
            problems.append(f"\n  {name}: {error}")
    if problems:
        raise ValueError(
            f"{len(problems)} of {len(files)} models cannot be read:{''.join(problems)}"
        )
    return models


def names_in(
    stored: Stored, spec: OwnSpec, model: OwnModel, prefix: str | None = None
) -> dict[str, str]:
    """Name of a tensor in a study -> its name in the file.

    Args: model: of the spec. prefix: of `fit_names`.
    Raises: ValueError if the model's tensors are not all there, or have other shapes.
    """
    state = model.model.state_dict()
    own = {spec.saved_as.get(key, key): tensor for key, tensor in state.items()}
    there = stored.entries
    needed = needed_of(own, there)
    if spec.library == "open_clip":
        names = _fit_tower(stored, own, needed, prefix)
    else:
        names = fit_names(there, needed, prefix)
    check_shapes(stored, names, own)
    as_saved = {spec.saved_as.get(key, key): key for key in state}
    return {PREFIX + as_saved[key]: name for key, name in names.items()}


def _fit_tower(
    stored: Stored, own: State, needed: Sequence[str], prefix: str | None
) -> dict[str, str]:
    """Names of an image tower of open_clip, and of the linear head beside it, however called."""
    there = stored.entries
    names = fit_names(there, [key for key in needed if key.startswith("visual.")], prefix)
    tower = set(names.values())
    shape = tuple(own["head.weight"].shape)
    heads = [
        name.removesuffix("weight")
        for name, entry in there.items()
        if name not in tower and name.endswith(".weight") and tuple(entry.shape) == shape
    ]
    heads = [each for each in heads if f"{each}bias" in there]
    if len(heads) != 1:
        raise ValueError(f"expected one linear head of shape {shape} with a bias, found {heads}")
    return {**names, "head.weight": f"{heads[0]}weight", "head.bias": f"{heads[0]}bias"}


def take_over(stored: Stored, spec: OwnSpec, model: OwnModel, prefix: str | None = None) -> Weights:
    """The weights of a model under a study's names, in the dtypes of the file.

    Raises: ValueError as `names_in`, naming the file.
    """
    try:
        names = names_in(stored, spec, model, prefix)
    except ValueError as error:
        raise ValueError(f"{stored.path}: {error}") from None
    left = sorted({*stored.left_aside, *(stored.entries.keys() - set(names.values()))})
    if left:
        logger.info("%s: left aside: %s", stored.path, ", ".join(left))
    tensors = stored.load(names.values())
    return {key: tensors[name] for key, name in names.items()}


def check_ingredients(
    models: Mapping[str, Stored],
    spec: OwnSpec,
    model: OwnModel,
    prefix: str | None = None,
    seen_alike: bool = False,
) -> None:
    """Raise a ValueError unless all are the one model with one order of classes.

    Args:
        models: name -> where it is; the first is what others are compared with.
        spec, model: what they ought to be.
        seen_alike: whether the config says how all of them see images.
    """
    first, *_ = models
    trained = {} if seen_alike else {n: each for n, each in models.items() if n != INITIALIZATION}
    seen = {name: what for name, stored in trained.items() if (what := seeing_of(stored))}
    said = {name: (architecture_of(stored), classes_of(stored)) for name, stored in models.items()}
    problems = []
    for name, stored in models.items():
        (kind, classes), (first_kind, first_classes) = said[name], said[first]
        found = []
        if None not in (kind, first_kind) and kind != first_kind:
            found.append(f"architecture {kind}, that of {first} is {first_kind}")
        if classes and first_classes and classes != first_classes:
            found.append(_differing(classes, first_classes, first))
        if name in seen and (differing := _seen_otherwise(seen[name], *next(iter(seen.items())))):
            found.append(differing)
        try:
            names_in(stored, spec, model, prefix)
        except ValueError as error:
            found.append(str(error))
        if found:
            problems.append(f"\n  {name} ({stored.path}): {'; '.join(found)}")
    if problems:
        raise ValueError(
            f"{len(problems)} of {len(models)} models cannot be ingredients of one soup: all must "
            f"have one architecture, head and order of classes.{''.join(problems)}"
        )


def architecture_of(stored: Stored) -> str | None:
    """The architecture that a file or its config names, if it does."""
    said = stored.said
    args = said.get("args")
    trained = args.get("model") if isinstance(args, Mapping) else None
    named = said.get("architecture") or said.get("arch") or said.get("architectures") or trained
    return ", ".join(named) if isinstance(named, list) else named


def seeing_of(stored: Stored) -> dict[str, Any]:
    """What a file or folder says of how its model sees images, in its library's words."""
    said = {**(stored.said.get("pretrained_cfg") or {})}
    if isinstance(args := stored.said.get("args"), Mapping):
        said |= args
    found = {key: said.get(key) for key in SEEN_BY_SCRIPTS}
    if stored.folder and (path := stored.folder / PROCESSOR).exists():
        config = read_json(path)
        found |= {key: config.get(key) for key in SEEN_BY_PROCESSORS}
    given = {key: value for key, value in found.items() if value not in (None, "")}
    return {key: [*value] if isinstance(value, tuple) else value for key, value in given.items()}


def _seen_otherwise(seen: Mapping[str, Any], name: str, others: Mapping[str, Any]) -> str:
    """What two models say differently, in words; nothing if there is nothing that both say."""
    keys = [key for key in seen if key in others and seen[key] != others[key]]
    each = ", ".join(f"{key} {seen[key]}, in {name} {others[key]}" for key in keys)
    cure = "; a soup sees images in one way: say by `soup.preprocessing` in which"
    return f"it saw images otherwise: {each}{cure}" if keys else ""


def _differing(classes: Sequence[str], others: Sequence[str], name: str) -> str:
    if len(classes) != len(others):
        return f"{len(classes)} classes, {name} has {len(others)}"
    if {*classes} == {*others}:
        at = next(i for i, (a, b) in enumerate(zip(classes, others, strict=True)) if a != b)
        return f"another order of classes: number {at} is {classes[at]!r}, in {name} {others[at]!r}"
    return f"other classes: {sorted({*classes} ^ {*others})[:4]} are not in both it and {name}"
