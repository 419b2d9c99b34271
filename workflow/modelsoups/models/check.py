"""Whether a study's models are there, and of the architecture that it takes them for.

Nothing is written, and nothing is downloaded: the hub is asked for what its cache has.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from modelsoups.base.functions import import_function
from modelsoups.base.paths import free_space, resolve, used_space
from modelsoups.data.check import CANNOT
from modelsoups.models.backbones import (
    BackboneSpec,
    build_classifier,
    load_pretrained,
    weights_file,
)
from modelsoups.models.ingredients import check_ingredients, open_models
from modelsoups.models.own import Request, build, describe
from modelsoups.study.checkpoints import CheckpointSpec
from modelsoups.study.plan import GIB
from modelsoups.study.search import INITIALIZATION
from modelsoups.weights.foreign import check_fit, read_checkpoint


def count_parameters(
    models: Mapping[str, tuple[Mapping[str, Any], int]], strict: bool = True
) -> dict[str, int]:
    """Number of parameters of each backbone with a head of so many classes.

    Args:
        models: name -> fields of a BackboneSpec, and number of classes.
        strict: whether one that cannot be built is an error; else it has 0.
    """
    counts: dict[str, int] = {}
    for model in models.values():
        if repr(model) not in counts:
            counts[repr(model)] = 0
            with suppress(*(() if strict else CANNOT)):
                counts[repr(model)] = _count_parameters(*model)
    return {name: counts[repr(model)] for name, model in models.items()}


def _count_parameters(fields: Mapping[str, Any], num_classes: int) -> int:
    spec = BackboneSpec(**fields)
    # Of language models shapes alone: some are large. (Image towers compute as they are made.)
    with torch.device("meta" if spec.task == "text" else "cpu"):
        model = build_classifier(spec, num_classes)
    return sum(tensor.numel() for tensor in model.parameters())


def check_backbone(fields: Mapping[str, Any], num_classes: int) -> str:
    """What the pre-trained weights of a backbone with these fields of a BackboneSpec are.

    Raises: ValueError if there is no such model, or its weights are not there or of another.
    """
    spec = BackboneSpec(**fields)
    what = f"{spec.model} of {spec.library}"
    if spec.weights in ("random", "none"):
        return f"{what}, no pre-trained weights"
    load_pretrained(spec, build_classifier(spec, num_classes))
    return f"{what}, its weights {weights_file(spec)} fit"


def check_checkpoints(
    files: Mapping[str, CheckpointSpec], backbone: Mapping[str, Any], num_classes: int
) -> str:
    """How many checkpoints of a sweep are there; all of these are looked at.

    Raises: ValueError that names each that is missing, cannot be read or does not fit.
    """
    with torch.device("meta"):  # names and shapes alone
        expected = build_classifier(BackboneSpec(**backbone), num_classes).state_dict()
    missing, problems = [], []
    for name, checkpoint in files.items():
        try:
            path = resolve(checkpoint.file)
            if path.exists():
                check_fit(read_checkpoint(path), expected, str(path))
            else:
                missing.append(name)
                if checkpoint.url is None:
                    problems.append(f"{path} is not there; copy it, or correct `files`")
        except ValueError as error:
            problems.append(str(error))
    if problems:
        more = f" (and {len(problems) - 3} others)" if len(problems) > 3 else ""
        raise ValueError("; ".join(problems[:3]) + more)
    waiting = f", {len(missing)} to be downloaded" if missing else ""
    return f"{len(files)} checkpoints, {len(files) - len(missing)} there and fit{waiting}"


def check_own(
    files: Mapping[str, str],
    request: Mapping[str, object],
    classes: Sequence[str],
    part: str | None = None,
    prefix: str | None = None,
) -> str:
    """What models made elsewhere are. Args: as the rules `describe_model`, `check_ingredients`.

    Raises: ValueError if some cannot be read, or they do not fit together.
    """
    models = open_models(files, part)
    first = next(stored for name, stored in models.items() if name != INITIALIZATION)
    spec = describe(Request(**request), first, classes)  # type: ignore[arg-type]
    seen_alike = not {"preprocessing", "evaluate"}.isdisjoint(request)
    check_ingredients(models, spec, build(spec), prefix, seen_alike)
    assumed = "; assumed: " + "; ".join(spec.assumed) if spec.assumed else ""
    return f"{len(models)} models, {spec.model} of {spec.library}, fit together{assumed}"


def check_function(name: str) -> str:
    """That a function of the user's own, a metric or an evaluator, is there.

    Raises: ValueError if it is not.
    """
    import_function(name)
    return "it is there"


def check_disk(folder: str, needed_gib: float) -> str:
    """Whether the disk of a folder has room for what the study will put there, less what it has.

    Raises: ValueError if it has not.
    """
    there, free = used_space(folder) / GIB, free_space(folder) / GIB
    found = f"{needed_gib:,.1f} GiB for the study, {there:,.1f} there already, {free:,.1f} free"
    if needed_gib - there > free:
        raise ValueError(f"{found}; make room, or link {folder} to a larger disk")
    return found
